"""Drawing a sample of a source."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from dedupkit.calibration.drawing import MAX_SHARDS, draw
from dedupkit.sample import Fault, Reason, Sample
from dedupkit.sources import open_source
from dedupkit.sources.base import Shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class Numbers:
    """A source of samples whose image is their own number."""

    def __init__(self, shards: int, rows: int) -> None:
        self._shards, self._rows = shards, rows
        self.read_shards: list[str] = []

    def shards(self) -> Sequence[Shard]:
        return [Shard(f"{number:04d}", "", number) for number in range(self._shards)]

    def fields(self, shard: Shard) -> None:
        return None

    def read(self, shard: Shard) -> Iterator[Sample]:
        self.read_shards.append(shard.name)
        for row in range(self._rows):
            key = f"{shard.location * self._rows + row}"
            yield Sample(key, key.encode())


def silent(_: Any) -> None:
    """Nobody is told."""


def test_a_seed_draws_the_same_samples_and_another_seed_does_not(tmp_path: Path) -> None:
    drawn = [
        [sample.key for sample, _ in draw(Numbers(4, 100), 20, seed, tmp_path, silent).samples] for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == len(set(drawn[0])) == 20


def test_samples_keep_the_order_of_the_source_and_their_bytes(tmp_path: Path) -> None:
    found = draw(Numbers(4, 100), 20, 3, tmp_path, silent)
    keys = [int(sample.key) for sample, _ in found.samples]
    assert keys == sorted(keys)
    assert [file.read_text() for _, file in found.samples] == [sample.key for sample, _ in found.samples]
    assert len(list(tmp_path.iterdir())) == 20


def test_a_small_source_is_drawn_whole(tmp_path: Path) -> None:
    found = draw(Numbers(2, 3), 20, 0, tmp_path, silent)
    assert [sample.key for sample, _ in found.samples] == ["0", "1", "2", "3", "4", "5"]
    assert found.set_samples == 6


def test_of_many_shards_some_are_read_and_the_set_is_estimated(tmp_path: Path) -> None:
    source = Numbers(100, 7)
    found = draw(source, 20, 0, tmp_path, silent)
    assert len(source.read_shards) == MAX_SHARDS == found.shards
    assert (found.all_shards, found.set_samples) == (100, 700)


def test_every_sample_has_the_same_chance(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for seed in range(300):
        counts.update(sample.key for sample, _ in draw(Numbers(4, 5), 5, seed, tmp_path, silent).samples)
    assert len(counts) == 20
    assert min(counts.values()) > 45  # 75 are expected, with a standard deviation of 7.5
    assert max(counts.values()) < 105


def test_samples_without_an_image_are_drawn_too(tmp_path: Path) -> None:
    fault = Fault(Reason.MISSING_IMAGE, "gone")
    source = open_source([Sample("a", None, fault=fault), Sample("b", b"bytes")])
    found = draw(source, 5, 0, tmp_path, silent)
    assert [sample.fault for sample, _ in found.samples] == [fault, None]


@pytest.mark.parametrize("more", [21, 60])
def test_a_larger_sample_holds_the_smaller_one(more: int, tmp_path: Path) -> None:
    few, many = (
        {sample.key for sample, _ in draw(Numbers(4, 100), count, 9, tmp_path, silent).samples} for count in (20, more)
    )
    assert few < many
