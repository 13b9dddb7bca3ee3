"""Lists: tables without images, with embeddings in a column or in a matrix beside them."""

from __future__ import annotations

import io
import logging
import pickle
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dedupkit.errors import UsageError
from dedupkit.recipe import SourceOptions
from dedupkit.sample import Reason
from dedupkit.sources import open_source
from dedupkit.sources.lists import ListSource
from dedupkit.sources.matrices import opened_matrix
from dedupkit.sources.places import place_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

URLS = ["https://a.example/1.jpg", "https://b.example/2.jpg", "https://a.example/3.jpg"]
VECTORS = np.array([[1, 0], [0, 2], [3, 4]], dtype=np.float32)


def vectors(values: NDArray[Any] = VECTORS) -> pa.Array:
    return pa.array(values.tolist(), pa.list_(pa.float32()))


def columns(**more: Any) -> dict[str, Any]:
    return {"url": URLS, "caption": ["one", "two", None], "embedding": vectors(), **more}


def write_table(path: Path, values: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(values), path)
    return path


def write_clip_retrieval(folder: Path, shards: int = 2, rows: int = 3) -> Path:
    """The layout that clip-retrieval writes and LAION published."""
    for shard in range(shards):
        urls = [f"https://a.example/{shard}-{row}.jpg" for row in range(rows)]
        write_table(folder / "metadata" / f"metadata_{shard}.parquet", {"url": urls, "caption": urls})
        (folder / "img_emb").mkdir(exist_ok=True)
        np.save(folder / "img_emb" / f"img_emb_{shard}.npy", np.eye(rows, dtype=np.float16) + shard)
    return folder


def opened(source: object, options: SourceOptions | None = None) -> ListSource:
    found = open_source(source, options)
    assert isinstance(found, ListSource)
    return found


def test_a_table_of_urls_and_embeddings_is_a_list_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "dedupkit"):
        source = opened(write_table(tmp_path / "a.parquet", columns()))
    assert caplog.messages == [
        "a.parquet: no image is decoded; embeddings from column embedding, hashes from None, URLs from url"
    ]
    assert source.has_embeddings
    assert not source.has_images


def test_rows_are_samples_without_image_and_without_fault(tmp_path: Path) -> None:
    source = opened(write_table(tmp_path / "a.parquet", columns()))
    [shard] = source.shards()
    samples = list(source.read(shard))
    assert [(sample.key, sample.image, sample.caption, sample.fault) for sample in samples] == [
        ("a-00000000", None, "one", None),
        ("a-00000001", None, "two", None),
        ("a-00000002", None, None, None),
    ]
    assert [sample.fields["url"] for sample in samples] == URLS


def test_a_matrix_beside_each_table_goes_with_its_rows(tmp_path: Path) -> None:
    source = opened(write_clip_retrieval(tmp_path))
    found = [piece for shard in source.shards() for piece in source.pieces(shard)]
    assert [shard.name for shard in source.shards()] == ["metadata/metadata_0.parquet", "metadata/metadata_1.parquet"]
    np.testing.assert_array_equal(np.concatenate([piece.vectors for piece in found if piece.vectors is not None]),
                                  np.concatenate([np.eye(3), np.eye(3) + 1]))  # fmt: skip


def test_a_matrix_of_the_tables_own_name_counts_too(tmp_path: Path) -> None:
    path = write_table(tmp_path / "part.parquet", {"url": URLS})
    np.save(tmp_path / "part.npy", VECTORS)
    [piece] = opened(path).pieces(opened(path).shards()[0])
    np.testing.assert_array_equal(piece.vectors, VECTORS)


def test_a_changed_matrix_changes_the_shard(tmp_path: Path) -> None:
    before = opened(write_clip_retrieval(tmp_path)).shards()
    np.save(tmp_path / "img_emb" / "img_emb_1.npy", np.eye(3, dtype=np.float32))
    after = opened(tmp_path).shards()
    assert [a.identity == b.identity for a, b in zip(before, after, strict=True)] == [True, False]


def test_a_matrix_of_other_length_damages_its_shard(tmp_path: Path) -> None:
    source = opened(write_clip_retrieval(tmp_path))
    np.save(tmp_path / "img_emb" / "img_emb_0.npy", np.eye(5, dtype=np.float16))
    [piece] = source.pieces(source.shards()[0])
    [sample] = piece.samples
    assert sample.fault is not None
    assert sample.fault.reason is Reason.DAMAGED_SHARD
    assert "5 embeddings, metadata/metadata_0.parquet 3 rows" in sample.fault.detail


@pytest.mark.parametrize(
    ("stated", "instead"),
    [
        (b"'shape': (3, 3)", b"'shape': (3, 9" + b"9" * 11 + b")"),
        (b"'shape': (3, 3)", b"'shape': (3, -3)"),
        (b"{'descr'", b"(('descr'"),
        (b"'<f2'", b"'<f2"),
    ],
)
def test_a_header_that_lies_or_is_no_header_damages_its_shard(tmp_path: Path, stated: bytes, instead: bytes) -> None:
    source = opened(write_clip_retrieval(tmp_path))
    path = tmp_path / "img_emb" / "img_emb_0.npy"
    data = path.read_bytes()
    assert stated in data
    path.write_bytes(data.replace(stated, instead).replace(b" " * (len(instead) - len(stated)) + b"\n", b"\n"))
    *_, piece = source.pieces(source.shards()[0])
    assert piece.samples[-1].fault is not None
    assert piece.samples[-1].fault.reason is Reason.DAMAGED_SHARD


def test_a_table_without_its_matrix_is_named(tmp_path: Path) -> None:
    write_clip_retrieval(tmp_path)
    (tmp_path / "img_emb" / "img_emb_1.npy").unlink()
    with pytest.raises(UsageError, match=r"metadata/metadata_1.parquet has no \.npy"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        np.array([["a"]]),
        np.arange(6).reshape(2, 3),
        np.zeros(4, np.float32),
        np.asfortranarray(np.zeros((2, 3), np.float32)),
        np.array([[None]], dtype=object),
    ],
    ids=["text", "integers", "one row", "columns first", "objects"],
)
def test_a_file_of_anything_but_rows_of_floats_is_refused(content: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", content, allow_pickle=True)
    with (
        pytest.raises(ValueError, match="rows of floating-point numbers"),
        opened_matrix(place_of(str(tmp_path / "a.npy")).file()),
    ):
        pass


def test_a_matrix_that_is_cut_off_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VECTORS)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-4])
    with opened_matrix(place_of(str(tmp_path / "a.npy")).file()) as matrix:
        np.testing.assert_array_equal(matrix.read(2), VECTORS[:2])
        with pytest.raises(ValueError, match="ends 4 bytes too early"):
            matrix.read(1)


@pytest.mark.parametrize("name", ["image_embedding", "clip_vector", "vit_features"])
def test_an_embedding_is_known_by_its_name_and_type(name: str, tmp_path: Path) -> None:
    values = {"URL": URLS, name: vectors(), "text_embedding": vectors(), "bbox": vectors()}
    assert opened(write_table(tmp_path / "a.parquet", values)).given.embedding == name


def test_several_likely_embeddings_have_to_be_told_apart(tmp_path: Path) -> None:
    values = {"url": URLS, "clip_vector": vectors(), "dino_vector": vectors()}
    path = write_table(tmp_path / "a.parquet", values)
    with pytest.raises(UsageError, match="clip_vector, dino_vector; name embedding_column"):
        open_source(path)
    assert opened(path, SourceOptions(embedding_column="dino_vector")).given.embedding == "dino_vector"


def test_laions_hash_of_url_and_text_is_no_perceptual_hash(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.parquet", columns(hash=[1, 2, 3]))
    assert opened(path).given.phash is None


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("image_phash", pa.string(), ("image_phash", None)),
        ("pdq", pa.string(), (None, "pdq")),
        ("h", pa.int64(), ("h", None)),
        ("h", pa.binary(32), (None, "h")),
        ("h", pa.string(), ("h", "h")),
    ],
)
def test_the_kind_of_a_hash_is_told_by_its_name_or_type(
    name: str, kind: pa.DataType, expected: tuple[str | None, str | None], tmp_path: Path
) -> None:
    path = write_table(tmp_path / "a.parquet", {"url": URLS, name: pa.array([None] * 3, kind)})
    given = opened(path, SourceOptions(hash_column=name)).given
    assert (given.phash, given.pdq) == expected


def test_urls_alone_are_a_list_only_where_they_are_named(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.parquet", {"url": URLS, "caption": URLS})
    with pytest.raises(UsageError, match="no column that holds encoded images"):
        open_source(path)
    assert opened(path, SourceOptions(url_column="url")).given.url == "url"


def test_a_table_with_images_stays_one_unless_an_embedding_is_named(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.parquet", columns(image=pa.array([b"1", b"2", b"3"])))
    assert not isinstance(open_source(path), ListSource)
    assert opened(path, SourceOptions(embedding_column="embedding")).has_images


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding_column": "nothing"}, "no column 'nothing'"),
        ({"embedding_column": "url"}, "embedding_column must name one of lists of floating-point numbers"),
        ({"hash_column": "embedding"}, "hash_column must name one of integers, bytes or hexadecimal text"),
        ({"url_column": "embedding"}, "url_column must name one of text"),
    ],
)
def test_columns_that_do_not_fit_are_refused(options: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(write_table(tmp_path / "a.parquet", columns()), SourceOptions(**options))


def test_a_dataset_of_urls_and_embeddings_is_a_list(tmp_path: Path) -> None:
    dataset = datasets.Dataset(pa.table(columns()))
    source = opened(dataset)
    [piece] = source.pieces(source.shards()[0])
    assert [sample.key for sample in piece.samples] == ["row-00000000", "row-00000001", "row-00000002"]
    dataset.save_to_disk(str(tmp_path / "saved"))
    assert opened(tmp_path / "saved").given == source.given


def test_a_list_is_picklable_and_reads_the_same_elsewhere(tmp_path: Path) -> None:
    source = opened(write_clip_retrieval(tmp_path))
    copied, shards = pickle.loads(pickle.dumps((source, list(source.shards()))))
    assert [sample for shard in shards for sample in copied.read(shard)] == [
        sample for shard in source.shards() for sample in source.read(shard)
    ]
    buffer = io.BytesIO()
    np.save(buffer, next(copied.pieces(shards[0])).vectors)
    assert len(buffer.getvalue()) > 128
