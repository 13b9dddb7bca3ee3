"""TIFF: directories that point at themselves, entries of other types and counts, strips outside of the file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fuzz.mutators import raw

if TYPE_CHECKING:
    from random import Random

    from fuzz.mutators.raw import Step

_ENTRY_BYTES = 12
_WIDTH, _HEIGHT, _DEPTH, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _ORIENTATION = 256, 257, 258, 259, 262, 273, 274
_SAMPLES, _ROWS_A_STRIP, _STRIP_BYTES, _PREDICTOR, _TILE_WIDTH, _FORMAT = 277, 278, 279, 317, 322, 339
_TAGS = (
    *(_WIDTH, _HEIGHT, _DEPTH, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _ORIENTATION, _SAMPLES, _ROWS_A_STRIP),
    *(_STRIP_BYTES, 284, _PREDICTOR, 320, _TILE_WIDTH, 323, 324, 325, 338, _FORMAT, 347, 330, 34665, 34675, 700),
)
_COMPRESSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34676, 34712, 34887, 34925, 50000, 50001, 50002)


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the first directory lies and how numbers are written."""

    order: str
    at: int
    count: int

    def entry(self, number: int) -> int:
        """Where an entry begins."""
        return self.at + 2 + _ENTRY_BYTES * number


def parse(data: bytes) -> Directory:
    """The first directory of a TIFF file."""
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    return Directory(order, at, count)


def odd_block(rng: Random) -> bytes:
    """A small TIFF block as EXIF holds it: an orientation that is none, pointers anywhere."""
    order = rng.choice("<>")
    tags = [(_ORIENTATION, rng.randrange(14), rng.choice((0, 1, 2, raw.edge(32, rng))), raw.edge(32, rng))]
    tags += [
        (
            rng.choice((271, 34665, 34853, 40965, 513, 514, rng.randrange(65536))),
            rng.randrange(14),
            raw.edge(16, rng),
            8,
        )
        for _ in range(rng.randrange(6))
    ]
    body = b"".join(struct.pack(f"{order}HHII", *(number & 0xFFFFFFFF for number in tag)) for tag in tags)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", rng.choice((8, 8, 8, raw.edge(32, rng))))
    count = struct.pack(f"{order}H", rng.choice((len(tags), len(tags), raw.edge(16, rng))))
    return head + count + body + struct.pack(f"{order}I", rng.choice((0, 8, raw.edge(32, rng))))


def edit_value(data: bytes, rng: Random) -> bytes:
    """The value of an entry, or where it lies."""
    found = parse(data)
    at = found.entry(rng.randrange(found.count)) + 8
    if rng.random() < 0.5:
        return raw.put(data, at, struct.pack(f"{found.order}H", raw.edge(16, rng)))
    return raw.put(data, at, struct.pack(f"{found.order}I", raw.edge(32, rng)))


def edit_entry(data: bytes, rng: Random) -> bytes:
    """Tag, type or count of an entry."""
    found = parse(data)
    at = found.entry(rng.randrange(found.count))
    field = rng.randrange(3)
    if field == 0:
        return raw.put(data, at, struct.pack(f"{found.order}H", rng.choice(_TAGS)))
    if field == 1:
        return raw.put(data, at + 2, struct.pack(f"{found.order}H", rng.choice((*range(14), 16, 17, 18, 65535))))
    return raw.put(data, at + 4, struct.pack(f"{found.order}I", raw.edge(32, rng)))


def set_tag(data: bytes, rng: Random) -> bytes:
    """A value that decides how pixels are read: size, depth, compression, colours, samples, predictor."""
    found = parse(data)
    tags = (_WIDTH, _HEIGHT, _DEPTH, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS_A_STRIP, _PREDICTOR, _FORMAT)
    wanted = rng.choice(tags)
    for number in range(found.count):
        at = found.entry(number)
        (tag,) = struct.unpack_from(f"{found.order}H", data, at)
        if tag == wanted:
            value = rng.choice(_COMPRESSIONS) if tag == _COMPRESSION else raw.edge(16, rng)
            return raw.put(data, at + 8, struct.pack(f"{found.order}H", value))
    at = found.entry(rng.randrange(found.count))
    return raw.put(data, at, struct.pack(f"{found.order}HHIHH", wanted, 3, 1, raw.edge(16, rng), 0))


def chain(data: bytes, rng: Random) -> bytes:
    """The next directory is this one, or anywhere."""
    found = parse(data)
    target = rng.choice((found.at, 0, 4, raw.edge(32, rng), rng.randrange(len(data))))
    return raw.put(data, found.entry(found.count), struct.pack(f"{found.order}I", target))


def recount(data: bytes, rng: Random) -> bytes:
    """A directory of more or fewer entries than there are."""
    found = parse(data)
    count = rng.choice((0, found.count - 1, found.count + 1, raw.edge(16, rng)))
    return raw.put(data, found.at, struct.pack(f"{found.order}H", count & 0xFFFF))


def move_directory(data: bytes, rng: Random) -> bytes:
    """The first directory lies elsewhere."""
    found = parse(data)
    return raw.put(data, 4, struct.pack(f"{found.order}I", rng.choice((rng.randrange(len(data)), raw.edge(32, rng)))))


def other_order(data: bytes, rng: Random) -> bytes:
    """Numbers are said to be written the other way round, or the file to be a BigTIFF."""
    return rng.choice((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"IIU\0")) + data[4:]


STEPS: tuple[Step, ...] = (
    *(edit_value, edit_value, edit_entry, set_tag, set_tag, chain, recount, move_directory, other_order),
)
