"""What a source may hold and unpack to."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dedupkit.errors import UsageError
from dedupkit.sample import Note, Reason
from dedupkit.sources import folder as folders
from dedupkit.sources import open_source
from dedupkit.sources.limited import LimitedSource
from tests.hostile_cases import tar_of

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit.sample import Sample
    from dedupkit.sources.base import Source


def read(source: Source) -> list[Sample]:
    return [sample for shard in source.shards() for sample in source.read(shard)]


@pytest.mark.parametrize(("caption", "stays"), [("x" * 8, True), ("x" * 9, False), ("ä" * 4, True), ("ä" * 5, False)])
def test_a_caption_over_the_limit_is_left_out_and_noted(caption: str, stays: bool) -> None:
    source = LimitedSource(open_source([{"key": "a", "image": b"1", "caption": caption, "site": "b"}]), 8)
    (sample,) = read(source)
    assert (sample.caption == caption) is stays
    assert (Note.CAPTION_TOO_LONG in sample.notes) is not stays
    assert (sample.image, sample.fields) == (b"1", {"site": "b"})


@pytest.mark.parametrize(("factor", "faults"), [(1, [Reason.DAMAGED_SHARD]), (1000, [None])])
def test_a_tar_unpacks_to_so_many_times_its_size_and_no_more(
    factor: int, faults: list[Reason | None], tmp_path: Path
) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(tar_of(("a.png", bytes(1 << 20)))))
    source = open_source(tmp_path / "a.tar.gz", max_bytes=2 << 20 if factor > 1 else 1000, max_expansion=factor)
    assert [sample.fault and sample.fault.reason for sample in read(source)] == faults


def test_a_table_unpacks_to_so_many_times_its_size_and_no_more(tmp_path: Path) -> None:
    images = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([bytes(1 << 16)], pa.binary()))
    rows = {"key": [f"{row}" for row in range(1000)], "jpg": images}
    pq.write_table(pa.table({name: rows[name] for name in ("key",)} | {"jpg": [b"x"] * 1000}), tmp_path / "a.parquet")
    pq.write_table(pa.table(rows), tmp_path / "b.parquet")
    found = read(open_source(tmp_path, max_bytes=1 << 20, max_expansion=10))
    assert [sample.key for sample in found if sample.fault] == ["b.parquet"]
    assert sum(sample.fault is None for sample in found) == 1000
    whole = read(open_source(tmp_path, max_bytes=1 << 30))
    assert [sample.key for sample in whole if sample.fault] == []


def test_texts_that_are_not_read_are_noted(tmp_path: Path) -> None:
    for name in ("large", "leads", "told"):
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    (tmp_path / "large.txt").write_bytes(b"x" * 2000)
    (tmp_path / "large.json").write_bytes(b'{"a": "' + b"x" * 2000 + b'"}')
    (tmp_path / "leads.txt").symlink_to("/etc/hostname")
    (tmp_path / "told.txt").write_bytes(b"told")
    found = {sample.key: sample for sample in read(open_source(tmp_path, max_bytes=1000))}
    assert found["told.png"].caption == "told"
    for name in ("large.png", "leads.png"):
        assert found[name].caption is None
        assert set(found[name].notes) == {Note.CAPTION_MISSING, Note.METADATA_INVALID}


def test_a_metadata_file_that_memory_cannot_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MAX_METADATA_BYTES", 10)
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "metadata.jsonl").write_bytes(b'{"file_name": "a.png"}')
    with pytest.raises(UsageError, match=r"metadata.jsonl has 22 bytes, .*write the set as tars or Parquet"):
        open_source(tmp_path).shards()
