"""Files on this machine's own disk: written beside their place, flushed to the device and renamed."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from threading import get_ident
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTIAL = ".partial"
"""Ending of files that are being written."""


def partial_name(name: str) -> str:
    """What a file is called while this thread writes it."""
    return f"{name}.{os.getpid()}-{get_ident()}{PARTIAL}"


@contextmanager
def writing(place: Path, *, durable: bool) -> Iterator[IO[bytes]]:
    """Open a file for writing; it appears whole when the block ends well, and not at all otherwise."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(partial_name(place.name))
    try:
        with beside.open("wb") as handle:
            yield handle
            handle.flush()
            if durable:
                os.fsync(handle.fileno())
        beside.replace(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        flush_directory(place.parent)


def flush_directory(path: Path) -> None:
    """Write the names of the files in a folder to the device."""
    if os.name == "nt":  # Windows has no handle for a directory; a rename there is durable by itself
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sizes(folder: Path) -> dict[str, int]:
    """Size in bytes of each file that lies directly in a folder, 0 of folders, by name; empty where there is none."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        return {entry.name: _size(entry) for entry in entries}


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return 0 if entry.is_dir() else entry.stat().st_size
    except OSError:  # a link to nothing, or gone since
        return 0


def remove(path: Path) -> None:
    """Remove a file or a folder with all it holds, if it is there; of a link, the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
