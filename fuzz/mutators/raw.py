"""Steps that know nothing of a format, and the numbers that programs get wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from random import Random

Step = Callable[[bytes, Random], bytes]
CANNOT = (ValueError, IndexError, KeyError, TypeError, struct.error, zlib.error, OverflowError, RecursionError)
"""What a step raises that meets a file it cannot read."""
_EDGES = (0, 1, 2, 3, 7, 8, 15, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def edge(bits: int, rng: Random) -> int:
    """A number of so many bits where counting, signs or products overflow, or any."""
    largest = (1 << bits) - 1
    fitting = [number for number in _EDGES if number <= largest]
    return rng.choice([*fitting, largest, largest >> 1, rng.randint(0, largest), rng.randint(0, min(largest, 4096))])


def span(data: bytes, rng: Random, longest: int = 4096) -> tuple[int, int]:
    """A stretch of some bytes, short more often than long."""
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + int(min(longest, len(data)) ** rng.random()))


def put(data: bytes, at: int, new: bytes) -> bytes:
    """The data with other bytes at a place."""
    if at < 0 or at + len(new) > len(data):
        raise IndexError(at)
    return data[:at] + new + data[at + len(new) :]


def flip_bits(data: bytes, rng: Random) -> bytes:
    """Turn some bits over."""
    flipped = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def set_number(data: bytes, rng: Random) -> bytes:
    """Put a number at the edge of what a field holds somewhere."""
    size, order = rng.choice((1, 2, 4, 8)), rng.choice(("big", "little"))
    at = rng.randrange(min(len(data), rng.choice((64, 512, 1 << 30))))
    return put(data, at, edge(8 * size, rng).to_bytes(size, "big" if order == "big" else "little"))


def cut(data: bytes, rng: Random) -> bytes:
    """End the file early."""
    return data[: rng.choice((rng.randrange(len(data) + 1), len(data) - 1, min(len(data), rng.randrange(64))))]


def remove(data: bytes, rng: Random) -> bytes:
    """Leave a stretch out."""
    start, stop = span(data, rng)
    return data[:start] + data[stop:]


def repeat(data: bytes, rng: Random) -> bytes:
    """Have a stretch twice or more often."""
    start, stop = span(data, rng)
    return data[:stop] + data[start:stop] * rng.choice((1, 1, 3, 40)) + data[stop:]


def erase(data: bytes, rng: Random) -> bytes:
    """Fill a stretch with one byte."""
    start, stop = span(data, rng)
    return data[:start] + bytes([rng.choice((0, 0, 0xFF, 0x20, rng.randrange(256)))]) * (stop - start) + data[stop:]


def insert(data: bytes, rng: Random) -> bytes:
    """Put noise in between."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 16, 300))) + data[at:]


def replace(data: bytes, rng: Random) -> bytes:
    """Noise in place of a stretch."""
    start, stop = span(data, rng)
    return data[:start] + rng.randbytes(stop - start) + data[stop:]


def append(data: bytes, rng: Random) -> bytes:
    """Something behind the end."""
    return data + rng.choice((b"\0" * 1000, rng.randbytes(200), data, b"<html>", data[: len(data) // 2]))


STEPS: tuple[Step, ...] = (flip_bits, set_number, cut, remove, repeat, erase, insert, replace, append)
