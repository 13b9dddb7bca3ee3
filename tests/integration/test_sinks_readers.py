"""Outputs in the hands of the libraries that people train with."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dedupkit.fields import unify
from dedupkit.sinks import make_sink
from dedupkit.sinks.arrow import ArrowSink
from dedupkit.sinks.base import KeptSample, WrittenPart
from dedupkit.sinks.batches import BatchLimits
from dedupkit.sinks.parquet import ParquetSink
from dedupkit.storage import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit.sinks.base import Sink

FEATURES = datasets.Features(
    {
        "z_label": datasets.ClassLabel(names=["cat", "dog"]),
        "boxes": [
            {"box": datasets.List(datasets.Value("float32"), length=4), "kind": datasets.ClassLabel(names=["a"])}
        ],
        "score": datasets.Value("float16"),
        "taken": datasets.Value("timestamp[ns, tz=UTC]"),
    }
)


def kept(number: int) -> KeptSample:
    buffer = io.BytesIO()
    Image.new("RGB", (20 + number, 10), (number, 90, 200)).save(buffer, "png")
    return KeptSample(
        key=f"{number}",
        image=buffer.getvalue(),
        format="png",
        caption=f"wall {number}",
        width=20 + number,
        height=10,
        group_size=1,
        fields={
            "z_label": number % 2,
            "boxes": [{"box": [0.0, 1.0, 2.0, 3.5], "kind": 0}],
            "score": 0.5,
            "taken": None,
        },
    )


def write(sink: Sink, out: Path, numbers: list[range], fields: pa.Schema) -> str:
    folder = Folder(str(out)).below(sink.folder)
    parts = []
    for index, part in enumerate(numbers):
        with folder.writing(sink.part_name(index)) as handle:
            rows = sink.write_part(handle, map(kept, part), fields)
        parts.append(WrittenPart(sink.part_name(index), rows, sha256=str(list(part))))
    sink.finish(folder, parts, fields)
    return folder.url


@pytest.fixture
def declared() -> pa.Schema:
    return unify([FEATURES.arrow_schema, FEATURES.arrow_schema])


def test_declared_features_survive_in_the_order_of_the_source(tmp_path: Path, declared: pa.Schema) -> None:
    saved = datasets.load_from_disk(write(make_sink("arrow"), tmp_path, [range(3)], declared))
    assert saved.features["image"] == datasets.Image()
    assert {name: saved.features[name] for name in FEATURES} == FEATURES
    assert list(saved.features)[8:] == list(FEATURES)


def test_a_saved_dataset_is_memory_mapped_and_not_cast(tmp_path: Path, declared: pa.Schema) -> None:
    saved = datasets.load_from_disk(write(make_sink("arrow"), tmp_path, [range(3), range(3, 5)], declared))
    assert len(saved.cache_files) == 2  # files in memory have no name
    assert saved.data.schema == saved.features.arrow_schema


def test_what_datasets_saves_again_is_equal(tmp_path: Path, declared: pa.Schema) -> None:
    ours = datasets.load_from_disk(write(make_sink("arrow"), tmp_path, [range(3)], declared))
    ours.save_to_disk(str(tmp_path / "again"))
    theirs = datasets.load_from_disk(str(tmp_path / "again"))
    assert theirs.features.to_dict() == ours.features.to_dict()
    assert theirs.data.table.equals(ours.data.table)
    state = json.loads((tmp_path / "dataset" / "state.json").read_text())
    assert state.keys() == json.loads((tmp_path / "again" / "state.json").read_text()).keys()


def test_an_iterable_dataset_decodes_images(tmp_path: Path, declared: pa.Schema) -> None:
    saved = datasets.load_from_disk(write(make_sink("arrow"), tmp_path, [range(3), range(3, 7)], declared))
    stream = saved.to_iterable_dataset(num_shards=2).shuffle(seed=1, buffer_size=4)
    assert sorted(sample["image"].size[0] for sample in stream) == list(range(20, 27))


def test_the_fingerprint_follows_values_of_equal_length(tmp_path: Path) -> None:
    """`Dataset.map` would otherwise answer from the cache of an earlier run."""
    prints = []
    for name, numbers in (("a", range(3)), ("b", range(1, 4)), ("c", range(3))):
        url = write(make_sink("arrow"), tmp_path / name, [numbers], pa.schema([]))
        prints.append(datasets.load_from_disk(url)._fingerprint)
    assert prints[0] == prints[2] != prints[1]


@pytest.mark.parametrize("sink", [ArrowSink(BatchLimits(max_rows=3)), ArrowSink(BatchLimits(max_bytes=300))])
def test_batches_are_bounded(sink: ArrowSink, tmp_path: Path) -> None:
    write(sink, tmp_path, [range(10)], pa.schema([]))
    batches = list(pa.ipc.open_stream((tmp_path / "dataset" / "data-00000.arrow").read_bytes()))
    assert sum(batch.num_rows for batch in batches) == 10
    assert max(batch.num_rows for batch in batches) <= 3


def test_parquet_carries_image_features_and_bounded_row_groups(tmp_path: Path, declared: pa.Schema) -> None:
    url = write(ParquetSink(BatchLimits(max_rows=4)), tmp_path, [range(10), range(0)], declared)
    about = pq.read_metadata(f"{url}/data-00000.parquet")
    codecs = {
        about.row_group(0).column(i).path_in_schema: about.row_group(0).column(i).compression
        for i in range(about.num_columns)
    }
    assert about.num_row_groups == 3
    assert codecs.pop("image.bytes") == "UNCOMPRESSED"
    assert set(codecs.values()) == {"ZSTD"}
    loaded = datasets.load_dataset(
        "parquet", data_files=f"{url}/*.parquet", split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.features["image"] == datasets.Image()
    assert loaded.features["z_label"] == FEATURES["z_label"]
    assert loaded[4]["image"].size == (24, 10)
