"""Python iterables and streams of `datasets`: what a mapping may hold, passes, shards, and the spool."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pytest
from PIL import Image

from dedupkit.errors import UsageError
from dedupkit.recipe import SourceOptions
from dedupkit.sample import Fault, Note, Reason, Sample
from dedupkit.sources import open_source, spool
from dedupkit.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dedupkit.sources import Source


def read(source: Source) -> list[Sample]:
    return [sample for shard in source.shards() for sample in source.read(shard)]


def one(item: object, options: SourceOptions | None = None) -> Sample:
    [sample] = read(open_source([item], options))
    return sample


def test_a_mapping_becomes_a_sample() -> None:
    assert one({"key": "a", "image": b"1", "caption": "A.", "score": 3}) == Sample("a", b"1", "A.", {"score": 3})


def test_a_sample_passes_unchanged() -> None:
    sample = Sample("k", None, None, {"x": 1}, Fault(Reason.EMPTY_IMAGE, "empty"), (Note.ANIMATED,))
    assert one(sample) is sample


def test_the_mappings_of_the_webdataset_loader_are_taken() -> None:
    item = {"__key__": "a", "__url__": "s3://user:word@bucket/a.tar", "jpg": b"1", "txt": b"A.", "cls": b"3"}
    assert one(item) == Sample("a", b"1", "A.", {"cls": b"3"})


def test_a_pillow_image_is_stored_as_png_without_loss_and_with_its_orientation() -> None:
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    picture.getexif()[0x0112] = 6
    data = one({"image": picture}).image
    assert data is not None
    stored = Image.open(io.BytesIO(data))
    assert stored.format == "PNG"
    assert stored.getexif()[0x0112] == 6
    assert np.array_equal(np.asarray(stored), np.asarray(picture))


def test_a_pillow_image_in_a_mode_that_png_lacks_is_converted() -> None:
    data = one({"image": Image.new("CMYK", (2, 2))}).image
    assert data is not None
    assert Image.open(io.BytesIO(data)).mode == "RGB"


@pytest.mark.parametrize(
    "item", [{}, {"image": None, "caption": "A."}, {"image": "a.jpg"}, {"image": 3}, "a.jpg ", 7, None]
)
def test_an_item_without_a_usable_image_is_a_fault(item: object) -> None:
    items = [b"", item] if isinstance(item, str) else [item]
    sample = read(open_source(items))[-1]
    assert sample.fault is not None
    assert sample.fault.reason is Reason.MISSING_IMAGE
    assert "image" not in sample.fields or sample.fields["image"] is not None


def test_named_entries_go_before_usual_ones() -> None:
    item = {"image": b"1", "crop": b"2", "caption": "no", "alt": "yes", "n": 5}
    options = SourceOptions(image_column="crop", caption_column="alt", key_column="n")
    sample = one(item, options)
    assert (sample.key, sample.image, sample.caption) == ("5", b"2", "yes")
    assert sample.fields == {"image": b"1", "caption": "no", "n": 5}


def test_a_list_is_cut_into_shards_and_keyed_by_place() -> None:
    source = open_source([{"image": b"x"}] * 4001)
    assert [shard.name for shard in source.shards()] == ["samples-00000000", "samples-00002000", "samples-00004000"]
    assert read(source)[4000].key == "sample-00004000"


class Afresh:
    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter([{"image": b"1"}, {"image": b"2"}])


def test_an_object_that_starts_afresh_is_read_on_each_pass() -> None:
    source = open_source(Afresh())
    assert read(source) == read(source)
    assert len(read(source)) == 2


def test_an_iterable_is_never_taken_for_an_earlier_one() -> None:
    items = [{"image": b"1"}]
    first, second = open_source(items), open_source(items)
    assert first.shards() == first.shards()
    assert first.shards()[0].identity != second.shards()[0].identity


def test_an_iterator_without_a_place_to_spool_to_is_refused() -> None:
    with pytest.raises(UsageError, match="a generator can be read only once; give a list"):
        open_source(item for item in [{"image": b"1"}])


def test_an_iterators_own_error_is_passed_on(tmp_path: Path) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield {"image": b"1"}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        open_source(broken(), spool_to=Folder(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_spooled_samples_come_back_as_they_were(tmp_path: Path) -> None:
    fields = {
        "bytes": b"\0\xff",
        "when": datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        "day": date(2020, 1, 2),
        "nested": {"list": [1, 2.5, None, True, {"x": b"y"}], "$tag": "dollar"},
        "big": 1 << 70,
        "tiny": 5e-324,
    }
    samples = [
        Sample("a", b"1", "A.", fields),
        Sample("b", None, None, {}, Fault(Reason.MISSING_IMAGE, "no image"), (Note.CAPTION_MISSING,)),
        Sample("c", b"", "", {"$bytes": "no bytes"}),
    ]
    source = open_source(iter(samples), spool_to=Folder(str(tmp_path)))
    assert read(source) == samples == read(source)


def test_a_spool_is_cut_into_parts_and_replaces_an_earlier_one(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    source = spool(({"image": b"%d" % number} for number in range(4001)), folder)
    assert [shard.name for shard in source.shards()] == ["samples-00000", "samples-00001", "samples-00002"]
    assert [sample.image for sample in read(source)] == [b"%d" % number for number in range(4001)]
    spool(({"image": b"x"} for _ in range(2)), folder)
    assert folder.names() == ["samples-00000.parquet"]


def test_the_same_samples_spooled_again_keep_their_identity(tmp_path: Path) -> None:
    def identities(images: list[bytes]) -> list[str]:
        return [shard.identity for shard in spool(({"image": i} for i in images), Folder(str(tmp_path))).shards()]

    assert identities([b"1", b"2"]) == identities([b"1", b"2"]) != identities([b"1", b"3"])


def test_an_empty_iterator_makes_a_source_without_shards(tmp_path: Path) -> None:
    assert list(open_source(iter([]), spool_to=Folder(str(tmp_path))).shards()) == []


def test_a_stream_of_datasets_is_read_undecoded_shard_by_shard() -> None:
    features = datasets.Features(
        {"image": datasets.Image(), "text": datasets.Value("string"), "n": datasets.Value("int8")}
    )
    rows = {"image": [{"bytes": b"%d" % n, "path": None} for n in range(4)], "text": list("ABCD"), "n": list(range(4))}
    stream = datasets.Dataset.from_dict(rows, features=features).to_iterable_dataset(num_shards=2)
    source = open_source(stream)
    assert [shard.name for shard in source.shards()] == ["stream-00000", "stream-00001"]
    assert [(sample.image, sample.caption, sample.fields) for sample in read(source)] == [
        (b"0", "A", {"n": 0}),
        (b"1", "B", {"n": 1}),
        (b"2", "C", {"n": 2}),
        (b"3", "D", {"n": 3}),
    ]
    assert read(source) == read(source)
    schema = source.fields(source.shards()[0])
    assert schema is not None
    assert str(schema.field("n").type) == "int8"


def rows_of_a_stream() -> Iterator[dict[str, Any]]:
    yield {"image": b"1", "caption": "A.", "key": "a"}


def test_a_stream_without_declared_features_is_read_by_its_values() -> None:
    source = open_source(datasets.IterableDataset.from_generator(rows_of_a_stream))
    assert read(source) == [Sample("a", b"1", "A.")]
    assert source.fields(source.shards()[0]) is None
