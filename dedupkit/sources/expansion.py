"""How much a file may unpack to: a few kilobytes of zeros, compressed, are a terabyte that takes hours to read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_EXPANSION = 200
_PIECE_BYTES = 1 << 15


class ExpansionError(ValueError):
    """A file unpacks to more than it may."""


def most_unpacked(byte_size: int, max_bytes: int, max_expansion: int) -> int | None:
    """Bytes that a file of this size may unpack to; None where its size is not known."""
    return max_bytes + max_expansion * byte_size if byte_size else None


def check_unpacked(taken: int, most: int | None) -> None:
    """Raise ExpansionError if a file has unpacked to more than it may."""
    if most is not None and taken > most:
        raise ExpansionError(f"it unpacks to more than {most} bytes; limits.max_expansion says how much it may")


class Unpacked(io.RawIOBase):
    """What a compressed file unpacks to, up to a limit.

    It is read a little at a time: where the data is damaged, all that was asked for at once is lost.

    Parameters
    ----------
    plain : binary file
        Read forward.
    most : int or None
        Bytes; None where there is no limit.
    """

    def __init__(self, plain: Any, most: int | None) -> None:
        self._plain, self._most, self._taken = plain, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        taken = int(self._plain.readinto(memoryview(buffer).cast("B")[:_PIECE_BYTES]))
        self._taken += taken
        check_unpacked(self._taken, self._most)
        return taken
