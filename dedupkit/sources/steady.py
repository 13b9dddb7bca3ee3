"""Reading a remote file forward, over errors that pass."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

from dedupkit.sources.changes import changed
from dedupkit.stores import steady

if TYPE_CHECKING:
    from typing_extensions import Buffer


class SteadyReader(io.RawIOBase):
    """A file of a remote filesystem, opened anew where it stood when an error passes.

    Parameters
    ----------
    filesystem : fsspec filesystem
        Where it lies.
    path : str
        As the filesystem writes it.
    name : str
        How messages call it.
    """

    def __init__(self, filesystem: Any, path: str, name: str) -> None:
        self._filesystem, self._path = filesystem, path
        self._name, self._what = name, f"{name} could not be read"
        self._handle: Any = None
        self._at = 0
        steady(self._what, self._opened)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_END:
            self._at = int(steady(self._what, self._opened).size) + offset
        else:
            self._at = offset + (self._at if whence == os.SEEK_CUR else 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:
        room = memoryview(buffer).cast("B")
        data = steady(self._what, self._read, len(room))
        room[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _opened(self) -> Any:
        if self._handle is None:
            self._handle = self._filesystem.open(self._path, "rb")
        return self._handle

    def _read(self, most: int) -> bytes:
        handle = self._opened()
        try:
            if handle.tell() != self._at:
                handle.seek(self._at)
            return bytes(handle.read(most))
        except Exception as error:
            self._handle = None  # one that failed may hold half of a block
            handle.close()
            if type(error).__name__ == "FileExpired":  # s3fs's, of an object that is another than was listed
                raise changed(self._name) from error
            raise

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()
        super().close()
