"""What every sink owes: samples come back from the library that reads it, and equal input gives equal bytes."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dedupkit.fields import FieldTypes, unify
from dedupkit.sinks import FORMATS, make_sink
from dedupkit.sinks.base import KeptSample, WrittenPart
from dedupkit.storage import Folder
from tests.mds_reader import read_mds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FIELDS = pa.schema({"label": pa.int64(), "mask": pa.binary(), "tags": pa.list_(pa.string())})


@dataclass(frozen=True)
class Row:
    """A sample as a reader gives it back."""

    key: str
    image: bytes
    caption: str | None
    size: tuple[int, int]
    group_size: int
    label: int | None


def encoded(colour: int, image_format: str = "jpeg") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16), (colour % 256, 90, 200)).save(buffer, image_format)
    return buffer.getvalue()


def kept(number: int, **changes: Any) -> KeptSample:
    values: dict[str, Any] = {
        "key": f"photos.v1/{number:03d}.a",
        "image": encoded(number, "png" if number % 3 == 0 else "jpeg"),
        "format": "png" if number % 3 == 0 else "jpeg",
        "caption": None if number % 4 == 3 else f"a plain wall, no. {number} — Wand",
        "width": 24,
        "height": 16,
        "group_size": number + 1,
        "fields": {"label": number, "mask": bytes([number % 256]) * 3, "tags": ["x", None]},
    }
    return KeptSample(**(values | changes))


def write(name: str, out: Path, parts: Sequence[Sequence[KeptSample]], fields: pa.Schema = FIELDS) -> dict[str, bytes]:
    sink = make_sink(name)
    folder = Folder(str(out)).below(sink.folder)
    written = []
    for index, samples in enumerate(parts):
        with folder.writing(sink.part_name(index)) as handle:
            rows = sink.write_part(handle, iter(samples), fields)
        digest = hashlib.sha256((out / sink.folder / sink.part_name(index)).read_bytes()).hexdigest()
        written.append(WrittenPart(sink.part_name(index), rows, digest))
    sink.finish(folder, written, fields)
    assert [part.rows for part in written] == [len(samples) for samples in parts]
    return {path.name: path.read_bytes() for path in (out / sink.folder).iterdir()}


def from_table(rows: list[dict[str, Any]]) -> list[Row]:
    return [
        Row(
            row["key"],
            row["image"]["bytes"],
            row["caption"],
            (row["width"], row["height"]),
            row["group_size"],
            row["label"],
        )
        for row in rows
    ]


def read_arrow(out: Path) -> list[Row]:
    import datasets

    saved = datasets.load_from_disk(str(out / "dataset"))
    assert isinstance(saved.features["image"], datasets.Image)
    assert list(saved.features)[:7] == ["key", "image", "caption", "captions", "width", "height", "group_size"]
    return from_table(saved.cast_column("image", datasets.Image(decode=False)).to_list())


def read_parquet(out: Path) -> list[Row]:
    return from_table(pq.read_table(out / "parquet").to_pylist())


def read_webdataset(out: Path) -> list[Row]:
    import webdataset

    urls = sorted(str(path) for path in (out / "webdataset").glob("*.tar"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # webdataset leaves the files it has read to the garbage collector
        samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    rows = []
    for sample in samples:
        about = json.loads(sample["json"])
        assert sample["txt"].decode() == (about["caption"] or "")
        image = sample.get("jpg", sample.get("png"))
        size = (about["width"], about["height"])
        rows.append(Row(about["key"], image, about["caption"], size, about["group_size"], about["label"]))
    return rows


def read_mds_rows(out: Path) -> list[Row]:
    rows = []
    for sample in read_mds(out / "mds"):
        size = (sample["width"], sample["height"])
        caption = sample["caption"] or None  # the format has no nulls
        rows.append(Row(sample["key"], sample["image"], caption, size, sample["group_size"], sample["label"]))
    return rows


READERS: dict[str, Callable[[Path], list[Row]]] = {
    "arrow": read_arrow,
    "parquet": read_parquet,
    "webdataset": read_webdataset,
    "mds": read_mds_rows,
}

every_sink = pytest.mark.parametrize("name", sorted(FORMATS))


def expected(samples: Sequence[KeptSample]) -> list[Row]:
    return [Row(s.key, s.image, s.caption, (s.width, s.height), s.group_size, s.fields.get("label")) for s in samples]


@every_sink
def test_samples_come_back_in_order_with_their_images_byte_for_byte(name: str, tmp_path: Path) -> None:
    samples = [kept(number) for number in range(10)]
    write(name, tmp_path, [samples[:4], samples[4:]])
    assert READERS[name](tmp_path) == expected(samples)


@every_sink
def test_a_single_sample_comes_back(name: str, tmp_path: Path) -> None:
    write(name, tmp_path, [[kept(7)]])
    assert READERS[name](tmp_path) == expected([kept(7)])


@every_sink
@pytest.mark.parametrize("parts", [[], [[]], [[], []]], ids=["no part", "one empty part", "two empty parts"])
def test_nothing_kept_is_still_a_dataset(name: str, parts: list[list[KeptSample]], tmp_path: Path) -> None:
    write(name, tmp_path, parts)
    assert READERS[name](tmp_path) == []


@every_sink
def test_empty_parts_among_others_do_not_show(name: str, tmp_path: Path) -> None:
    write(name, tmp_path, [[], [kept(1)], [], [kept(2)]])
    assert READERS[name](tmp_path) == expected([kept(1), kept(2)])


@every_sink
def test_the_same_samples_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    parts = [[kept(number) for number in range(5)], [kept(9)]]
    assert write(name, tmp_path / "a", parts) == write(name, tmp_path / "b", parts)


@every_sink
def test_a_sink_is_picklable_and_unchanged_by_a_run(name: str, tmp_path: Path) -> None:
    sink = make_sink(name)
    before = pickle.dumps(sink)
    sink.write_part(io.BytesIO(), [kept(1)], FIELDS)
    assert pickle.dumps(sink) == before
    assert pickle.loads(before) == sink


@every_sink
def test_fields_of_any_shape_are_written(name: str, tmp_path: Path) -> None:
    values: list[dict[str, Any]] = [
        {"mixed": 1, "deep": {"a": [{}]}, "image": "https://example.org/1", "label": 1, "huge": 1 << 70},
        {"mixed": "one", "deep": {"b": {"c": float("nan")}}, "empty": {}, "label": 2, "odd": {3: 4}},
        {"mixed": None, "deep": None, "surrogate": "\ud800", "none": None, "label": 3},
    ]
    types = FieldTypes()
    for value in values:
        types.observe(value)
    samples = [kept(number, fields=value) for number, value in enumerate(values)]
    write(name, tmp_path, [samples], unify([types.schema()]))
    assert READERS[name](tmp_path) == expected(samples)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"mds"}))
def test_a_sink_streams_its_input(name: str) -> None:
    """The reader may be far ahead of the writer by one batch only, never by the part."""
    handle = io.BytesIO()
    seen_bytes: list[int] = []
    image = encoded(1) + bytes(1 << 20)

    def samples() -> Any:
        for number in range(300):
            seen_bytes.append(number * len(image) - handle.tell())
            yield kept(number, image=image)

    make_sink(name).write_part(handle, samples(), FIELDS)
    assert max(seen_bytes) <= 66 << 20
