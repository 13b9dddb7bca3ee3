"""GIF: screens, frames and colour tables that do not fit, block chains without an end, LZW of nonsense."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.mutators import raw

if TYPE_CHECKING:
    from random import Random

    from fuzz.mutators.raw import Step

_EXTENSION, _IMAGE, _END = b"\x21", b"\x2c", b"\x3b"
_HEAD = 13


def parse(data: bytes) -> list[bytes]:
    """Header, colour table, and each block whole, of a GIF that is whole enough."""
    if not data.startswith(b"GIF8"):
        raise ValueError("no GIF")
    table = _HEAD + _table_bytes(data[10])
    found, at = [data[:_HEAD], data[_HEAD:table]], table
    while at < len(data) and data[at : at + 1] != _END:
        stop = _block_end(data, at)
        found.append(data[at:stop])
        at = stop
    return [*found, data[at:]]


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _block_end(data: bytes, at: int) -> int:
    if data[at : at + 1] == _EXTENSION:
        place = at + 2
    elif data[at : at + 1] == _IMAGE:
        place = at + 10 + _table_bytes(data[at + 9]) + 1
    else:
        raise ValueError(at)
    while data[place]:
        place += 1 + data[place]
    return place + 1


def drop_block(data: bytes, rng: Random) -> bytes:
    """A block, the colour table or the header is missing."""
    blocks = parse(data)
    del blocks[rng.randrange(len(blocks))]
    return b"".join(blocks)


def repeat_block(data: bytes, rng: Random) -> bytes:
    """A frame or extension stands again and again."""
    blocks = parse(data)
    at = rng.randrange(2, len(blocks))
    blocks[at:0] = [blocks[at]] * rng.choice((1, 2, 30))
    return b"".join(blocks)


def resize_screen(data: bytes, rng: Random) -> bytes:
    """The logical screen is of another size, or has other flags."""
    at = rng.choice((6, 8, 10))
    return raw.put(data, at, raw.edge(16, rng).to_bytes(2, "little"))


def edit_frame(data: bytes, rng: Random) -> bytes:
    """Where a frame lies, how large it is, its flags, and the size of its codes."""
    blocks = parse(data)
    at = rng.choice([place for place, each in enumerate(blocks) if each.startswith(_IMAGE)])
    frame, field = blocks[at], rng.randrange(5)
    if field < 4:
        blocks[at] = raw.put(frame, 1 + 2 * field, raw.edge(16, rng).to_bytes(2, "little"))
    else:
        place = rng.choice((9, 10 + _table_bytes(frame[9])))
        blocks[at] = raw.put(frame, place, bytes([raw.edge(8, rng)]))
    return b"".join(blocks)


def garble_codes(data: bytes, rng: Random) -> bytes:
    """The compressed pixels: flipped, cut, or sub-blocks of other lengths."""
    blocks = parse(data)
    at = rng.choice([place for place, each in enumerate(blocks) if each.startswith(_IMAGE)])
    head = 11 + _table_bytes(blocks[at][9])
    change = rng.choice((raw.flip_bits, raw.cut, raw.remove, raw.repeat, raw.replace, raw.erase))
    blocks[at] = blocks[at][:head] + change(blocks[at][head:], rng)
    return b"".join(blocks)


def add_extension(data: bytes, rng: Random) -> bytes:
    """Control, comment and application blocks of nonsense."""
    blocks = parse(data)
    label = bytes([rng.choice((0xF9, 0xFE, 0xFF, 0x01, rng.randrange(256)))])
    parts = [rng.randbytes(rng.choice((0, 1, 4, 11, 255))) for _ in range(rng.randrange(4))]
    chain = b"".join(bytes([len(part)]) + part for part in parts)
    blocks.insert(rng.randrange(2, len(blocks)), _EXTENSION + label + chain + rng.choice((b"\0", b"")))
    return b"".join(blocks)


STEPS: tuple[Step, ...] = (drop_block, repeat_block, resize_screen, edit_frame, garble_codes, add_extension)
