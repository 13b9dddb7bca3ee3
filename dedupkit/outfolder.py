"""The output folder: claimed before a run, never another's."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedupkit._version import __version__
from dedupkit.errors import UsageError
from dedupkit.storage import PARTIAL, Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLISHED = (
    "report.html", "report.json", "recipe.toml", "decisions.parquet", "dataset/state.json",
)  # fmt: skip
_OURS = ("dataset", "parquet", "webdataset", "list", "report.html", "report.json", "recipe.toml", "decisions.parquet")
_WORK = ".dedupkit"
_MARK_NAME = "dedupkit.json"
_MARK = f"{_WORK}/{_MARK_NAME}"
LOCK_NAME = "lock"


def check(out: str | os.PathLike[str], source: Any) -> Folder:
    """The output folder, new or of an earlier run; nothing is written yet.

    Raises
    ------
    UsageError
        It holds what is not ours, or lies in the source or around it.
    """
    if "://" in os.fspath(out) or "::" in os.fspath(out):
        raise UsageError(f"{out} is a URL; the output has to be a local folder, copy it from there")
    path = Path(out).resolve()
    _check_apart(path, source)
    if path.exists() and not path.is_dir():
        raise UsageError(f"{out} is a file; name a folder for the output")
    folder = Folder(str(path))
    names = folder.names()
    if names and not folder.exists(_MARK) and not _claimed_by_half(folder, names):
        raise UsageError(f"{out} holds files that dedupkit did not write ({names[0]}); name an empty or new folder")
    return folder


def claim(folder: Folder, *, overwrite: bool) -> None:
    """Mark the folder as ours; with `overwrite`, remove what an earlier run left in it.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    try:
        for name in folder.names():
            if name.endswith(PARTIAL) or (overwrite and name in _OURS):
                folder.remove(name)  # half of a file that a killed run was writing, or all of it
        for name in folder.below(_WORK).names():
            if name.endswith(PARTIAL) or (overwrite and name not in (_MARK_NAME, LOCK_NAME)):
                folder.below(_WORK).remove(name)  # but never the mark, without which the folder is a stranger's
        folder.write_json(_MARK, {"written_by": "dedupkit", "version": __version__})
    except OSError as error:
        raise UsageError(f"{folder.url} cannot be written: {error.strerror or error}; name another folder") from error


def _claimed_by_half(folder: Folder, names: list[str]) -> bool:
    """Whether a run was killed before it had written its mark."""
    inside = folder.below(_WORK).names()
    return names == [_WORK] and all(name.endswith(PARTIAL) or name == LOCK_NAME for name in inside)


@contextmanager
def alone_in(folder: Folder) -> Iterator[None]:
    """Keep other runs out of an output folder; the lock ends with the process, however that ends.

    Raises
    ------
    UsageError
        Another run is at work there.
    """
    from filelock import FileLock, Timeout

    place = Path(folder.url, _WORK, LOCK_NAME)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise UsageError(f"another run is writing to {folder.url}; wait for it, or name another folder") from error
    except OSError as error:
        raise UsageError(f"{folder.url} cannot be written: {error.strerror or error}; name another folder") from error
    try:
        yield
    finally:
        lock.release()


def _check_apart(path: Path, source: Any) -> None:
    """An output in its own source would be read as a source on the next run."""
    if isinstance(source, (list, tuple)):
        for each in source:
            _check_apart(path, each)
        return
    if not isinstance(source, (str, os.PathLike)):
        return
    named = os.fsdecode(source).removeprefix("file://")
    if "://" in named or "::" in named:
        return
    fixed = re.split(r"[*?\[{]", named, maxsplit=1)[0]
    if fixed == named:
        read = Path(named).resolve()
    elif "/" in named[len(fixed) :] or "**" in named:  # the pattern reads folders below the one it begins with
        read = Path(f"{fixed}x").parent.resolve()
    else:
        return
    if path.is_relative_to(read):
        raise UsageError(f"the output {path} lies in the source {read}; name a folder outside of it")
    if read.is_relative_to(path):
        raise UsageError(f"the source {read} lies in the output folder {path}; name a folder outside of it")
