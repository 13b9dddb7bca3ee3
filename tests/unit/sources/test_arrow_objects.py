"""Tables of pandas, polars, DuckDB and pyarrow as sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from dedupkit.errors import UsageError
from dedupkit.recipe import SourceOptions
from dedupkit.sample import Reason
from dedupkit.sources import open_source
from dedupkit.sources.lists import ListSource
from dedupkit.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dedupkit.sample import Sample
    from dedupkit.sources import Source

ROWS = [
    {"key": "a", "image": b"one", "caption": "A cat.", "likes": 2**63 + 1, "tags": ["x", "y"]},
    {"key": "b", "image": b"two", "caption": None, "likes": None, "tags": []},
]
MAKERS: dict[str, Callable[[pa.Table], Any]] = {
    "pandas": lambda table: table.to_pandas(types_mapper=pd.ArrowDtype),
    "polars": pl.from_arrow,
    "duckdb": lambda table: duckdb.from_arrow(table),
    "pyarrow.Table": lambda table: table,
    "pyarrow.RecordBatch": lambda table: table.to_batches()[0],
    "pyarrow.RecordBatchReader": lambda table: table.to_reader(),
}


def read(source: Source) -> list[Sample]:
    return [sample for shard in source.shards() for sample in source.read(shard)]


@pytest.mark.parametrize("spooled", [False, True])
@pytest.mark.parametrize("library", MAKERS)
def test_a_table_of_each_library_gives_the_same_samples(library: str, spooled: bool, tmp_path: Path) -> None:
    schema = pa.schema(
        {"key": pa.string(), "image": pa.binary(), "caption": pa.string(), "likes": pa.uint64()}
        | {"tags": pa.list_(pa.string())}
    )
    made = MAKERS[library](pa.Table.from_pylist(ROWS, schema))
    found = read(open_source(made, spool_to=Folder(str(tmp_path)) if spooled else None))
    assert [(sample.key, sample.image, sample.caption) for sample in found] == [
        ("a", b"one", "A cat."),
        ("b", b"two", None),
    ]
    assert [dict(sample.fields) for sample in found] == [
        {"likes": 2**63 + 1, "tags": ["x", "y"]},
        {"likes": None, "tags": []},
    ]


def test_a_column_of_paths_is_read_and_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"one")
    paths = [str(tmp_path / "a.jpg"), str(tmp_path / "gone.jpg"), None]
    found = read(open_source(pd.DataFrame({"path": paths, "text": ["A.", "B.", "C."]})))
    assert [sample.image for sample in found] == [b"one", None, None]
    assert [sample.fault and sample.fault.reason for sample in found] == [None, *[Reason.MISSING_IMAGE] * 2]
    assert [sample.key for sample in found] == [f"row-{row:08d}" for row in range(3)]


def test_a_named_column_of_paths_is_taken_where_another_holds_images(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"one")
    frame = pd.DataFrame({"where": [str(tmp_path / "a.jpg")], "image": [b"thumbnail"]})
    (found,) = read(open_source(frame, SourceOptions(image_column="where")))
    assert (found.image, found.fields) == (b"one", {"image": b"thumbnail"})


def test_the_identity_of_a_shard_is_that_of_its_rows_and_files(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"one")

    def identity(frame: pd.DataFrame) -> str:
        return open_source(frame).shards()[0].identity

    paths = pd.DataFrame({"path": [str(picture)]})
    first = identity(paths)
    assert first == identity(paths.copy())
    assert first != identity(paths.assign(caption="new"))
    picture.write_bytes(b"another")
    assert first != identity(paths)


def test_rows_are_cut_into_shards_whose_rows_are_counted_on() -> None:
    numbers = np.arange(25_000)
    source = open_source(pa.table({"image": [b"%d" % number for number in numbers]}))
    assert [shard.name for shard in source.shards()] == ["rows-00000000", "rows-00010000", "rows-00020000"]
    found = read(source)
    assert [sample.image for sample in found] == [b"%d" % number for number in numbers]
    assert [sample.key for sample in found] == [f"row-{number:08d}" for number in numbers]


def test_a_column_of_embeddings_makes_a_table_a_list() -> None:
    frame = pl.DataFrame({"url": ["https://example.com/a.jpg"], "embedding": [[0.5, 0.5]]})
    assert isinstance(open_source(frame), ListSource)


def test_polars_categories_and_pandas_categories_become_text() -> None:
    frame = pl.DataFrame({"image": [b"one"], "kind": ["cat"]}, schema_overrides={"kind": pl.Categorical})
    (found,) = read(open_source(frame))
    assert found.fields == {"kind": "cat"}
    (found,) = read(open_source(pd.DataFrame({"image": [b"one"], "kind": pd.Categorical(["cat"])})))
    assert found.fields == {"kind": "cat"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"number": [1]}), r"the table has no column that holds encoded images or paths"),
        (pd.DataFrame({"image": [object()]}), r"images be encoded bytes or paths"),
        (pl.DataFrame({"image": [1]}), r"name the column with image_column"),
    ],
)
def test_a_table_without_images_is_refused_with_a_remedy(table: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(table)
