"""Reading a tar forward: members one after the other, no seeking back, no header that fills the memory."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = tarfile.BLOCKSIZE
_MAX_HEADER_BYTES = 1 << 20  # a long name or pax record; real ones hold a few hundred bytes
_SKIP_BYTES = 1 << 20
_PADDING_BYTES = 1 << 20  # behind the end; tar itself fills up to 10 KiB, or to as much as tapes are written at once
_PAX_TYPES = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)
_NO_DATA_TYPES = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)


class DamagedTarError(Exception):
    """The rest of a tar cannot be read; `complete` where what came before it is not cut short."""

    def __init__(self, detail: str, complete: bool = False) -> None:
        super().__init__(detail)
        self.complete = complete


@dataclass(slots=True)
class Member:
    """A member of a tar; `take` gives its data until the next member is asked for."""

    name: str
    byte_size: int
    is_file: bool
    is_folder: bool
    _handle: IO[bytes]
    _left: int

    def take(self) -> bytes:
        """Its data, read once.

        Raises
        ------
        DamagedTarError
            If the tar ends before it.
        """
        data = self._handle.read(self.byte_size)
        if len(data) < self.byte_size:
            raise DamagedTarError(f"the tar ends inside {self.name}")
        self._left -= len(data)
        return data


def tar_members(handle: IO[bytes]) -> Iterator[Member]:
    """The members of a tar in their order; links are listed, never followed.

    Parameters
    ----------
    handle : binary file
        Read forward only, through a buffer.

    Raises
    ------
    DamagedTarError
        Where the tar cannot be read further, with what is wrong in words.

    Notes
    -----
    `tarfile` itself takes a damaged header after the first member for the end of the archive, which would lose the
    rest without a word; hence this reader.  It leaves the parsing of header blocks to `tarfile`.
    """
    name, size, shared_name = "", -1, ""
    while (info := _header(handle)) is not None:
        if info.type in _PAX_TYPES:
            records = _pax_records(_payload(handle, info.size))
            if info.type == tarfile.XGLTYPE:
                shared_name = _text(records.get(b"path", b"")) or shared_name
            else:
                name, size = _text(records.get(b"path", b"")) or name, _number(records.get(b"size", b"-1"))
        elif info.type == tarfile.GNUTYPE_LONGNAME:
            name = _text(_payload(handle, info.size).rstrip(b"\0"))
        elif info.type == tarfile.GNUTYPE_LONGLINK:
            _payload(handle, info.size)
        elif info.type == tarfile.GNUTYPE_SPARSE:
            raise DamagedTarError(f"{name or info.name} is a sparse file, which cannot be read")
        else:
            stored = 0 if info.type in _NO_DATA_TYPES else max(size, info.size) if size >= 0 else info.size
            member = Member(
                name or shared_name or info.name, stored, info.isreg(), info.isdir(), handle, stored + -stored % _BLOCK
            )
            yield member
            _skip(handle, member._left, member.name)
            name, size = "", -1


def _header(handle: IO[bytes]) -> tarfile.TarInfo | None:
    """The next header block; None at the archive's end."""
    block = handle.read(_BLOCK)
    if not block:
        raise DamagedTarError("the tar has no end mark: it was cut short between two members", complete=True)
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if block.count(0) == _BLOCK:
            _check_end(handle)
            return None
        raise DamagedTarError(f"damaged header: {error}") from error
    except (ValueError, OverflowError) as error:
        raise DamagedTarError(f"damaged header: {error}") from error
    if info.size < 0:
        raise DamagedTarError("damaged header: negative size")
    return info


def _check_end(handle: IO[bytes]) -> None:
    """A block of zeros ends a tar, and looks like a header that was erased: what follows has to be padding."""
    rest = handle.read(_PADDING_BYTES)
    if rest.strip(b"\0"):
        joined = not any(rest[:_BLOCK])  # two blocks are an end
        why = "behind its end there is more, perhaps another tar" if joined else "a header of zeros amid its members"
        raise DamagedTarError(why, complete=joined)


def _payload(handle: IO[bytes], byte_size: int) -> bytes:
    """The data of a header that names the next member."""
    if byte_size > _MAX_HEADER_BYTES:
        raise DamagedTarError(f"a header of {byte_size} bytes; the limit is {_MAX_HEADER_BYTES}")
    data = handle.read(byte_size + -byte_size % _BLOCK)
    if len(data) < byte_size:
        raise DamagedTarError("the tar ends inside a header")
    return data[:byte_size]


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    """Records ``LENGTH NAME=VALUE\\n`` of a pax header."""
    records, at = {}, 0
    while at < len(data) and data[at]:
        space = data.find(b" ", at, at + 20)
        length = _number(data[at:space]) if space > 0 else 0
        if length < 5 or at + length > len(data):
            raise DamagedTarError("damaged header: a pax record of wrong length")
        name, _, value = data[space + 1 : at + length - 1].partition(b"=")
        records[name] = value
        at += length
    return records


def _number(digits: bytes) -> int:
    try:
        return int(digits)
    except ValueError as error:
        raise DamagedTarError(f"damaged header: {digits[:20]!r} is no number") from error


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _skip(handle: IO[bytes], byte_size: int, name: str) -> None:
    while byte_size > 0:
        skipped = len(handle.read(min(byte_size, _SKIP_BYTES)))
        if not skipped:
            raise DamagedTarError(f"the tar ends inside {name}")
        byte_size -= skipped
