"""WebDataset tars: grouping, captions and metadata, damage, links and sizes."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from typing import TYPE_CHECKING

import fsspec
import pyarrow as pa
import pytest
import webdataset

from dedupkit.recipe import SourceOptions
from dedupkit.sample import Note, Reason, Sample
from dedupkit.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path

Members = list[tuple[str, bytes]]


def tar_bytes(members: Members, tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tar_format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target.getvalue()


def write_tar(path: Path, members: Members) -> Path:
    path.write_bytes(tar_bytes(members))
    return path


def read(source: object, options: SourceOptions | None = None, max_bytes: int = 1 << 20) -> list[Sample]:
    opened = open_source(source, options, max_bytes=max_bytes)
    return [sample for shard in opened.shards() for sample in opened.read(shard)]


def three_samples() -> Members:
    return [(f"{n}.{ending}", bytes([65 + n]) * 700) for n in range(3) for ending in ("jpg", "txt")]


def test_img2datasets_layout_gives_key_image_caption_and_fields(tmp_path: Path) -> None:
    entries = {"key": "000", "caption": "A cat.", "url": "https://x/1.jpg", "width": 4, "exif": None}
    path = tmp_path / "00000.tar"
    write_tar(path, [("000.jpg", b"one"), ("000.txt", b"A cat."), ("000.json", json.dumps(entries).encode())])
    assert read(path) == [
        Sample("000", b"one", "A cat.", {"url": "https://x/1.jpg", "width": 4, "exif": None}, None, ())
    ]


def test_the_webdataset_librarys_own_tars_are_read(tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        writer.write({"__key__": "dir/x.y", "jpg": b"1", "txt": "One.", "json": {"n": 1}})
        writer.write({"__key__": "dir/z", "png": b"2", "cls": 7})
    first, second = read(tmp_path / "a.tar")
    assert (first.key, first.fields) == (
        "dir/x",
        {"y.jpg": b"1", "y.txt": b"One.", "y.json": b'{"n": 1}'} and first.fields,
    )
    assert (second.key, second.image, second.fields) == ("dir/z", b"2", {"cls": b"7"})


def test_keys_and_grouping_are_those_of_the_webdataset_library(tmp_path: Path) -> None:
    stored = [
        ("d.x/a.jpg", b"1"),
        ("d.x/a.seg.png", b"2"),
        ("d.x/b.JPG", b"3"),
        ("noext", b"4"),
        ("d.x/.hid.jpg", b"5"),
    ]
    path = write_tar(tmp_path / "a.tar", stored)
    with path.open("rb") as handle:
        members = [{**one, "__url__": "a.tar"} for one in webdataset.tariterators.tar_file_iterator(handle)]
    expected = [sample["__key__"] for sample in webdataset.tariterators.group_by_keys(members)]
    found = read(path)
    assert [sample.key for sample in found] == expected == ["d.x/a", "d.x/b"]
    assert (found[0].image, found[0].fields) == (b"1", {"seg.png": b"2"})


def test_other_members_stay_fields_as_bytes(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("a.cls", b"3"), ("a.npy", b"\x93NUMPY"), ("a.png", b"p"), ("a.webp", b"w")])
    [sample] = read(path)
    assert (sample.image, sample.fields) == (b"p", {"cls": b"3", "npy": b"\x93NUMPY", "webp": b"w"})


def test_a_json_entry_is_the_caption_only_without_a_text_member(tmp_path: Path) -> None:
    entries = json.dumps({"caption": "json", "key": "other"}).encode()
    path = write_tar(
        tmp_path / "a.tar", [("a.jpg", b""), ("a.json", entries), ("b.jpg", b""), ("b.json", entries), ("b.txt", b"t")]
    )
    first, second = read(path)
    assert (first.caption, first.fields) == ("json", {"key": "other"})
    assert (second.caption, second.fields) == ("t", {"caption": "json", "key": "other"})


@pytest.mark.parametrize(
    ("caption", "text", "note"),
    [(b"", "", Note.CAPTION_MISSING), (b"\xff", "\ufffd", Note.CAPTION_NOT_UTF8), (None, None, Note.CAPTION_MISSING)],
)
def test_an_odd_caption_is_noted(tmp_path: Path, caption: bytes | None, text: str | None, note: Note) -> None:
    members = [("a.jpg", b"x")] + ([("a.txt", caption)] if caption is not None else [])
    [sample] = read(write_tar(tmp_path / "a.tar", members))
    assert (sample.caption, sample.notes) == (text, (note,))


@pytest.mark.parametrize("bad", [b"{", b"[1]", b'"x"', b"[" * 100_000, b"1" * 5000])
def test_json_that_is_no_object_is_noted(tmp_path: Path, bad: bytes) -> None:
    [sample] = read(write_tar(tmp_path / "a.tar", [("a.jpg", b"x"), ("a.json", bad), ("a.txt", b"A.")]))
    assert (sample.notes, sample.fields) == ((Note.METADATA_INVALID,), {})


def test_json_that_only_other_samples_have_is_noted(tmp_path: Path) -> None:
    members = [
        ("a.jpg", b""),
        ("a.txt", b"A"),
        ("b.jpg", b""),
        ("b.txt", b"B"),
        ("b.json", b"{}"),
        ("c.jpg", b""),
        ("c.txt", b"C"),
    ]
    assert [sample.notes for sample in read(write_tar(tmp_path / "a.tar", members))] == [
        (),
        (),
        (Note.METADATA_MISSING,),
    ]


def test_a_sample_without_image_is_a_fault_that_keeps_its_caption(tmp_path: Path) -> None:
    [sample] = read(write_tar(tmp_path / "a.tar", [("a.txt", b"Only text.")]))
    assert sample.fault is not None
    assert (sample.fault.reason, sample.caption) == (Reason.MISSING_IMAGE, "Only text.")


def test_a_key_that_repeats_at_once_is_two_samples(tmp_path: Path) -> None:
    members = [("a.jpg", b"1"), ("a.txt", b"x"), ("a.jpg", b"2"), ("a.txt", b"y")]
    found = read(write_tar(tmp_path / "a.tar", members))
    assert [(sample.key, sample.image, sample.caption) for sample in found] == [("a", b"1", "x"), ("a", b"2", "y")]


def test_links_are_never_followed_and_names_are_only_names(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.jpg")
        tar.addfile(link)
        for name in ("/etc/b.jpg", "../../c.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    found = read(path)
    assert [sample.key for sample in found] == ["a", "etc/b", "../../c"]
    assert [sample.image for sample in found] == [None, b"x", b"x"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.tar", "secret.jpg"]


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_non_ascii_names_are_read_in_every_tar_format(tmp_path: Path, tar_format: int) -> None:
    key = "é" * 20 + "/" + "x" * 150
    (tmp_path / "a.tar").write_bytes(tar_bytes([(f"{key}.jpg", b"1"), ("b.jpg", b"2")], tar_format))
    assert [(sample.key, sample.image) for sample in read(tmp_path / "a.tar")] == [(key, b"1"), ("b", b"2")]


def test_a_name_that_is_not_utf8_gets_a_key_that_can_be_written(tmp_path: Path) -> None:
    data = tar_bytes([("caf\udce9.jpg", b"1")], tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(data)
    assert [sample.key for sample in read(tmp_path / "a.tar")] == ["caf\ufffd"]


@pytest.mark.parametrize(
    ("cut", "whole_keys"),
    [
        pytest.param(4 * 1536 - 700, ["0"], id="inside the caption of 1"),
        pytest.param(4 * 1536 + 100, ["0", "1"], id="inside the header of 2"),
        pytest.param(4 * 1536 + 600, ["0", "1"], id="inside the image of 2"),
        pytest.param(5 * 1536 + 100, ["0", "1"], id="inside the header of the caption of 2"),
    ],
)
def test_a_tar_cut_short_gives_the_whole_samples_and_names_the_loss(
    tmp_path: Path, cut: int, whole_keys: list[str]
) -> None:
    whole = tar_bytes(three_samples())
    assert len(whole) >= 6 * 1536
    (tmp_path / "00007.tar").write_bytes(whole[:cut])
    *before, rest = read(tmp_path / "00007.tar")
    assert [sample.key for sample in before] == whole_keys
    assert rest.fault is not None
    assert (rest.key, rest.image, rest.fault.reason) == ("00007", None, Reason.DAMAGED_SHARD)


def test_a_tar_cut_between_members_keeps_its_last_sample_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes(three_samples())[: 4 * 1536])
    *before, rest = read(tmp_path / "a.tar")
    assert [sample.key for sample in before] == ["0", "1"]
    assert rest.fault is not None
    assert "cut short" in rest.fault.detail


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    data = bytearray(tar_bytes(three_samples()))
    data[4 * 1536 : 4 * 1536 + 512] = b"\x07" * 512
    (tmp_path / "a.tar").write_bytes(data)
    found = read(tmp_path / "a.tar")
    assert [sample.key for sample in found] == ["0", "1", "a"]
    assert found[-1].fault is not None
    assert found[-1].fault.reason is Reason.DAMAGED_SHARD


def test_a_header_of_zeros_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    data = bytearray(tar_bytes(three_samples()))
    data[4 * 1536 : 4 * 1536 + 512] = bytes(512)
    (tmp_path / "a.tar").write_bytes(data)
    found = read(tmp_path / "a.tar")
    assert [sample.key for sample in found] == ["0", "1", "a"]
    assert found[-1].fault is not None
    assert found[-1].fault.detail == "a header of zeros amid its members"


def test_a_tar_behind_the_end_of_another_is_said_to_be_there(tmp_path: Path) -> None:
    data = tar_bytes(three_samples())
    (tmp_path / "a.tar").write_bytes(data + data)
    *before, rest = read(tmp_path / "a.tar")
    assert [sample.key for sample in before] == ["0", "1", "2"]
    assert rest.fault is not None
    assert "perhaps another tar" in rest.fault.detail
    (tmp_path / "a.tar").write_bytes(data + bytes(1 << 16))  # padded as for tapes
    assert [sample.key for sample in read(tmp_path / "a.tar")] == ["0", "1", "2"]


@pytest.mark.parametrize("data", [b"", b"<html>", b"\0" * 100, b"x" * 5000])
def test_what_is_no_tar_at_all_is_one_damaged_shard(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    [sample] = read(tmp_path / "a.tar")
    assert sample.fault is not None
    assert sample.fault.reason is Reason.DAMAGED_SHARD


def test_every_cut_of_a_tar_ends_in_a_sample_never_in_an_error(tmp_path: Path) -> None:
    whole = tar_bytes([("é" * 120 + ".jpg", b"x" * 600), ("b.jpg", b"y")])
    for cut in range(0, len(whole) - 10240, 97):
        (tmp_path / "a.tar").write_bytes(whole[:cut])
        last = read(tmp_path / "a.tar")[-1]
        assert last.fault is not None or cut >= len(whole.rstrip(b"\0"))


def test_most_of_what_stands_before_the_damage_of_a_compressed_tar_is_given(tmp_path: Path) -> None:
    rng = random.Random(0)
    packed = bytearray(gzip.compress(tar_bytes([(f"{n:02d}.jpg", rng.randbytes(9000)) for n in range(50)]), mtime=0))
    packed[len(packed) * 4 // 5 :] = bytes(len(packed) // 5)
    (tmp_path / "a.tar.gz").write_bytes(packed)
    *before, rest = read(tmp_path / "a.tar.gz")
    assert 35 <= len(before) <= 40
    assert [sample.key for sample in before] == [f"{n:02d}" for n in range(len(before))]
    assert rest.fault is not None


def test_compressed_tars_are_read_and_damage_in_them_is_named(tmp_path: Path) -> None:
    whole = tar_bytes(three_samples())
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(whole))
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(whole)[:-40])
    with pa.CompressedOutputStream(str(tmp_path / "c.tar.zst"), "zstd") as stream:
        stream.write(whole)
    found = read(tmp_path)
    keys = [sample.key for sample in found if sample.fault is None]
    assert keys[:3] == keys[-3:] == ["0", "1", "2"]
    assert [sample.key for sample in found if sample.fault] == ["b"]


def test_a_member_over_the_limit_is_not_read_and_the_rest_is(tmp_path: Path) -> None:
    members = [("a.jpg", b"x" * 5000), ("a.txt", b"A."), ("b.jpg", b"y"), ("b.npy", b"z" * 5000), ("b.txt", b"B.")]
    first, second = read(write_tar(tmp_path / "a.tar", members), max_bytes=4096)
    assert first.fault is not None
    assert (first.fault.reason, first.caption) == (Reason.TOO_MANY_BYTES, "A.")
    assert (second.image, second.fields, second.notes) == (b"y", {}, (Note.METADATA_INVALID,))


def test_a_header_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 8 << 30
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 4096)
    [sample] = read(tmp_path / "a.tar")
    assert sample.fault is not None
    assert "the limit is" in sample.fault.detail


def test_named_columns_choose_member_entry_and_key(tmp_path: Path) -> None:
    entries = json.dumps({"alt": "Alt.", "id": 17}).encode()
    path = write_tar(tmp_path / "a.tar", [("a.jpg", b"j"), ("a.png", b"p"), ("a.txt", b"T."), ("a.json", entries)])
    options = SourceOptions(image_column="png", caption_column="alt", key_column="id")
    [sample] = read(path, options)
    assert (sample.key, sample.image, sample.caption) == ("17", b"p", "Alt.")
    assert sample.fields == {"jpg": b"j", "txt": b"T.", "id": 17}


def test_tars_on_any_filesystem_and_their_companions(tmp_path: Path) -> None:
    filesystem = fsspec.filesystem("memory")
    for name in ("00000.tar", "00000.parquet", "00000_stats.json", "sub/00001.tar"):
        filesystem.pipe(f"/shards/{name}", tar_bytes(three_samples()) if name.endswith("tar") else b"?")
    source = open_source("memory://shards")
    assert [shard.name for shard in source.shards()] == ["00000", "sub/00001"]
    assert len([sample for shard in source.shards() for sample in source.read(shard)]) == 6
    filesystem.store.clear()
