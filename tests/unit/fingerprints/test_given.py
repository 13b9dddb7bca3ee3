"""Fingerprints that a list brings along: digests, hashes and embeddings out of columns."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dedupkit.blocklist import Blocker
from dedupkit.errors import UsageError
from dedupkit.fingerprints.given import given_fingerprints, recipe_for_list
from dedupkit.matching.descriptors import descriptor_rows
from dedupkit.recipe import Fingerprints, Matching, Output, Recipe, SourceOptions
from dedupkit.sample import FINGERPRINTS
from dedupkit.sources import open_source
from dedupkit.sources.lists import ListSource

if TYPE_CHECKING:
    from pathlib import Path

URLS = ["u1", "u2", "u1"]


def opened(folder: Path, columns: dict[str, Any], **options: str) -> ListSource:
    pq.write_table(pa.table(columns), folder / "list.parquet")
    source = open_source(folder / "list.parquet", SourceOptions(**options))
    assert isinstance(source, ListSource)
    return source


def fingerprints(folder: Path, columns: dict[str, Any], **options: str) -> pa.Table:
    source = opened(folder, columns, **options)
    recipe = recipe_for_list(Recipe(), source)
    return given_fingerprints((0, source.shards()[0]), source=source, recipe=recipe, blocker=Blocker())


def test_embeddings_come_out_scaled_to_length_one(tmp_path: Path) -> None:
    rows = [[3.0, 4.0], [0.0, -2.0], [1.0, 0.0]]
    table = fingerprints(tmp_path, {"url": URLS, "embedding": pa.array(rows, pa.list_(pa.float64()))})
    assert table.schema.equals(FINGERPRINTS)
    expected = np.array([[0.6, 0.8], [0, -1], [1, 0]])
    np.testing.assert_allclose(descriptor_rows(table["descriptor"]).astype(np.float64), expected, atol=1e-3)
    assert table["fault"].null_count == 3


@pytest.mark.parametrize("kind", [pa.list_(pa.float16()), pa.list_(pa.float32(), 2), pa.large_list(pa.float64())])
def test_any_list_of_floats_will_do(kind: pa.DataType, tmp_path: Path) -> None:
    if pa.types.is_fixed_size_list(kind) and int(pa.__version__.partition(".")[0]) < 26:
        pytest.skip("pyarrow before 26 cannot write lists of a fixed length where some are null")
    column = pa.array([[3, 4], None, [0, 1]], pa.list_(pa.float32())).cast(pa.list_(kind.value_type))
    if pa.types.is_fixed_size_list(kind):
        column = pa.array([[3, 4], None, [0, 1]], kind)
    table = fingerprints(tmp_path, {"url": URLS, "embedding": column.cast(kind)})
    assert [None if row is None else [round(each, 3) for each in row] for row in table["descriptor"].to_pylist()] == [
        [0.6, 0.8],
        None,
        [0.0, 1.0],
    ]


def test_what_is_no_embedding_is_noted_and_not_compared(tmp_path: Path) -> None:
    rows = [[1.0, 0.0], None, [0.0, 0.0], [1.0, float("nan")], [1.0, None], [1.0], [1.0, 2.0, 3.0], [float("inf"), 0.0]]
    column = pa.array(rows, pa.list_(pa.float32()))
    table = fingerprints(tmp_path, {"url": [f"u{row}" for row in range(8)], "embedding": column, "caption": ["c"] * 8})
    assert table["descriptor"].is_valid().to_pylist() == [True] + [False] * 7
    assert table["notes"].to_pylist() == [[]] + [["embedding_missing"]] * 7


def test_equal_urls_have_equal_digests_and_rows_without_one_never(tmp_path: Path) -> None:
    table = fingerprints(tmp_path, {"url": ["u1", "u2", "u1", None, None]}, url_column="url")
    digests = table["sha256"].to_pylist()
    assert digests[0] == digests[2] == hashlib.sha256(b"u1").digest()
    assert len(set(digests)) == 4


def test_a_digest_column_goes_before_the_url(tmp_path: Path) -> None:
    stated = hashlib.sha256(b"image").hexdigest()
    table = fingerprints(tmp_path, {"url": URLS, "sha256": [stated, stated, None]}, url_column="url")
    assert [each.hex() for each in table["sha256"].to_pylist()] == [stated, stated, hashlib.sha256(b"u1").hexdigest()]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0x8000000000000001 - (1 << 64), 15], pa.int64()),
        ([0x8000000000000001, 15], pa.uint64()),
        (["8000000000000001", "0x000000000000000F"], pa.string()),
        ([b"\x80" + bytes(6) + b"\x01", bytes(7) + b"\x0f"], pa.binary()),
        ([b"8000000000000001", b"000000000000000f"], pa.binary()),
    ],
    ids=["int64", "uint64", "hexadecimal", "bytes", "hexadecimal bytes"],
)
def test_hashes_of_64_bits_are_read_however_they_are_written(
    values: list[Any], kind: pa.DataType, tmp_path: Path
) -> None:
    table = fingerprints(tmp_path, {"url": ["a", "b"], "phash": pa.array(values, kind)}, hash_column="phash")
    assert table["phash"].to_pylist() == [0x8000000000000001, 15]
    assert table["pdq"].null_count == 2


def test_pdq_hashes_are_read_and_broken_ones_noted(tmp_path: Path) -> None:
    code = bytes(range(32))
    columns = {"url": URLS, "caption": URLS, "pdq": [code.hex(), "no hash", code.hex()[:-2]]}
    table = fingerprints(tmp_path, columns, hash_column="pdq")
    assert table["pdq"].to_pylist() == [code, None, None]
    assert table["notes"].to_pylist() == [[], ["metadata_invalid"], ["metadata_invalid"]]


def test_of_images_only_bytes_and_header_are_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20)).save(buffer, "PNG")
    broken = buffer.getvalue()[:60]  # the header is whole, the pixels are not
    columns = {"image": pa.array([buffer.getvalue(), broken, b"no image", None]), "embedding": [[1.0, 0.0]] * 4}
    table = fingerprints(tmp_path, columns, embedding_column="embedding")
    assert table["sha256"].to_pylist()[:3] == [
        hashlib.sha256(data).digest() for data in columns["image"].to_pylist()[:3]
    ]
    assert table["width"].to_pylist() == [30, 30, None, None]
    assert table["format"].to_pylist() == ["png", "png", None, None]
    assert table["fault"].to_pylist() == [None, None, "not_an_image", "missing_image"]


def test_a_list_has_defaults_of_its_own(tmp_path: Path) -> None:
    source = opened(tmp_path, {"url": URLS, "embedding": [[1.0]] * 3, "phash": [1, 2, 3]})
    recipe = recipe_for_list(Recipe(), source)
    assert recipe.descriptor == "given"
    assert (recipe.matching.verify, recipe.matching.min_cosine, recipe.matching.hash) == ("none", 0.96, "phash")
    assert recipe.output.formats == ("list",)
    assert recipe_for_list(recipe, source) == recipe


def test_what_the_recipe_says_stays(tmp_path: Path) -> None:
    source = opened(tmp_path, {"url": URLS, "embedding": [[1.0]] * 3})
    assert recipe_for_list(Recipe(matching=Matching(min_cosine=0.9)), source).matching.min_cosine == 0.9
    assert recipe_for_list(Recipe(preset="fast"), source).descriptor == ""


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(fingerprints=Fingerprints(descriptor="dedupkit")), "has to see images"),
        (Recipe(matching=Matching(verify="geometry")), "no images to verify"),
        (Recipe(output=Output(formats=("arrow",))), 'written as "list", got arrow'),
    ],
)
def test_what_only_images_give_is_refused(recipe: Recipe, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        recipe_for_list(recipe, opened(tmp_path, {"url": URLS, "embedding": [[1.0]] * 3}))
