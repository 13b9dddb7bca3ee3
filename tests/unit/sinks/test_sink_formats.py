from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pyarrow as pa
import pytest

from dedupkit.errors import UsageError
from dedupkit.sinks import make_sink
from dedupkit.sinks.base import KeptSample
from dedupkit.sinks.names import MemberNames, extension, file_name


def kept(key: str, **fields: Any) -> KeptSample:
    return KeptSample(key, b"encoded", "jpeg", None, 3, 2, 1, fields)


def members(samples: list[KeptSample], fields: pa.Schema | None = None) -> dict[str, bytes]:
    handle = io.BytesIO()
    make_sink("webdataset").write_part(handle, samples, pa.schema([]) if fields is None else fields)
    handle.seek(0)
    with tarfile.open(fileobj=handle, mode="r|") as tar:
        found = {}
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
            content = tar.extractfile(member)
            found[member.name] = content.read() if content else b""
    return found


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match=r"must be one of arrow, parquet, webdataset, mds.*, got 'csv'"):
        make_sink("csv")


@pytest.mark.parametrize(
    ("image_format", "expected"),
    [
        ("jpeg", "jpg"),
        ("mpo", "jpg"),
        ("tiff", "tif"),
        ("webp", "webp"),
        ("jpeg2000", "jp2"),
        ("../x", "x"),
        ("", "img"),
    ],
)
def test_extensions(image_format: str, expected: str) -> None:
    assert extension(image_format) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/b", "b.jpg"),
        ("a/b.JPG", "b.JPG"),
        ("b.jpeg", "b.jpeg"),
        ("b.png", "b.png.jpg"),
        ("a/", "a.jpg"),
        ("", "image.jpg"),
    ],
)
def test_file_names(key: str, expected: str) -> None:
    assert file_name(key, "jpeg") == expected


def test_member_names_never_clash_and_never_leave_the_tar() -> None:
    names = MemberNames()
    keys = ["a.b", "a_b", "a.b.png", "../../etc/passwd", "/root", "x/", ".", "tab\tnul\0", "\ud800"]
    made = [names.of(key) for key in keys]
    assert made == ["a_b", "a_b_2", "a_b_3", "etc/passwd", "root", "x/_", "_", "tab_nul_", "__2"]


def test_a_sample_becomes_image_text_and_json() -> None:
    found = members([kept("shard.1/pic.7", label=3)], pa.schema({"label": pa.int64()}))
    assert list(found) == ["shard.1/pic_7.jpg", "shard.1/pic_7.txt", "shard.1/pic_7.json"]
    assert json.loads(found["shard.1/pic_7.json"]) == {
        "key": "shard.1/pic.7",
        "caption": None,
        "captions": [],
        "width": 3,
        "height": 2,
        "group_size": 1,
        "weight": 1.0,
        "label": 3,
    }


def test_binary_fields_are_members_that_never_pass_for_the_image() -> None:
    fields = pa.schema({"png": pa.binary(), "Mask": pa.binary(), "mask": pa.binary(), "a/b": pa.binary()})
    found = members([kept("k", png=b"1", Mask=b"2", mask=b"3", **{"a/b": b"4"})], fields)
    assert list(found)[3:] == ["k.source.png", "k.mask", "k.mask_", "k.a_b"]
    assert [*found.values()][3:] == [b"1", b"2", b"3", b"4"]


def test_long_and_foreign_keys_survive_in_a_tar() -> None:
    key = "ключ/" + "字" * 60
    assert f"{key}.jpg" in members([kept(key)])
    longer = [name for name in members([kept("字" * 1300), kept("字" * 1301)]) if name.endswith(".jpg")]
    assert len(longer) == 2
    assert all(len(name.encode()) <= 255 for name in longer)  # what file systems take
