"""Fingerprinting a shard: one row a sample, in order, whatever the samples hold."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pdqhash
import pyarrow as pa
import pytest
from PIL import Image

from dedupkit.fingerprints.stage import FIELDS_KEY, fingerprint_shard
from dedupkit.recipe import Fingerprints, Limits, Recipe
from dedupkit.sample import FINGERPRINTS, Fault, Note, Reason, Sample, position
from dedupkit.sources.base import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RECIPE = Recipe()
EXACT = Recipe(fingerprints=Fingerprints(draft=False))


@dataclass(frozen=True)
class MemorySource:
    """Samples that lie in memory, one tuple of them a shard."""

    contents: tuple[tuple[Sample, ...], ...]
    declared: pa.Schema | None = None

    def shards(self) -> Sequence[Shard]:
        return [Shard(f"shard-{number:05d}", "1", number) for number in range(len(self.contents))]

    def fields(self, shard: Shard) -> pa.Schema | None:
        return self.declared

    def read(self, shard: Shard) -> Iterator[Sample]:
        yield from self.contents[shard.location]


def fingerprints(*samples: Sample, recipe: Recipe = RECIPE, threads: int = 1, number: int = 0) -> pa.Table:
    source = MemorySource(((),) * number + (samples,))
    return fingerprint_shard((number, source.shards()[number]), source=source, recipe=recipe, threads=threads)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()


@pytest.fixture(scope="module")
def mixed() -> tuple[Sample, ...]:
    """150 samples, every seventh of them faulty."""
    rng = np.random.default_rng(1)
    samples = []
    for number in range(150):
        noise = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        image = encoded(noise.resize((100 + number % 9, 95), Image.Resampling.BICUBIC), ("JPEG", "PNG")[number % 2])
        if number % 7 == 3:
            image = (b"", b"<html>", image[:-40])[number % 3]
        samples.append(Sample(f"key {number}", image, caption=f"caption {number}"))
    return tuple(samples)


def test_rows_stand_in_the_order_of_samples(mixed: tuple[Sample, ...]) -> None:
    table = fingerprints(*mixed, number=3)
    assert table["key"].to_pylist() == [sample.key for sample in mixed]
    assert table["caption"].to_pylist() == [sample.caption for sample in mixed]
    assert table["position"].to_pylist() == [3 * 2**32 + row for row in range(150)]
    assert table["shard"].to_pylist() == ["shard-00003"] * 150
    assert table["sha256"].to_pylist() == [hashlib.sha256(sample.image or b"").digest() for sample in mixed]
    assert table["byte_size"].to_pylist() == [len(sample.image or b"") for sample in mixed]


@pytest.mark.parametrize("recipe", [RECIPE, EXACT], ids=["draft", "full"])
def test_threads_change_nothing(recipe: Recipe, mixed: tuple[Sample, ...]) -> None:
    one, four = (fingerprints(*mixed, recipe=recipe, threads=threads) for threads in (1, 4))
    assert one.equals(four, check_metadata=True)


def test_a_sample_alone_gives_the_row_it_gives_among_others(mixed: tuple[Sample, ...]) -> None:
    together = fingerprints(*mixed).drop_columns("position").to_pylist()
    for row in (0, 3, 31, 32, 149):
        assert fingerprints(mixed[row]).drop_columns("position").to_pylist() == [together[row]]


def test_faulty_samples_keep_their_place(mixed: tuple[Sample, ...]) -> None:
    table = fingerprints(*mixed)
    faults = table["fault"].to_pylist()
    assert [row for row, fault in enumerate(faults) if fault] == list(range(3, 150, 7))
    assert set(faults) == {None, "empty_image", "not_an_image", "truncated_image"}
    for row in table.filter(table["fault"].is_valid()).to_pylist():
        assert row["fault_detail"]
        assert row["phash"] is row["pdq"] is row["width"] is row["format"] is row["trimmed_pdq"] is None


def test_the_schema_holds_for_any_shard(mixed: tuple[Sample, ...]) -> None:
    for samples in ((), mixed[:1], mixed[3:4], mixed):
        assert fingerprints(*samples).schema.equals(FINGERPRINTS)
    assert fingerprints().num_rows == 0


def test_a_fault_of_the_source_stands_as_it_is() -> None:
    table = fingerprints(
        Sample("unreadable", None, fault=Fault(Reason.UNREADABLE_FILE, "permission denied")),
        Sample("missing", None, notes=(Note.CAPTION_MISSING,)),
    )
    assert table["fault"].to_pylist() == ["unreadable_file", "missing_image"]
    assert table["fault_detail"][0].as_py() == "permission denied"
    assert table["sha256"].null_count == table["byte_size"].null_count == 2
    assert table["notes"].to_pylist() == [[], ["caption_missing"]]


def test_hashes_of_a_full_decode_are_metas(picture: Callable[..., Image.Image]) -> None:
    image = picture(9, 200, 150)
    row = fingerprints(Sample("a", encoded(image)), recipe=EXACT).to_pylist()[0]
    bits, quality = pdqhash.compute(np.asarray(image))
    assert (row["pdq"], row["pdq_quality"]) == (np.packbits(bits).tobytes(), quality)
    assert (row["width"], row["height"], row["format"]) == (200, 150, "png")
    assert row["trimmed_pdq"] is None


def test_inside_a_frame_are_the_hashes_of_the_picture_alone(picture: Callable[..., Image.Image]) -> None:
    image = picture(9, 200, 150)
    framed = Image.new("RGB", (260, 230), "white")
    framed.paste(image, (30, 40))
    alone, inside = fingerprints(Sample("a", encoded(image)), Sample("b", encoded(framed)), recipe=RECIPE).to_pylist()
    for name in ("phash", "pdq", "pdq_quality", "luminance_entropy"):
        assert inside[f"trimmed_{name}"] == alone[name]
        assert alone[f"trimmed_{name}"] is None


@pytest.mark.parametrize(("side", "expected"), [(31, False), (32, True)])
def test_a_small_inside_has_no_hashes(side: int, expected: bool, picture: Callable[..., Image.Image]) -> None:
    framed = Image.new("RGB", (90, 90), "black")
    framed.paste(picture(2, side, side), (20, 20))
    assert fingerprints(Sample("a", encoded(framed)))["trimmed_pdq"].is_valid().to_pylist() == [expected]


def test_animations_are_noted_beside_the_sources_notes(picture: Callable[..., Image.Image]) -> None:
    target = io.BytesIO()
    picture(1).save(target, "GIF", save_all=True, append_images=[picture(2)])
    table = fingerprints(Sample("a", target.getvalue(), notes=(Note.CAPTION_MISSING,)))
    assert table["notes"].to_pylist() == [["caption_missing", "animated"]]


def test_limits_of_the_recipe_hold(picture: Callable[..., Image.Image]) -> None:
    strict = Recipe(limits=Limits(max_pixels=10_000))
    table = fingerprints(
        Sample("a", encoded(picture(1, 100, 101))), Sample("b", encoded(picture(1, 100, 100))), recipe=strict
    )
    assert table["fault"].to_pylist() == ["too_many_pixels", None]


def test_types_of_other_fields_lie_in_the_metadata() -> None:
    samples = (Sample("a", b"", fields={"score": 1.5}), Sample("b", b"", fields={"score": None, "tags": ["x"]}))
    found = pa.ipc.read_schema(pa.BufferReader(fingerprints(*samples).schema.metadata[FIELDS_KEY]))
    assert found.equals(pa.schema({"score": pa.float64(), "tags": pa.list_(pa.string())}))
    declared = pa.schema({"score": pa.float16()})
    source = MemorySource((samples,), declared)
    table = fingerprint_shard((0, source.shards()[0]), source=source, recipe=RECIPE)
    assert pa.ipc.read_schema(pa.BufferReader(table.schema.metadata[FIELDS_KEY])).equals(declared)
    bare = fingerprint_shard((0, source.shards()[0]), source=source, recipe=RECIPE, with_fields=False)
    assert not bare.schema.metadata


def test_a_position_is_shard_and_row() -> None:
    assert position(0, 0) == 0
    assert position(2, 5) == 2 * 4_294_967_296 + 5
