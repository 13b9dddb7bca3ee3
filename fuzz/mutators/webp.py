"""WebP: RIFF chunks that lie, canvases and frames that do not fit, bit streams of nonsense."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fuzz.mutators import raw, tiff

if TYPE_CHECKING:
    from random import Random

    from fuzz.mutators.raw import Step


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of RIFF; `stated` is its size where it lies."""

    name: bytes
    body: bytes = b""
    stated: int | None = None

    def encoded(self) -> bytes:
        size = len(self.body) if self.stated is None else self.stated
        return self.name + struct.pack("<I", size) + self.body + bytes(len(self.body) % 2)


def parse(data: bytes) -> list[Chunk]:
    """The chunks of a WebP file that is whole enough."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("no WebP")
    found, at = [], 12
    while at + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, at + 4)
        found.append(Chunk(data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def join(chunks: list[Chunk], stated: int | None = None) -> bytes:
    """The file of some chunks."""
    body = b"WEBP" + b"".join(chunk.encoded() for chunk in chunks)
    return b"RIFF" + struct.pack("<I", len(body) if stated is None else stated) + body


def drop_chunk(data: bytes, rng: Random) -> bytes:
    """A chunk is missing."""
    chunks = parse(data)
    del chunks[rng.randrange(len(chunks))]
    return join(chunks)


def repeat_chunk(data: bytes, rng: Random) -> bytes:
    """A chunk stands twice or more often, anywhere."""
    chunks = parse(data)
    chunks[rng.randrange(len(chunks) + 1) : 0] = [rng.choice(chunks)] * rng.choice((1, 1, 3, 100))
    return join(chunks[:400])


def restate_size(data: bytes, rng: Random) -> bytes:
    """A chunk, or the file, says that it is larger or smaller than it is."""
    chunks = parse(data)
    if rng.random() < 0.3:
        return join(chunks, rng.choice((raw.edge(32, rng), max(0, len(data) + rng.randrange(-20, 20)))))
    at = rng.randrange(len(chunks))
    near = max(0, len(chunks[at].body) + rng.randrange(-4, 5))
    chunks[at] = replace(chunks[at], stated=rng.choice((near, raw.edge(32, rng))))
    return join(chunks)


def garble_chunk(data: bytes, rng: Random) -> bytes:
    """Bytes of a chunk; its first ones are sizes, flags and versions."""
    chunks = parse(data)
    at = rng.choice([place for place, each in enumerate(chunks) if each.body])
    body = chunks[at].body
    head = min(len(body), 24)
    change = rng.choice((raw.flip_bits, raw.cut, raw.remove, raw.replace))
    new = change(body[:head], rng) + body[head:] if rng.random() < 0.5 else change(body, rng)
    chunks[at] = replace(chunks[at], body=new)
    return join(chunks)


def extend(data: bytes, rng: Random) -> bytes:
    """An extended header of odd flags and canvas, before what there is."""
    flags = bytes([rng.randrange(256), 0, 0, 0])
    canvas = b"".join(raw.edge(24, rng).to_bytes(3, "little") for _ in range(2))
    return join([Chunk(b"VP8X", flags + canvas), *parse(data)])


def add_chunk(data: bytes, rng: Random) -> bytes:
    """Animation, transparency, EXIF and profiles that do not fit."""
    chunks = parse(data)
    frame = rng.randbytes(6) + b"".join(raw.edge(24, rng).to_bytes(3, "little") for _ in range(3)) + rng.randbytes(1)
    inner = rng.choice(chunks).encoded() if chunks else b""
    new = rng.choice(
        (
            Chunk(b"ANIM", rng.randbytes(rng.choice((0, 6, 7)))),
            Chunk(b"ANMF", frame + inner),
            Chunk(b"ALPH", rng.randbytes(rng.choice((0, 1, 200)))),
            Chunk(b"EXIF", tiff.odd_block(rng)),
            Chunk(b"ICCP", rng.randbytes(200)),
            Chunk(b"XMP ", rng.randbytes(50)),
            Chunk(rng.choice((b"VP8 ", b"VP8L")), rng.randbytes(60)),
        )
    )
    chunks.insert(rng.randrange(len(chunks) + 1), new)
    return join(chunks)


def rename_chunk(data: bytes, rng: Random) -> bytes:
    """A chunk called something else: lossy as lossless, a picture as a profile."""
    chunks = parse(data)
    at = rng.randrange(len(chunks))
    name = rng.choice((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANMF", b"EXIF", rng.randbytes(4)))
    chunks[at] = replace(chunks[at], name=name)
    return join(chunks)


STEPS: tuple[Step, ...] = (
    *(drop_chunk, repeat_chunk, restate_size, garble_chunk, garble_chunk, extend, add_chunk, rename_chunk),
)
