"""What every source promises: picklable, the same on each pass, no decoding, nothing written, faults not errors."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from typing import TYPE_CHECKING, Any

import datasets
import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dedupkit.errors import UsageError
from dedupkit.recipe import SourceOptions
from dedupkit.sources import Source, open_source
from dedupkit.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dedupkit.sample import Sample

NO_IMAGES = (b"no image at all", b"", b"\xff\xd8\xff but no more")
KEYS = ("a", "b", "c")
CAPTIONS = ("A.", None, "")


def rows(count: int) -> dict[str, Any]:
    columns = {"key": pa.array(KEYS[:count], pa.string()), "image": pa.array(NO_IMAGES[:count], pa.binary())}
    return {**columns, "caption": pa.array(CAPTIONS[:count], pa.string())}


def write_folder(folder: Path, count: int) -> Path:
    for key, image, caption in list(zip(KEYS, NO_IMAGES, CAPTIONS, strict=True))[:count]:
        (folder / f"{key}.jpg").write_bytes(image)
        if caption is not None:
            (folder / f"{key}.txt").write_text(caption)
    return folder


def write_metadata_folder(folder: Path, count: int) -> Path:
    lines = [json.dumps({"file_name": f"{key}.jpg", "text": text}) for key, text in zip(KEYS, CAPTIONS, strict=True)]
    (folder / "metadata.jsonl").write_text("\n".join(lines[:count]))
    for key, image in list(zip(KEYS, NO_IMAGES, strict=True))[:count]:
        (folder / f"{key}.jpg").write_bytes(image)
    return folder


def write_memory_folder(folder: Path, count: int) -> str:
    filesystem = fsspec.filesystem("memory")
    for path in write_folder(folder, count).iterdir():
        filesystem.pipe(f"/contract/{path.name}", path.read_bytes())
    filesystem.makedirs("/contract", exist_ok=True)
    return "memory://contract"


def write_tar(folder: Path, count: int) -> Path:
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for key, image, caption in list(zip(KEYS, NO_IMAGES, CAPTIONS, strict=True))[:count]:
            for ending, data in (("jpg", image), ("txt", None if caption is None else caption.encode())):
                if data is not None:
                    info = tarfile.TarInfo(f"{key}.{ending}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return folder


def write_gzipped_tar(folder: Path, count: int) -> str:
    write_tar(folder, count)
    plain = folder / "00000.tar"
    with pa.CompressedOutputStream(str(folder / "00000.tar.gz"), "gzip") as stream:
        stream.write(plain.read_bytes())
    plain.unlink()
    return f"{folder}/*.tar.gz"


def write_parquet(folder: Path, count: int) -> Path:
    pq.write_table(pa.table(rows(count)), folder / "train.parquet")
    return folder


def write_arrow(folder: Path, count: int) -> Path:
    table = pa.table(rows(count))
    with pa.ipc.new_file(str(folder / "train.arrow"), table.schema) as writer:
        writer.write_table(table)
    return folder / "train.arrow"


def make_dataset(folder: Path, count: int) -> datasets.Dataset:
    columns = {name: column.to_pylist() for name, column in rows(count).items()}
    features = {name: datasets.Value("string") for name in columns} | {"image": datasets.Image()}
    columns["image"] = [{"bytes": data, "path": None} for data in columns["image"]]
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def write_saved_dataset(folder: Path, count: int) -> Path:
    if not count and int(datasets.__version__.partition(".")[0]) < 5:
        pytest.skip("older datasets cannot save an empty one")
    make_dataset(folder, count).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def make_stream(folder: Path, count: int) -> datasets.IterableDataset:
    return make_dataset(folder, 3).to_iterable_dataset().take(count)


def make_mappings(folder: Path, count: int) -> list[dict[str, Any]]:
    return pa.table(rows(count)).to_pylist()  # type: ignore[no-any-return]


def make_iterator(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    return iter(make_mappings(folder, count))


def make_pandas(folder: Path, count: int) -> pd.DataFrame:
    return (
        pa.table(rows(count)).to_pandas() if count else pd.DataFrame({"image": pd.Series([], dtype="binary[pyarrow]")})
    )


def make_reader(folder: Path, count: int) -> pa.RecordBatchReader:
    return pa.table(rows(count)).to_reader()


KINDS: dict[str, Callable[[Path, int], object]] = {
    "folder": write_folder,
    "folder with metadata": write_metadata_folder,
    "folder on an object store": write_memory_folder,
    "tar": write_tar,
    "gzipped tar": write_gzipped_tar,
    "parquet": write_parquet,
    "arrow": write_arrow,
    "saved dataset": write_saved_dataset,
    "dataset": make_dataset,
    "stream": make_stream,
    "list": make_mappings,
    "spooled iterator": make_iterator,
    "pandas": make_pandas,
    "Arrow stream": make_reader,
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param
    fsspec.filesystem("memory").store.clear()


def opened(kind: str, folder: Path, count: int = 3) -> Source:
    (folder / "data").mkdir()
    return open_source(KINDS[kind](folder / "data", count), spool_to=Folder(str(folder / "spool")))


def read(source: Source) -> list[Sample]:
    return [sample for shard in source.shards() for sample in source.read(shard)]


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_images_pass_byte_for_byte_undecoded_with_their_keys_and_captions(kind: str, tmp_path: Path) -> None:
    found = read(opened(kind, tmp_path))
    assert [sample.image for sample in found] == list(NO_IMAGES)
    assert [sample.key.removesuffix(".jpg") for sample in found] == list(KEYS)
    assert [sample.caption for sample in found] == list(CAPTIONS)
    assert [sample.fault for sample in found] == [None] * 3
    assert [[str(note) for note in sample.notes] for sample in found] == [[], ["caption_missing"], ["caption_missing"]]


def test_each_pass_gives_the_same_shards_and_samples(kind: str, tmp_path: Path) -> None:
    source = opened(kind, tmp_path)
    assert source.shards() == source.shards()
    assert read(source) == read(source)


def test_source_and_shards_are_picklable_and_read_the_same_elsewhere(kind: str, tmp_path: Path) -> None:
    source = opened(kind, tmp_path)
    copied, shards = pickle.loads(pickle.dumps((source, list(source.shards()))))
    assert [sample for shard in shards for sample in copied.read(shard)] == read(source)


def test_shard_names_are_unique_and_identities_are_text(kind: str, tmp_path: Path) -> None:
    shards = opened(kind, tmp_path).shards()
    assert len({shard.name for shard in shards}) == len(shards)
    assert all(isinstance(shard.identity, str) and shard.identity for shard in shards)


def test_declared_fields_name_what_the_samples_hold(kind: str, tmp_path: Path) -> None:
    source = opened(kind, tmp_path)
    for shard in source.shards():
        schema = source.fields(shard)
        assert schema is None or all(set(sample.fields) == set(schema.names) for sample in source.read(shard))


def test_reading_changes_no_file_and_no_configuration(kind: str, tmp_path: Path) -> None:
    source = opened(kind, tmp_path)
    before, configuration = files_of(tmp_path), repr(source)
    read(source)
    assert files_of(tmp_path) == before
    assert repr(source) == configuration


def test_an_empty_source_gives_no_samples_or_is_refused(kind: str, tmp_path: Path) -> None:
    try:
        found = read(opened(kind, tmp_path, count=0))
    except UsageError as error:
        assert "holds no images" in str(error)  # noqa: PT017 - an iterable may be empty, a folder may not
        return
    assert found == []


def test_a_source_can_be_left_in_the_middle(kind: str, tmp_path: Path) -> None:
    source = opened(kind, tmp_path)
    samples = source.read(source.shards()[0])
    assert next(iter(samples)).image == NO_IMAGES[0]
    samples.close()  # type: ignore[attr-defined]
    assert len(read(source)) == 3


def test_options_that_name_the_columns_change_nothing_where_the_guess_was_right(tmp_path: Path) -> None:
    options = SourceOptions(image_column="image", caption_column="caption", key_column="key")
    path = write_parquet(tmp_path, 3)
    assert read(open_source(path, options)) == read(open_source(path))
