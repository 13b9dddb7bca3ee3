"""Atomic, resumable parts on any fsspec path.

A part is written beside its place, flushed to the device and renamed; its receipt follows the same way and names the
inputs it was made from.  A part without a receipt of the right inputs does not count, so a run that was killed at any
moment is simply run again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import get_ident
from typing import IO, TYPE_CHECKING, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PART_NAME = re.compile(r"(data-)?\d{5}\.(arrow|parquet|tar)")
PARTIAL = ".partial"
"""Ending of files that are being written."""


def digest(value: object) -> str:
    """Short hexadecimal SHA-256 of a JSON-like value, the same on every machine."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on any fsspec filesystem that is written atomically, file by file.

    Attributes
    ----------
    url : str
        Path or URL, without a slash at its end.
    durable : bool
        Flush files and folders to the device before they count; off for scratch work that a crash may lose.
    """

    url: str
    durable: bool = True

    @property
    def filesystem(self) -> Any:
        """The fsspec filesystem this folder lies on."""
        return fsspec.core.url_to_fs(self.url)[0]

    def path(self, name: str = "") -> str:
        """Path of `name` as this folder's filesystem writes it."""
        root = fsspec.core.url_to_fs(self.url)[1].rstrip("/")
        return f"{root}/{name}" if name else root

    @property
    def is_local(self) -> bool:
        """Whether this folder lies on the local filesystem."""
        return isinstance(self.filesystem, LocalFileSystem)

    def below(self, name: str) -> Folder:
        """The folder `name` in this one."""
        return Folder(f"{self.url}/{name}", self.durable)

    def exists(self, name: str = "") -> bool:
        """Whether a file or folder `name` is there."""
        return bool(self.filesystem.exists(self.path(name)))

    def names(self) -> list[str]:
        """Names of what lies directly in this folder, sorted; empty where there is no folder."""
        filesystem = self.filesystem
        if not filesystem.exists(self.path()):
            return []
        return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in filesystem.ls(self.path(), detail=False))

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all it holds, if it is there."""
        if self.exists(name):
            self.filesystem.rm(self.path(name), recursive=True)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Open `name` for writing; it appears whole when the block ends well, and not at all otherwise."""
        filesystem, path = self.filesystem, self.path(name)
        if not isinstance(filesystem, LocalFileSystem):
            with TemporaryDirectory(prefix="dedupkit-") as scratch:  # a store publishes what is put there, whole or not
                beside = Path(scratch, "part")
                with beside.open("wb") as handle:
                    yield handle
                filesystem.put_file(str(beside), path)
            return
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f"{place.name}.{os.getpid()}-{get_ident()}{PARTIAL}")
        try:
            with beside.open("wb") as handle:
                yield handle
                handle.flush()
                if self.durable:
                    os.fsync(handle.fileno())
            beside.replace(place)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        if self.durable:
            _flush_directory(place.parent)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a small file at once."""
        with self.writing(name) as handle:
            handle.write(data)

    def write_json(self, name: str, value: object) -> None:
        """Write a value as indented JSON."""
        self.write_bytes(name, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Read a JSON file."""
        return json.loads(self.filesystem.cat_file(self.path(name)))

    def size(self, name: str) -> int:
        """Size of a file in bytes."""
        return int(self.filesystem.size(self.path(name)))

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        """Open `name` for reading."""
        with self.filesystem.open(self.path(name), "rb") as handle:
            yield handle


def _flush_directory(path: Path) -> None:
    if os.name == "nt":  # Windows has no handle for a directory; a rename there is durable by itself
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class Stage:
    """The parts of one stage, each with a receipt.

    Attributes
    ----------
    parts : Folder
        Where the parts lie.
    receipts : Folder
        Where their receipts lie, ``NAME.json``: the inputs a part was made from, its size and what it reports.
    """

    parts: Folder
    receipts: Folder

    def stale(self, name: str, inputs: Mapping[str, str]) -> list[str] | None:
        """Why the part `name` has to be made again: None if it does not, else the inputs that changed.

        An empty list says that there was no such part.
        """
        try:
            receipt = self.receipts.read_json(f"{name}.json")
            whole, before = self.parts.size(name) == receipt["byte_size"], dict(receipt["inputs"])
        except (OSError, ValueError, KeyError, TypeError):
            return []
        if not whole:
            return []
        return [key for key in sorted({*before, *inputs}) if before.get(key) != inputs.get(key)] or None

    def commit(self, name: str, inputs: Mapping[str, str], report: object = None) -> None:
        """Write the receipt of a part that lies in its place."""
        receipt = {"inputs": dict(inputs), "byte_size": self.parts.size(name), "report": report}
        self.receipts.write_json(f"{name}.json", receipt)

    def report(self, name: str) -> Any:
        """What was reported when the part was made."""
        return self.receipts.read_json(f"{name}.json")["report"]

    def discard_others(self, names: list[str]) -> None:
        """Remove every part that is not named, of an earlier source or recipe, and what was written half.

        Other files in the folder of the parts, such as a reader's own, are left alone.
        """
        wanted = set(names)
        for receipt in self.receipts.names():
            name = receipt.removesuffix(".json")
            if name not in wanted:
                self.parts.remove(name)
                self.receipts.remove(receipt)
        for name in self.parts.names():
            if name not in wanted and (name.endswith(PARTIAL) or _PART_NAME.fullmatch(name)):
                self.parts.remove(name)
