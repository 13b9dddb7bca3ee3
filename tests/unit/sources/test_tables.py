"""Parquet, Arrow and saved datasets: columns, exact fields, images by path, and damage."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

import datasets
import fsspec
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from dedupkit.errors import UsageError
from dedupkit.recipe import SourceOptions
from dedupkit.sample import Fault, Note, Reason, Sample
from dedupkit.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path


def read(source: object, options: SourceOptions | None = None, max_bytes: int = 1 << 20) -> list[Sample]:
    opened = open_source(source, options, max_bytes=max_bytes)
    return [sample for shard in opened.shards() for sample in opened.read(shard)]


def faults(samples: list[Sample]) -> dict[str, Reason]:
    return {sample.key: sample.fault.reason for sample in samples if sample.fault}


def dataset(rows: int = 3) -> datasets.Dataset:
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
        }
    )
    columns = {
        "image": [{"bytes": b"%d" % row, "path": f"{row}.jpg"} for row in range(rows)],
        "text": [f"Picture {row}." for row in range(rows)],
        "label": [row % 2 for row in range(rows)],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def test_rows_become_samples_and_other_columns_stay_exact(tmp_path: Path) -> None:
    columns = {
        "key": ["a", "b"],
        "image": pa.array([b"1", b"2"]),
        "caption": ["A.", None],
        "taken": pa.array([datetime(2020, 1, 2), None], pa.timestamp("ms")),
        "score": pa.array([1, 2], pa.int8()),
    }
    source = open_source(write_parquet(tmp_path / "train.parquet", columns))
    [shard] = source.shards()
    assert list(source.read(shard)) == [
        Sample("a", b"1", "A.", {"taken": datetime(2020, 1, 2), "score": 1}),
        Sample("b", b"2", None, {"taken": None, "score": 2}, None, (Note.CAPTION_MISSING,)),
    ]
    assert source.fields(shard) == pa.schema({"taken": pa.timestamp("ms"), "score": pa.int8()})


def test_rows_without_a_key_are_named_by_file_and_row(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "train.parquet", {"jpg": pa.array([b"1", b"2"])}, row_group_size=1)
    assert [sample.key for sample in read(tmp_path)] == ["train-00000000", "train-00000001"]


def test_a_key_column_of_numbers_gives_keys_and_stays_a_field(tmp_path: Path) -> None:
    [sample] = read(write_parquet(tmp_path / "a.parquet", {"id": [7], "image": pa.array([b"1"])}))
    assert (sample.key, sample.fields) == ("7", {"id": 7})


def test_a_list_of_captions_gives_the_first_and_stays_a_field(tmp_path: Path) -> None:
    [sample] = read(write_parquet(tmp_path / "a.parquet", {"image": pa.array([b"1"]), "captions": [["A.", "B."]]}))
    assert (sample.caption, sample.fields) == ("A.", {"captions": ["A.", "B."]})


def test_the_guessed_columns_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"blob": pa.array([b"1"]), "TEXT": ["A."]})
    with caplog.at_level(logging.INFO, "dedupkit"):
        open_source(path)
    assert caplog.messages == ["a.parquet: images from column blob, captions from TEXT, keys from None"]


def test_named_columns_go_before_guesses(tmp_path: Path) -> None:
    columns = {"image": pa.array([b"1"]), "crop": pa.array([b"2"]), "caption": ["no"], "alt": ["yes"], "n": [5]}
    options = SourceOptions(image_column="crop", caption_column="alt", key_column="n")
    [sample] = read(write_parquet(tmp_path / "a.parquet", columns), options)
    assert (sample.key, sample.image, sample.caption) == ("5", b"2", "yes")
    assert sample.fields == {"image": b"1", "caption": "no", "n": 5}


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"url": ["u"], "caption": ["c"]}, {}, r"no column that holds encoded images; it has url \(string\)"),
        ({"x": pa.array([b"1"]), "y": pa.array([b"1"])}, {}, "several columns .* name the column with image_column"),
        ({"image": ["path.jpg"]}, {"image_column": "image"}, "'image' of a.parquet is string"),
        ({"image": pa.array([b"1"])}, {"caption_column": "alt"}, "no column 'alt'"),
    ],
)
def test_columns_that_cannot_be_used_are_named(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, str], message: str
) -> None:
    path = write_parquet(tmp_path / "a.parquet", columns)
    with pytest.raises(UsageError, match=message):
        open_source(path, SourceOptions(**options))


def test_an_image_by_path_is_read_below_the_sources_folder_only(tmp_path: Path) -> None:
    (tmp_path / "in" / "img").mkdir(parents=True)
    (tmp_path / "in" / "img" / "a.jpg").write_bytes(b"a")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    paths = ["img/a.jpg", "gone.jpg", "../secret.jpg", str(tmp_path / "secret.jpg"), "link.jpg", None, "http://x/a.jpg"]
    images = pa.array([{"bytes": None, "path": path} for path in paths], IMAGE)
    path = write_parquet(tmp_path / "in" / "t.parquet", {"image": images, "key": list("abcdefg")})
    found = read(path)
    assert [sample.image for sample in found] == [b"a"] + [None] * 6
    assert faults(found) == {**dict.fromkeys("bcdfg", Reason.MISSING_IMAGE), "e": Reason.UNREADABLE_FILE}


def test_a_caption_that_is_not_utf8_does_not_end_the_batch(tmp_path: Path) -> None:
    bad = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\xffB"))
    first, second = read(write_parquet(tmp_path / "a.parquet", {"image": pa.array([b"1", b"2"]), "caption": bad}))
    assert (first.caption, first.notes) == ("\ufffd", (Note.CAPTION_NOT_UTF8,))
    assert (second.caption, second.notes) == ("B", ())


def test_a_value_that_python_cannot_hold_is_null_and_noted(tmp_path: Path) -> None:
    far = pa.array([1 << 60, 0], pa.int64()).cast(pa.timestamp("us"))
    first, second = read(write_parquet(tmp_path / "a.parquet", {"image": pa.array([b"1", b"2"]), "far": far}))
    assert (first.fields, first.notes) == ({"far": None}, (Note.CAPTION_MISSING, Note.METADATA_INVALID))
    assert second.fields == {"far": datetime(1970, 1, 1)}


@pytest.mark.parametrize("damage", ["footer", "empty", "text"])
def test_a_parquet_file_that_is_none_is_one_damaged_shard_beside_a_whole_one(tmp_path: Path, damage: str) -> None:
    write_parquet(tmp_path / "b.parquet", {"image": pa.array([b"1"]), "key": ["k"]})
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes({"footer": whole[:-20], "empty": b"", "text": b"<html>" * 9}[damage])
    found = read(tmp_path)
    assert faults(found) == {"a.parquet": Reason.DAMAGED_SHARD}
    assert found[1].key == "k"
    source = open_source(tmp_path)
    assert source.fields(source.shards()[0]) is None


def test_a_footer_that_states_more_rows_than_there_are_is_damage(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"image": pa.array([b"1"] * 77)})
    footer = path.read_bytes()
    (tmp_path / "a.parquet").write_bytes(footer.replace(b"\x16\x9a\x01", b"\x16\x9c\x01", 1))  # zigzag of 77, of 78
    assert pq.read_metadata(path).num_rows == 78
    *before, rest = read(path)
    assert len(before) == 77
    assert rest.fault == Fault(Reason.DAMAGED_SHARD, "78 rows are stated, 77 were found")


def test_rows_before_a_damaged_page_are_given(tmp_path: Path) -> None:
    images = pa.array([bytes([65 + row]) * 5000 for row in range(10)])
    path = write_parquet(
        tmp_path / "a.parquet", {"image": images}, row_group_size=1, compression="zstd", use_dictionary=False
    )
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(6).column(0).data_page_offset
    data[start : start + 30] = b"\xff" * 30
    path.write_bytes(data)
    *before, rest = read(path)
    assert [sample.image[:1] for sample in before if sample.image] == [b"A", b"B", b"C", b"D", b"E", b"F"]
    assert faults([rest]) == {"a.parquet": Reason.DAMAGED_SHARD}


@pytest.mark.parametrize("kind", ["stream", "file", "feather"])
def test_arrow_streams_files_and_feather_are_read(tmp_path: Path, kind: str) -> None:
    table = pa.table({"image": pa.array([b"1", b"2"]), "text": ["A.", "B."]})
    path = tmp_path / ("a.feather" if kind == "feather" else "a.arrow")
    if kind == "feather":
        feather.write_feather(table, str(path))
    else:
        opened = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
        with opened(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=1)
    assert [(sample.key, sample.caption) for sample in read(path)] == [("a-00000000", "A."), ("a-00000001", "B.")]


def test_an_arrow_stream_cut_short_gives_the_batches_before(tmp_path: Path) -> None:
    table = pa.table({"image": pa.array([b"1" * 4000, b"2" * 4000])})
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    data = (tmp_path / "a.arrow").read_bytes()
    (tmp_path / "a.arrow").write_bytes(data[: len(data) - 2000])
    first, rest = read(tmp_path / "a.arrow")
    assert first.image == b"1" * 4000
    assert faults([rest]) == {"a.arrow": Reason.DAMAGED_SHARD}


def test_a_column_name_that_is_not_utf8_is_damage(tmp_path: Path) -> None:
    table = pa.table({"image": pa.array([b"1"]), "zzzzzzzz": [1]})
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    data = (tmp_path / "a.arrow").read_bytes()
    (tmp_path / "a.arrow").write_bytes(data.replace(b"zzzzzzzz", b"\xffzzzzzzz"))
    assert faults(read(tmp_path / "a.arrow")) == {"a.arrow": Reason.DAMAGED_SHARD}


def test_a_saved_dataset_is_read_with_its_features(tmp_path: Path) -> None:
    dataset().save_to_disk(str(tmp_path / "saved"), num_shards=2)
    source = open_source(tmp_path / "saved")
    found = [sample for shard in source.shards() for sample in source.read(shard)]
    assert [(sample.key, sample.image, sample.caption, sample.fields) for sample in found] == [
        ("0.jpg", b"0", "Picture 0.", {"label": 0}),
        ("1.jpg", b"1", "Picture 1.", {"label": 1}),
        ("2.jpg", b"2", "Picture 2.", {"label": 0}),
    ]
    schema = source.fields(source.shards()[0])
    assert schema is not None
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features == {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}


def test_a_saved_dictionary_of_splits_asks_for_one(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": dataset(), "test": dataset()}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(UsageError, match=r"several splits; name one, .*saved/train or .*saved/test"):
        open_source(tmp_path / "saved")
    assert len(read(tmp_path / "saved" / "train")) == 3


def test_a_saved_dataset_whose_state_names_files_elsewhere_is_refused(tmp_path: Path) -> None:
    dataset().save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "saved" / "state.json").write_text('{"_data_files": [{"filename": "../x.arrow"}]}')
    with pytest.raises(UsageError, match="outside the folder"):
        open_source(tmp_path / "saved")


def test_a_saved_dataset_with_a_file_gone_is_refused(tmp_path: Path) -> None:
    dataset().save_to_disk(str(tmp_path / "saved"))
    next((tmp_path / "saved").glob("*.arrow")).unlink()
    with pytest.raises(UsageError, match="not whole"):
        open_source(tmp_path / "saved")


def test_a_dataset_object_is_read_in_its_own_order_undecoded() -> None:
    shuffled = dataset().select([2, 0])
    source = open_source(shuffled)
    [shard] = source.shards()
    assert [(sample.image, sample.fields) for sample in source.read(shard)] == [
        (b"2", {"label": 0}),
        (b"0", {"label": 0}),
    ]
    schema = source.fields(shard)
    assert schema is not None
    assert b"ClassLabel" in schema.metadata[b"huggingface"]


def test_a_dataset_object_is_sharded_by_rows_with_an_identity_of_its_own() -> None:
    many = datasets.Dataset.from_dict({"image": [b"x"] * 20_001})
    names = [(shard.name, shard.location) for shard in open_source(many).shards()]
    assert names == [
        ("row-00000000", (0, 10_000)),
        ("row-00010000", (10_000, 20_000)),
        ("row-00020000", (20_000, 20_001)),
    ]
    assert [sample.key for sample in read(many)][-1] == "row-00020000"
    identities = {shard.identity for one in (many, many.select([1])) for shard in open_source(one).shards()}
    assert len(identities) == 4


def test_a_dataset_of_image_files_is_read_from_where_it_names_them(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    paths = [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg"), "/etc/passwd"]
    named = datasets.Dataset.from_dict({"image": paths}).cast_column("image", datasets.Image())
    found = read(named)
    assert [sample.image for sample in found] == [b"a", None, None]
    assert set(faults(found).values()) == {Reason.MISSING_IMAGE}
    assert [sample.key for sample in found] == ["row-00000000", "row-00000001", "row-00000002"]


def test_a_dictionary_of_splits_asks_for_one() -> None:
    with pytest.raises(UsageError, match=r"splits \(train\); pass one"):
        open_source(datasets.DatasetDict({"train": dataset()}))


def test_tables_on_an_object_store_are_read(tmp_path: Path) -> None:
    filesystem = fsspec.filesystem("memory")
    path = write_parquet(tmp_path / "a.parquet", {"image": pa.array([b"1"])})
    filesystem.pipe("/tables/data/a.parquet", path.read_bytes())
    assert [sample.image for sample in read("memory://tables")] == [b"1"]
    assert [sample.image for sample in read("memory://tables/*/*.parquet")] == [b"1"]
    filesystem.store.clear()
