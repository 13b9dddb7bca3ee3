"""Parquet: footers and page headers whose numbers lie, pages garbled, chunks that lie elsewhere.

Numbers are found by walking through the Thrift structures; what is changed inside a footer stays a footer of a right
length, so that readers get past the first check.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

from fuzz.mutators import raw
from fuzz.mutators.thrift import Walk, padded_varint, varint

if TYPE_CHECKING:
    from random import Random

    from fuzz.mutators.raw import Step

_MAGIC = b"PAR1"
_TAIL = 8


def parse(data: bytes) -> tuple[bytes, bytes]:
    """What comes before the footer, and the footer, of a Parquet file that is whole enough."""
    if data[-4:] != _MAGIC:
        raise ValueError("no Parquet")
    (length,) = struct.unpack_from("<I", data, len(data) - _TAIL)
    start = len(data) - _TAIL - length
    if start < 4:
        raise ValueError(length)
    return data[:start], data[start:-_TAIL]


def join(body: bytes, footer: bytes, stated: int | None = None) -> bytes:
    """The file of a body and a footer."""
    return body + footer + struct.pack("<I", len(footer) if stated is None else stated) + _MAGIC


def page_headers(data: bytes) -> list[int]:
    """Where the headers of the first pages of all columns stand, by a reader that is not ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    try:
        metadata = pq.read_metadata(io.BytesIO(data))
        for group in range(metadata.num_row_groups):
            for column in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(column)
                offsets = (chunk.data_page_offset, chunk.dictionary_page_offset if chunk.has_dictionary_page else None)
                found += [offset for offset in offsets if offset]
    except (pa.ArrowException, OSError) as error:
        raise ValueError("no Parquet any more") from error
    return sorted(found)


def edit_footer(data: bytes, rng: Random) -> bytes:
    """Some numbers, lengths, names or types of the footer."""
    body, footer = parse(data)
    for _ in range(rng.choice((1, 1, 1, 3))):
        footer = _changed(footer, 0, rng)
    return join(body, footer)


def edit_page_header(data: bytes, rng: Random) -> bytes:
    """Sizes, counts and encodings of a page."""
    return _changed(data, rng.choice(page_headers(data)), rng, keep_size=rng.random() < 0.7)


def _changed(data: bytes, at: int, rng: Random, *, keep_size: bool = False) -> bytes:
    """A structure in which one thing is another."""
    kinds = rng.choice((("number", "length", "count"), ("number",), ("field", "list", "id"), ("text",)))
    spans = [each for each in Walk(data, at).spans if each.kind in kinds and each.stop > each.start]
    span = rng.choice(spans)
    old = data[span.start : span.stop]
    if span.kind in ("number", "length", "count", "id"):
        number = rng.choice((raw.edge(8, rng), raw.edge(32, rng), raw.edge(64, rng)))
        new = padded_varint(number, len(old)) if keep_size else varint(number)
    elif span.kind == "text":
        new = raw.flip_bits(old, rng) if rng.random() < 0.8 else rng.randbytes(len(old))
    else:
        new = bytes([rng.choice((old[0] ^ 1 << rng.randrange(8), old[0] & 0xF0 | rng.randrange(13)))])
    return data[: span.start] + new + data[span.stop :]


def restate_footer(data: bytes, rng: Random) -> bytes:
    """The length of the footer lies."""
    body, footer = parse(data)
    return join(body, footer, rng.choice((raw.edge(32, rng), max(0, len(footer) + rng.randrange(-40, 40)))))


def drop_footer(data: bytes, rng: Random) -> bytes:
    """The file ends before its footer, or has no magic, or begins with none."""
    body, footer = parse(data)
    return rng.choice((body, body + footer, data[:-4], b"PARE" + data[4:], data[:-4] + b"PARE", body[4:] + footer))


def repeat_footer(data: bytes, rng: Random) -> bytes:
    """Two footers, or one of another file's length."""
    body, footer = parse(data)
    return join(body, footer * 2) if rng.random() < 0.5 else join(body + footer, footer)


def garble_pages(data: bytes, rng: Random) -> bytes:
    """Bytes of the pages: flipped, erased, replaced; the file keeps its length or not."""
    body, footer = parse(data)
    change = rng.choice((raw.flip_bits, raw.erase, raw.replace, raw.set_number, raw.remove, raw.insert))
    return join(change(body, rng), footer)


def swap_pages(data: bytes, rng: Random) -> bytes:
    """Where one column's pages should stand, there are another's."""
    offsets = page_headers(data)
    a, b = rng.choice(offsets), rng.choice(offsets)
    length = rng.randrange(16, 2000)
    return raw.put(data, a, data[b : b + length][: max(0, len(data) - 8 - a)])


STEPS: tuple[Step, ...] = (
    *(edit_footer, edit_footer, edit_footer, edit_page_header, edit_page_header, restate_footer, drop_footer),
    *(repeat_footer, garble_pages, swap_pages),
)
