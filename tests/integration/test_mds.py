"""MDS shards in the hands of MosaicML Streaming, and held against those that its own writer makes."""

from __future__ import annotations

import hashlib
import json
import warnings
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import dedupkit
from dedupkit.fields import json_text
from dedupkit.recipe import Recipe
from tests.integration.conftest import write_shards
from tests.mds_reader import read_mds

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = Recipe.of({"preset": "fast", "output": {"formats": ("parquet", "mds")}})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("source") / "shards", shards=3, pictures=6).folder


@pytest.fixture(scope="module")
def out(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mds") / "out"
    dedupkit.clean(source, out, recipe=RECIPE)
    return out


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((out / "parquet").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def shards_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "mds").iterdir()}


def test_samples_are_those_of_parquet(out: Path) -> None:
    samples, rows = read_mds(out / "mds"), rows_of(out)
    assert len(samples) == len(rows)
    for sample, row in zip(samples, rows, strict=True):
        assert sample["image"] == row["image"]["bytes"]
        assert sample["caption"] == (row["caption"] or "")
        others = row.keys() - {"image", "caption", "weight"}
        assert {name: sample[name] for name in others} == {name: row[name] for name in others}


def test_the_index_names_the_bytes_of_each_shard(out: Path) -> None:
    for shard in json.loads((out / "mds/index.json").read_text())["shards"]:
        data = (out / "mds" / shard["raw_data"]["basename"]).read_bytes()
        assert shard["raw_data"]["bytes"] == len(data)
        assert shard["raw_data"]["hashes"] == {"sha256": hashlib.sha256(data).hexdigest()}


def test_workers_change_no_byte(source: Path, out: Path, tmp_path: Path) -> None:
    dedupkit.clean(source, tmp_path / "out", recipe=RECIPE, workers=2)
    assert shards_of(tmp_path / "out") == shards_of(out)


def test_a_lost_shard_is_made_again_and_the_others_stay(source: Path, out: Path, tmp_path: Path) -> None:
    dedupkit.clean(source, tmp_path / "out", recipe=RECIPE)
    first = tmp_path / "out/mds/shard.00000.mds"
    (tmp_path / "out/mds/shard.00001.mds").unlink()
    (tmp_path / "out/mds/index.json").unlink()
    before = first.stat().st_mtime_ns
    dedupkit.clean(source, tmp_path / "out", recipe=RECIPE)
    assert shards_of(tmp_path / "out") == shards_of(out)
    assert first.stat().st_mtime_ns == before


def streamed(folder: Path) -> list[dict[str, Any]]:
    streaming = pytest.importorskip("streaming")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library itself
        streaming.base.util.clean_stale_shared_memory()
        dataset = streaming.StreamingDataset(local=str(folder), shuffle=False, batch_size=1)
        return [dataset[number] for number in range(len(dataset))]


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")  # of the library itself
def test_streaming_reads_what_was_written(out: Path) -> None:
    assert streamed(out / "mds") == read_mds(out / "mds")


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")
def test_its_own_writer_makes_the_same_bytes(out: Path, tmp_path: Path) -> None:
    streaming = pytest.importorskip("streaming")
    index = json.loads((out / "mds/index.json").read_text())
    for shard in index["shards"]:
        name = shard["raw_data"]["basename"]
        columns = dict(zip(shard["column_names"], shard["column_encodings"], strict=True))
        one = tmp_path / name / "one"
        one.mkdir(parents=True)
        (one / name).write_bytes((out / "mds" / name).read_bytes())
        (one / "index.json").write_text(json.dumps({"version": 2, "shards": [shard]}))
        theirs = tmp_path / name / "theirs"
        with streaming.MDSWriter(out=str(theirs), columns=columns, hashes=["sha256"], size_limit=None) as writer:
            for sample in read_mds(one):
                # its JSON may have other blanks, so that is given as bytes, which it takes as they are
                writer.write({key: _encoded(sample[key], encoding) for key, encoding in columns.items()})
        (written,) = theirs.glob("*.mds")
        assert written.read_bytes() == (out / "mds" / name).read_bytes()
        (said,) = json.loads((theirs / "index.json").read_text())["shards"]
        assert said | {"raw_data": said["raw_data"] | {"basename": name}} == shard


def _encoded(value: Any, encoding: str) -> Any:
    return json_text(value).encode() if encoding == "json" else value
