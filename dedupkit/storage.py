"""Atomic, resumable parts on any fsspec path.

On a disk a part is written beside its place, flushed to the device and renamed; on an object store it is put at once.
Its receipt follows the same way and names the inputs it was made from.  A part without a receipt of the right inputs
does not count, so a run that was killed at any moment is simply run again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

from dedupkit import disk
from dedupkit.disk import PARTIAL
from dedupkit.errors import RunError, public
from dedupkit.stores import at_once, failed, is_remote, opened, read_at_once, steady, writes_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PART_NAME = re.compile(r"(data-)?\d{5}\.(arrow|parquet|tar)")
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}


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

    Notes
    -----
    On a store each method is one request or two, made again where an error passes (`dedupkit.stores.steady`).  What
    cannot be read or written at last is a `RunError`.
    """

    url: str
    durable: bool = True

    @classmethod
    def at(cls, place: str | os.PathLike[str]) -> Folder:
        """The folder that a path or URL names."""
        text = os.fspath(place)
        if is_remote(text):
            return cls(text.rstrip("/"))
        return cls(str(Path(re.sub("^(file|local)://", "", text)).resolve()))

    @property
    def remote(self) -> bool:
        """Whether this folder is not on this machine's own filesystem."""
        return is_remote(self.url)

    def path(self, name: str = "") -> str:
        """Path of `name` as this folder's filesystem writes it."""
        root = opened(self.url)[1] if self.remote else str(Path(self.url))
        return f"{root}/{name}" if name else root

    def below(self, name: str) -> Folder:
        """The folder `name` in this one."""
        return Folder(f"{self.url}/{name}", self.durable)

    def exists(self, name: str = "") -> bool:
        """Whether a file or folder `name` is there."""
        if not self.remote:
            return Path(self.path(name)).exists()
        try:
            self._ask("looked for", name, "info")  # fsspec's own `exists` takes any error for a no
        except FileNotFoundError:
            return False
        return True

    def names(self) -> list[str]:
        """Names of what lies directly in this folder, sorted; empty where there is no folder."""
        return sorted(self.sizes())

    def sizes(self) -> dict[str, int]:
        """Size in bytes of each file that lies directly in this folder, 0 of folders, by name."""
        if not self.remote:
            return disk.sizes(Path(self.path()))
        try:
            entries = self._ask("listed", "", "ls", detail=True)
        except FileNotFoundError:
            return {}
        root = self.path()
        named = {entry["name"].rstrip("/"): int(entry.get("size") or 0) for entry in entries}
        # some stores keep an empty object that stands for the folder itself
        return {path.rpartition("/")[2]: size for path, size in named.items() if path.strip("/") != root.strip("/")}

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all it holds, if it is there."""
        if not self.remote:
            disk.remove(Path(self.path(name)))
            return
        try:
            self._ask("removed", name, "rm", recursive=True)
        except FileNotFoundError:
            return

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Open `name` for writing; it appears whole when the block ends well, and not at all otherwise."""
        try:
            if self.remote:
                with self._writing_there(name) as handle:
                    yield handle
            else:
                with disk.writing(Path(self.path(name)), durable=self.durable) as handle:
                    yield handle
        except OSError as error:
            if error.errno in _OF_THE_DISK:
                raise failed(self._what("written", name), error) from error
            raise

    @contextmanager
    def _writing_there(self, name: str) -> Iterator[IO[bytes]]:
        with TemporaryDirectory(prefix="dedupkit-", ignore_cleanup_errors=True) as scratch:
            file = Path(scratch, "part")
            with file.open("wb") as handle:
                yield handle
            self._put(file, name)

    def _put(self, file: Path, name: str) -> None:
        filesystem, path = opened(self.url)[0], self.path(name)
        if writes_whole(filesystem):
            self._ask("written", name, "put_file", before=(str(file),))
            return
        beside = disk.partial_name(path)

        def put() -> None:
            filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            filesystem.put_file(str(file), beside)
            filesystem.mv(beside, path)

        steady(self._what("written", name), put)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a small file at once."""
        if self.remote and writes_whole(opened(self.url)[0]):
            self._ask("written", name, "pipe_file", after=(data,))
            return
        with self.writing(name) as handle:
            handle.write(data)

    def create(self, name: str, data: bytes) -> bool:
        """Write a small file where there is none; False where there is one, or where there may be one."""
        what, filesystem, path = self._what("written", name), opened(self.url)[0], self.path(name)

        def put() -> None:
            if writes_whole(filesystem):
                filesystem.pipe_file(path, data, mode="create")
                return
            filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            with filesystem.open(path, "xb") as handle:
                handle.write(data)

        try:
            steady(what, put)
        except FileNotFoundError:
            raise
        except (OSError, RunError, ValueError) as error:  # each store says in its own words that there is one
            if self.exists(name):
                return False
            raise error if isinstance(error, RunError) else failed(what, error) from error
        return True

    def write_json(self, name: str, value: object) -> None:
        """Write a value as indented JSON."""
        self.write_bytes(name, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())

    def read_bytes(self, name: str) -> bytes:
        """Read a small file at once."""
        if not self.remote:
            return Path(self.path(name)).read_bytes()
        return bytes(self._ask("read", name, "cat_file", **at_once(opened(self.url)[0])))

    def read_json(self, name: str) -> Any:
        """Read a JSON file."""
        return json.loads(self.read_bytes(name))

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """Read many small files, of a store at the same time; those that are not there are left out."""
        if not self.remote:
            return {name: self.read_bytes(name) for name in names if self.exists(name)}
        paths = {self.path(name): name for name in names}
        found = read_at_once(opened(self.url)[0], list(paths))
        return {paths[path]: data for path, data in found.items() if isinstance(data, bytes)}

    def size(self, name: str) -> int:
        """Size of a file in bytes."""
        return int(self._ask("read", name, "size")) if self.remote else Path(self.path(name)).stat().st_size

    @contextmanager
    def local(self, name: str) -> Iterator[str]:
        """Path of a file on this machine's disk: `name` itself, or a copy of it that lasts as long as the block."""
        if not self.remote:
            yield self.path(name)
            return
        with TemporaryDirectory(prefix="dedupkit-", ignore_cleanup_errors=True) as scratch:
            file = str(Path(scratch, name.rpartition("/")[2]))
            self._ask("read", name, "get_file", after=(file,))
            yield file

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        """Open `name` for reading; of a store it is fetched whole first, so that no connection is held."""
        with self.local(name) as path, Path(path).open("rb") as handle:
            yield handle

    def _ask(
        self,
        done: str,
        name: str,
        method: str,
        before: tuple[Any, ...] = (),
        after: tuple[Any, ...] = (),
        **options: Any,
    ) -> Any:
        """Call a method of the filesystem on one path, as often as it takes."""
        filesystem, path = opened(self.url)[0], self.path(name)
        try:
            return steady(self._what(done, name), getattr(filesystem, method), *before, path, *after, **options)
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError as error:
            raise failed(self._what(done, name), error) from error

    def _what(self, done: str, name: str) -> str:
        return f"{public(self.url).rpartition('/')[2]}/{name} could not be {done}".replace("/ ", " ")


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
        return self.stale_among({name: inputs})[name]

    def stale_among(self, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, list[str] | None]:
        """What `stale` says of each of many parts, whose inputs are given by name; folders are listed but once."""
        sizes = self.parts.sizes()
        there = sizes.keys() & {name.removesuffix(".json") for name in self.receipts.names()}
        receipts = self.receipts.read_many([f"{name}.json" for name in wanted if name in there])
        return {name: _stale(receipts.get(f"{name}.json"), sizes.get(name), wanted[name]) for name in wanted}

    def commit(self, name: str, inputs: Mapping[str, str], report: object = None, byte_size: int | None = None) -> None:
        """Write the receipt of a part that lies in its place; its size is asked for where it is not given."""
        size = self.parts.size(name) if byte_size is None else byte_size
        receipt = {"inputs": dict(inputs), "byte_size": size, "report": report}
        self.receipts.write_json(f"{name}.json", receipt)

    def report(self, name: str) -> Any:
        """What was reported when the part was made."""
        return self.receipts.read_json(f"{name}.json")["report"]

    def reports(self, names: Sequence[str]) -> list[Any]:
        """What `report` says of each of many parts."""
        receipts = self.receipts.read_many([f"{name}.json" for name in names])
        return [json.loads(receipts[f"{name}.json"])["report"] for name in names]

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


def _stale(receipt: bytes | None, byte_size: int | None, inputs: Mapping[str, str]) -> list[str] | None:
    if receipt is None or byte_size is None:
        return []
    try:
        said = json.loads(receipt)
        whole, before = byte_size == said["byte_size"], dict(said["inputs"])
    except (ValueError, KeyError, TypeError):
        return []
    if not whole:
        return []
    return [key for key in sorted({*before, *inputs}) if before.get(key) != inputs.get(key)] or None
