"""PNG: chunks that lie, are missing or out of place, bombs in text and profiles, filters of nonsense."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fuzz.mutators import raw, tiff

if TYPE_CHECKING:
    from random import Random

    from fuzz.mutators.raw import Step

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BOMB = zlib.compress(bytes(8 << 20), 9)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk; `stated` and `crc` where they lie."""

    name: bytes
    body: bytes = b""
    stated: int | None = None
    crc: int | None = None

    def encoded(self) -> bytes:
        length = len(self.body) if self.stated is None else self.stated
        crc = zlib.crc32(self.name + self.body) if self.crc is None else self.crc
        return struct.pack(">I", length) + self.name + self.body + struct.pack(">I", crc)


def parse(data: bytes) -> list[Chunk]:
    """The chunks of a PNG that is whole enough."""
    if not data.startswith(_SIGNATURE):
        raise ValueError("no PNG")
    found, at = [], len(_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append(Chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def join(chunks: list[Chunk]) -> bytes:
    """The file of some chunks, each with the checksum that it should have."""
    return _SIGNATURE + b"".join(chunk.encoded() for chunk in chunks)


def drop_chunk(data: bytes, rng: Random) -> bytes:
    """A chunk is missing."""
    chunks = parse(data)
    del chunks[rng.randrange(len(chunks))]
    return join(chunks)


def repeat_chunk(data: bytes, rng: Random) -> bytes:
    """A chunk stands twice, or many times."""
    chunks = parse(data)
    chunks[rng.randrange(len(chunks) + 1) : 0] = [rng.choice(chunks)] * rng.choice((1, 1, 3, 200))
    return join(chunks[:1000])


def swap_chunks(data: bytes, rng: Random) -> bytes:
    """Two chunks change places."""
    chunks = parse(data)
    a, b = rng.randrange(len(chunks)), rng.randrange(len(chunks))
    chunks[a], chunks[b] = chunks[b], chunks[a]
    return join(chunks)


def restate_length(data: bytes, rng: Random) -> bytes:
    """A chunk says that it is longer or shorter than it is."""
    chunks = parse(data)
    at = rng.randrange(len(chunks))
    near = max(0, len(chunks[at].body) + rng.randrange(-3, 4))
    chunks[at] = replace(chunks[at], stated=rng.choice((near, raw.edge(32, rng))))
    return join(chunks)


def wrong_checksum(data: bytes, rng: Random) -> bytes:
    """A chunk whose checksum is not that of its content."""
    chunks = parse(data)
    at = rng.randrange(len(chunks))
    chunks[at] = replace(chunks[at], crc=raw.edge(32, rng))
    return join(chunks)


def resize(data: bytes, rng: Random) -> bytes:
    """The header says that the picture is of another size, or none."""
    return _edited(data, rng, b"IHDR", lambda body, rng: raw.put(body, rng.choice((0, 4)), _word(rng)))


def edit_header(data: bytes, rng: Random) -> bytes:
    """Depth, colour, compression, filter, interlacing."""
    return _edited(
        data,
        rng,
        b"IHDR",
        lambda body, rng: raw.put(body, rng.randrange(8, 13), bytes([rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))])),
    )


def garble_chunk(data: bytes, rng: Random) -> bytes:
    """Bytes of a chunk, under a right checksum."""
    chunks = parse(data)
    at = rng.choice([place for place, each in enumerate(chunks) if each.body])
    change = rng.choice((raw.flip_bits, raw.cut, raw.remove, raw.repeat, raw.replace))
    chunks[at] = replace(chunks[at], body=change(chunks[at].body, rng))
    return join(chunks)


def garble_pixels(data: bytes, rng: Random) -> bytes:
    """Rows of the picture before they are compressed: filters that do not exist, rows too many, too few."""
    chunks = parse(data)
    pixels = zlib.decompress(b"".join(each.body for each in chunks if each.name == b"IDAT"))
    change = rng.choice((raw.flip_bits, raw.cut, raw.remove, raw.repeat, raw.erase))
    packed = zlib.compress(change(pixels, rng), 1)
    first = next(place for place, each in enumerate(chunks) if each.name == b"IDAT")
    others = [each for each in chunks if each.name != b"IDAT"]
    return join([*others[:first], *_split(packed, rng), *others[first:]])


def _split(packed: bytes, rng: Random) -> list[Chunk]:
    piece = rng.choice((len(packed), len(packed), 1 + len(packed) // 2, 1 + len(packed) // 100))
    return [Chunk(b"IDAT", packed[at : at + piece]) for at in range(0, len(packed), piece)]


def add_chunk(data: bytes, rng: Random) -> bytes:
    """Palettes, transparency, animation, profiles and texts that do not fit, and those that burst when unpacked."""
    chunks = parse(data)
    new = rng.choice(
        (
            Chunk(b"PLTE", rng.randbytes(rng.choice((0, 1, 3, 768, 769)))),
            Chunk(b"tRNS", rng.randbytes(rng.choice((0, 1, 2, 6, 256, 300)))),
            Chunk(b"acTL", _word(rng) + _word(rng)),
            Chunk(b"fcTL", b"".join(_word(rng) for _ in range(5)) + rng.randbytes(6)),
            Chunk(b"fdAT", _word(rng) + rng.randbytes(20)),
            Chunk(b"iCCP", b"p\0" + rng.choice((b"\0" + _BOMB, b"\1", rng.randbytes(40)))),
            Chunk(b"zTXt", b"k\0\0" + _BOMB),
            Chunk(b"iTXt", b"k\0\1\0\0\0" + rng.choice((_BOMB, b"", rng.randbytes(20)))),
            Chunk(b"tEXt", rng.choice((b"", b"\0", b"k" * 500, bytes(100)))),
            Chunk(b"eXIf", tiff.odd_block(rng)),
            Chunk(b"gAMA", _word(rng)),
            Chunk(b"pHYs", rng.randbytes(rng.choice((0, 3, 9)))),
            Chunk(rng.randbytes(4), rng.randbytes(30)),
        )
    )
    chunks.insert(rng.randrange(len(chunks) + 1), new)
    return join(chunks)


def _edited(data: bytes, rng: Random, name: bytes, change: Step) -> bytes:
    chunks = parse(data)
    at = rng.choice([place for place, each in enumerate(chunks) if each.name == name])
    chunks[at] = replace(chunks[at], body=change(chunks[at].body, rng))
    return join(chunks)


def _word(rng: Random) -> bytes:
    return raw.edge(32, rng).to_bytes(4, "big")


STEPS: tuple[Step, ...] = (
    *(drop_chunk, repeat_chunk, swap_chunks, restate_length, wrong_checksum, resize, edit_header, garble_chunk),
    *(garble_pixels, add_chunk, add_chunk),
)
