"""A gzip file that unpacks to itself, after R. Cox, "Zip Files All The Way Down" (2010)."""

from __future__ import annotations

import struct
import zlib

_DISTANCE_BITS = 3  # extra ones of the distances 17 to 24, whose code is 8
_FIRST_DISTANCE, _DISTANCE_CODE = 17, 8
_FIRST_LENGTH, _LENGTH_CODE = 3, 1  # of the lengths 3 to 10, without extra bits
_BYTES = 200  # of the whole
_END = struct.pack("<BHH", 1, 0, 0xFFFF)  # an empty last block


def gzip_quine() -> bytes:
    """The file: each instruction takes 5 bytes, "repeat" as much as "so many bytes follow"."""
    for time in range(256):  # until the equation for the checksum has a solution
        head = b"\x1f\x8b\x08\x08" + struct.pack("<IBB", time, 0, 255) + b"q\0"
        zero = _crc(head, 0)
        columns = [_crc(head, 1 << bit) ^ zero ^ (1 << bit) for bit in range(32)]
        solution = _solved(columns, zero)
        if solution is not None:
            return _file(head, solution)
    raise ValueError("no checksum fits")


def _crc(head: bytes, stated: int) -> int:
    return zlib.crc32(_file(head, stated))


def _file(head: bytes, crc: int) -> bytes:
    tail = _END + struct.pack("<II", crc, _BYTES)
    first, last = _follow(len(head) + 5), _follow(len(tail) + 5)
    again, end = _repeat(len(head) + 5), _repeat(len(tail) + 5)
    one, four, four_again, none = _follow(5), _follow(20), _repeat(20), _follow(0)
    parts = [head, first, head, first, again, one, again, one, one, four, again, one, one, four]
    parts += [four_again, four, four_again, four, four_again, four, four_again, four]
    parts += [four_again, none, none, last, four_again, none, none, last, end, tail, end, tail]
    return b"".join(parts)


def _follow(count: int) -> bytes:
    return struct.pack("<BHH", 0, count, count ^ 0xFFFF)


def _repeat(count: int) -> bytes:
    """A block of fixed codes, 40 bits long: the last `count` bytes again, as two matches."""
    bits = "0" + "10"  # not the last block, of fixed codes
    for length in (count - 10, 10):
        bits += f"{length - _FIRST_LENGTH + _LENGTH_CODE:07b}{_DISTANCE_CODE:05b}"
        bits += f"{count - _FIRST_DISTANCE:03b}"[::-1]
    bits += "0" * 7
    return int(bits[::-1], 2).to_bytes(5, "little")


def _solved(columns: list[int], wanted: int) -> int | None:
    """Which columns add up, in GF(2), to a value."""
    rows: list[tuple[int, int]] = []  # value, and the columns that it is the sum of
    for place, column in enumerate(columns):
        value, made_of = _reduced(column, 1 << place, rows)
        if value:
            rows.append((value, made_of))
    left, made_of = _reduced(wanted, 0, rows)
    return None if left else made_of


def _reduced(value: int, made_of: int, rows: list[tuple[int, int]]) -> tuple[int, int]:
    for row, parts in rows:
        if value ^ row < value:
            value, made_of = value ^ row, made_of ^ parts
    return value, made_of
