"""A folder on any fsspec filesystem whose files appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dedupkit import disk
from dedupkit.errors import RunError, public
from dedupkit.stores import (
    OF_THE_MACHINE,
    at_once,
    failed,
    is_remote,
    on_disk,
    opened,
    read_at_once,
    steady,
    writes_whole,
)
from dedupkit.temporary import TemporaryFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence, Set

_NOT_WRITABLE = {*OF_THE_MACHINE, errno.EACCES, errno.EPERM}


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
        return cls(str(Path(on_disk(text)).resolve()))

    @property
    def remote(self) -> bool:
        """Whether this folder is not on this machine's own filesystem."""
        return is_remote(self.url)

    @property
    def puts_whole(self) -> bool:
        """Whether this folder is on a store, where a file appears whole or not at all."""
        return self.remote and writes_whole(opened(self.url)[0])

    def path(self, name: str = "") -> str:
        """Path of `name` as this folder's filesystem writes it."""
        root = opened(self.url)[1] if self.remote else str(Path(on_disk(self.url)))
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
            with self._told("removed", name, _NOT_WRITABLE):
                disk.remove(Path(self.path(name)))
            return
        try:
            self._ask("removed", name, "rm", recursive=True)
        except FileNotFoundError:
            return

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Open `name` for writing; it appears whole when the block ends well, and not at all otherwise."""
        with self._told("written", name, _NOT_WRITABLE):
            if self.remote:
                with self._writing_there(name) as handle:
                    yield handle
            else:
                with disk.writing(Path(self.path(name)), durable=self.durable) as handle:
                    yield handle

    @contextmanager
    def _writing_there(self, name: str) -> Iterator[IO[bytes]]:
        with TemporaryFolder() as scratch:
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
        if self.puts_whole:
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
        if self.remote:
            return bytes(self._ask("read", name, "cat_file", **at_once(opened(self.url)[0])))
        with self._told("read", name):
            return Path(self.path(name)).read_bytes()

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

    def missing(self, names: Sequence[str]) -> set[str]:
        """Those of some files that are not there: each is asked for, since a listing of a store may be out of date."""
        if not self.remote:
            return {name for name in names if not self.exists(name)}
        paths = {self.path(name): name for name in names}
        found = read_at_once(opened(self.url)[0], list(paths), 1)
        return {paths[path] for path, data in found.items() if isinstance(data, FileNotFoundError)}

    def size(self, name: str) -> int:
        """Size of a file in bytes."""
        return int(self._ask("read", name, "size")) if self.remote else Path(self.path(name)).stat().st_size

    @contextmanager
    def local(self, name: str) -> Iterator[str]:
        """Path of a file on this machine's disk: `name` itself, or a copy of it that lasts as long as the block."""
        if not self.remote:
            with self._told("read", name):
                yield self.path(name)
            return
        with TemporaryFolder() as scratch:
            file = str(Path(scratch, name.rpartition("/")[2]))
            self._ask("read", name, "get_file", after=(file,))
            yield file

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        """Open `name` for reading; of a store it is fetched whole first, so that no connection is held."""
        with self.local(name) as path, Path(path).open("rb") as handle:
            yield handle

    @contextmanager
    def _told(self, done: str, name: str, numbers: Set[int] = OF_THE_MACHINE) -> Iterator[None]:
        """Errors of this machine's disk, as those of a store are told."""
        try:
            yield
        except OSError as error:
            if error.errno not in numbers:
                raise
            raise failed(self._what(done, name), error) from error

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
