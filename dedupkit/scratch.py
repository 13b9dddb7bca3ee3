"""Large arrays that are needed for a while: in files of a folder, or in memory where there is none."""

from __future__ import annotations

import atexit
import errno
import mmap
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from dedupkit.stores import OF_THE_MACHINE, failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

_BLOCK_ROWS = 1 << 14  # read at a time
_MIXED = np.uint64(0x9E3779B97F4A7C15)  # odd, the golden ratio: hashes are far less even than digests
_FEW = 1 << 18  # numbers that wait before they are sorted
_CANNOT_RESERVE = {errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}  # some filesystems


@dataclass(frozen=True, slots=True)
class Mapped:
    """Where a scratch array lies, for a task of another process to open."""

    path: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, values: NDArray[Any]) -> Mapped | None:
        """Of a memory map over a whole file; None for any other array."""
        path = getattr(values, "filename", None)
        if path is None or values.dtype.names is not None or Path(path).stat().st_size != values.nbytes:
            return None
        return cls(str(path), values.dtype.str, values.shape)

    def opened(self) -> NDArray[Any]:
        """The array, for reading."""
        return np.memmap(self.path, np.dtype(self.dtype), "r", shape=self.shape)


@dataclass(slots=True)
class Scratch:
    """Makes the arrays; the files are numbered."""

    folder: Path | None = None
    files: list[Path] = field(default_factory=list)
    _open: list[Growing] = field(default_factory=list)

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array to be filled."""
        path = None if 0 in shape else self.file()
        if path is None:
            return np.empty(shape, dtype)
        _reserve(path, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return np.memmap(path, dtype, "r+", shape=shape)

    def growing(self, dtype: DTypeLike, shape: tuple[int, ...] = ()) -> Growing:
        """An array whose length is not known yet; `shape` is that of one item."""
        self._open.append(Growing(self.file(), np.dtype(dtype), shape))
        return self._open[-1]

    def close(self) -> None:
        """Close the files of arrays that were not read."""
        for each in self._open:
            each.close()

    def remove(self, values: NDArray[Any]) -> None:
        """Give the room of an array back before the end."""
        path = getattr(values, "filename", None)
        if path is not None:
            with suppress(PermissionError):  # Windows keeps what is mapped until the end
                Path(path).unlink(missing_ok=True)

    def file(self) -> Path | None:
        """A new file for what is no array; None where all stays in memory."""
        if self.folder is None:
            return None
        self.files.append(self.folder / f"{len(self.files)}.tmp")
        return self.files[-1]


@dataclass(slots=True)
class Growing:
    """An array that is appended to, and read when it is whole."""

    path: Path | None
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    length: int = 0
    _parts: list[NDArray[Any]] = field(default_factory=list)
    _handle: IO[bytes] | None = None

    def append(self, items: NDArray[Any]) -> None:
        """Add items to the end."""
        self.length += len(items)
        if self.path is None:
            self._parts.append(items)
            return
        if self._handle is None:
            self._handle = self.path.open("wb")
        self._handle.write(np.ascontiguousarray(items, self.dtype).data)

    def close(self) -> None:
        """Close the file; nothing can be appended any more."""
        if self._handle is not None:
            self._handle.close()

    def whole(self) -> NDArray[Any]:
        """All items: an array, or a memory map that may be written to."""
        shape = (self.length, *self.shape)
        self.close()
        if self.path is None or 0 in shape:
            parts = [np.empty((0, *self.shape), self.dtype), *self._parts]
            return np.concatenate([part.reshape(-1, *self.shape) for part in parts])
        return np.memmap(self.path, self.dtype, "r+", shape=shape)


class Distinct:
    """Different numbers out of many, sorted; three times their room at most is taken."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]
        self._waiting = 0

    def add(self, values: NDArray[np.uint64]) -> None:
        """Take numbers in, which may have come before."""
        self._parts.append(np.unique(values))
        self._waiting += len(self._parts[-1])
        if self._waiting > len(self._parts[0]) + _FEW:
            self.values()

    def values(self) -> NDArray[np.uint64]:
        """All there are by now."""
        self._parts, self._waiting = [np.unique(np.concatenate(self._parts))], 0
        return self._parts[0]


def _reserve(path: Path, size: int) -> None:
    """Make a file for which the disk has room: writing to a mapped one for which it has none ends the process."""
    with path.open("wb") as file:
        file.truncate(size)
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno not in _CANNOT_RESERVE:
                    raise


@contextmanager
def scratch_files(work: str | Path | None) -> Iterator[Scratch]:
    """A maker of scratch arrays, whose files are removed at the end; the folder is made if it does not exist.

    Raises
    ------
    RunError
        The disk is full.
    """
    if work is None:
        yield Scratch()
        return
    Path(work).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=work))
    scratch = Scratch(folder)
    try:
        yield scratch
    except OSError as error:
        if error.errno in OF_THE_MACHINE:
            raise failed("scratch files cannot be written", error) from error
        raise
    finally:
        scratch.close()
        discard(folder)


def discard(folder: Path) -> None:
    """Remove a folder of scratch files, if it is there; what Windows still holds mapped goes when the process ends."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def release(values: NDArray[Any]) -> None:
    """Take a memory map's pages out of this process; they stay in the system's cache, also those just written."""
    mapped = getattr(values, "_mmap", None)
    if mapped is not None and getattr(values, "mode", None) != "c" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def blocks(count: int, size: int = _BLOCK_ROWS) -> Iterator[slice]:
    """Slices of so many rows."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def shares_of(rows: NDArray[Any], shares: int) -> NDArray[np.int64]:
    """The share, of so many, that each row of whole numbers falls into by its content; equal rows fall into the same.

    Parameters
    ----------
    rows : ndarray of an integer type, shape (n, words)
        Keys, such as digests or hashes.
    """
    mixed = np.zeros(len(rows), dtype=np.uint64)
    for word in range(rows.shape[1]):
        mixed = (mixed ^ rows[:, word].astype(np.uint64)) * _MIXED
    return ((mixed >> np.uint64(32)) % np.uint64(shares)).astype(np.int64)
