"""Mutators: the same seed makes the same file, what is whole parses and joins to itself, steps change what they say."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from random import Random
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fuzz import mutators
from fuzz.mutators import gif, jpeg, parquet, png, tar, thrift, tiff, webp
from fuzz.narrowing import culprits, shrunk
from fuzz.pictures import any_picture, forms
from fuzz.running import FuzzError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FORMS = [form for form in forms() if form.kind != "bytes"]
PARSERS: dict[str, Callable[[bytes], bytes]] = {
    "jpeg": lambda data: jpeg.join(jpeg.parse(data)),
    "png": lambda data: png.join(png.parse(data)),
    "webp": lambda data: webp.join(webp.parse(data)),
    "gif": lambda data: b"".join(gif.parse(data)),
}


@pytest.mark.parametrize("form", FORMS, ids=[f"{form.format} {form.mode} {form.frames}" for form in FORMS])
def test_a_whole_file_is_joined_to_itself_and_every_step_changes_it_the_same_way(form: object) -> None:
    chosen = next(each for each in FORMS if each is form)
    _, data = any_picture(Random(1), chosen)
    if chosen.kind in PARSERS:
        assert PARSERS[chosen.kind](data) == data
    else:
        assert tiff.parse(data).count > 5
    for number in range(20):
        one, two = (mutators.mutated(chosen.kind, data, Random(number)) for _ in range(2))
        assert one == two
        assert one.data != data


def test_chunks_of_a_changed_png_have_right_checksums() -> None:
    _, data = any_picture(Random(2), next(form for form in FORMS if form.kind == "png"))
    changed = png.garble_chunk(data, Random(3))
    for chunk in png.parse(changed):
        encoded = chunk.encoded()
        assert struct.unpack(">I", encoded[-4:])[0] == zlib.crc32(encoded[4:-4])


def test_a_header_that_is_told_to_have_a_right_checksum_is_read_by_tarfile() -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as out:
        for name in ("a.jpg", "b.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 3
            out.addfile(info, io.BytesIO(b"abc"))
    members, end = tar.parse(target.getvalue())
    assert [member.data[:3] for member in members] == [b"abc", b"abc"]
    assert tar.join(members, end) == target.getvalue()
    renamed = tar.join([members[0].with_field(slice(0, 100), b"other.png"), members[1]], end)
    with tarfile.open(fileobj=io.BytesIO(renamed)) as found:
        assert found.getnames() == ["other.png", "b.jpg"]


def test_the_walk_through_a_footer_ends_where_the_footer_ends_and_finds_its_names() -> None:
    target = io.BytesIO()
    pq.write_table(pa.table({"image": [b"1", b"2"], "caption": ["a", "b"]}), target, row_group_size=1)
    body, footer = parquet.parse(target.getvalue())
    walk = thrift.Walk(footer)
    assert walk.at == len(footer)
    texts = [footer[span.start : span.stop] for span in walk.spans if span.kind == "text"]
    assert {b"image", b"caption"} <= set(texts)
    assert parquet.join(body, footer) == target.getvalue()
    assert len(parquet.page_headers(target.getvalue())) >= 4


@pytest.mark.parametrize(("number", "size"), [(0, 1), (127, 1), (128, 2), (300, 2), (1 << 63, 10)])
def test_varints_are_those_of_protobuf(number: int, size: int) -> None:
    encoded = thrift.varint(number)
    assert len(encoded) == size
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(encoded)) == number
    padded = thrift.padded_varint(number, size + 1)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(padded)) == number


def test_the_one_that_fails_is_found_and_made_smaller() -> None:
    def trial(items: Sequence[int]) -> None:
        if 37 in items:
            raise FuzzError("it is 37")

    assert culprits(range(100), trial) == [37]
    assert len(shrunk(bytes(500) + b"BAD" + bytes(500), lambda data: b"BAD" in data)) < 600
