"""The MDS sink's limits: how much a shard holds, how much memory it takes, and what fields become."""

from __future__ import annotations

import io
import tracemalloc
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from dedupkit.errors import RunError
from dedupkit.sinks import mds
from dedupkit.sinks.base import KeptSample, WrittenPart
from dedupkit.sinks.emitted import keys_of_part, read_part, write_without
from dedupkit.storage import Folder
from tests.mds_reader import read_mds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NONE = pa.schema([])


def kept(number: int, image: bytes = b"image", **fields: Any) -> KeptSample:
    return KeptSample(f"key {number}", image, "png", None, 2, 3, 1, fields)


def written(folder: Path, samples: list[KeptSample], fields: pa.Schema) -> Path:
    sink, place = mds.MdsSink(), folder / "mds" / "shard.00000.mds"
    place.parent.mkdir(parents=True)
    with place.open("wb") as handle:
        rows = sink.write_part(handle, samples, fields)
    sink.finish(Folder(str(place.parent)), [WrittenPart(place.name, rows, "")], fields)
    return place


def test_more_than_offsets_can_say_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mds, "MAX_BYTES", 1000)
    with pytest.raises(RunError, match="cut the source into smaller shards"):
        mds.MdsSink().write_part(io.BytesIO(), (kept(number, bytes(200)) for number in range(5)), NONE)


def test_a_shard_is_not_held_in_memory(tmp_path: Path) -> None:
    def samples() -> Iterator[KeptSample]:
        for number in range(64):
            yield kept(number, bytes(1 << 20))

    with (tmp_path / "shard").open("wb") as handle:
        tracemalloc.start()
        mds.MdsSink().write_part(handle, samples(), NONE)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "shard").stat().st_size > 64 << 20
    assert peak < 16 << 20


def test_fields_keep_their_values_and_nulls(tmp_path: Path) -> None:
    fields = pa.schema({"tags": pa.list_(pa.string()), "mask": pa.binary(), "note": pa.string()})
    samples = [kept(0, tags=["ä", None], mask=b"\0\1", note=None), kept(1, mask=7)]
    place = written(tmp_path, samples, fields)
    first, second = read_mds(place.parent)
    assert (first["tags"], first["mask"], first["note"]) == (["ä", None], b"\0\1", None)
    assert (second["tags"], second["mask"], second["note"]) == (None, b"", None)


def test_a_part_is_written_again_without_some_keys_and_else_the_same(tmp_path: Path) -> None:
    fields = pa.schema({"label": pa.int64()})
    samples = [kept(number, bytes([number]) * 9, label=number) for number in range(5)]
    place = written(tmp_path / "all", samples, fields)
    assert keys_of_part("mds", str(place)) == [f"key {number}" for number in range(5)]
    assert [image for _, image, _ in read_part("mds", str(place))] == [sample.image for sample in samples]
    rewritten = io.BytesIO()
    assert write_without("mds", str(place), ["key 1", "key 4"], rewritten) == 3
    others = [sample for sample in samples if sample.key not in ("key 1", "key 4")]
    assert rewritten.getvalue() == written(tmp_path / "others", others, fields).read_bytes()
