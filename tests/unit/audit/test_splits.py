from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from dedupkit.audit.splits import HalfSplits, half_splits
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [f"{number:05}" for number in range(3000)]


def test_every_sample_is_in_exactly_half_of_the_models() -> None:
    halves = half_splits(KEYS, 16, seed=1)
    assert (halves.inside.sum(axis=0) == 8).all()
    assert halves.models == 16


def test_every_way_to_choose_half_of_the_models_is_as_likely() -> None:
    halves = half_splits(KEYS, 4, seed=2)
    _, counts = np.unique(halves.inside, axis=1, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 0.001


def test_samples_are_drawn_independently() -> None:
    halves = half_splits(KEYS, 4, seed=3)
    sizes = halves.inside.sum(axis=1)
    assert stats.binomtest(int(sizes[0]), 3000, 0.5).pvalue > 0.001
    together = (halves.inside[:, ::2] & halves.inside[:, 1::2]).sum(axis=0)  # hypergeometric: 2 of 4, 2 of 4
    counts = np.bincount(together, minlength=3)
    assert stats.chisquare(counts, 1500 * np.array([1, 4, 1]) / 6).pvalue > 0.001


def test_the_same_seed_gives_the_same_halves_and_another_others() -> None:
    first, again, other = (half_splits(KEYS, 8, seed=seed).inside for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_it_can_be_saved_and_loaded(tmp_path: Path) -> None:
    halves = half_splits(KEYS, 6, seed=4)
    halves.save(tmp_path / "halves.parquet")
    loaded = HalfSplits.load(tmp_path / "halves.parquet")
    assert loaded.keys == halves.keys
    assert np.array_equal(loaded.inside, halves.inside)
    table = pq.read_table(tmp_path / "halves.parquet").to_pydict()
    assert [key for key, within in zip(table["key"], table["model_5"], strict=True) if within] == halves.keys_of(5)
    assert np.array_equal(loaded.of(KEYS[::-7]), halves.inside[:, ::-7])


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    halves = half_splits(KEYS, 2, seed=0)
    with pytest.raises(UsageError, match=r"even and 2 or more, got 5; each sample"):
        half_splits(KEYS, 5, seed=0)
    with pytest.raises(UsageError, match=r"keys must differ, got 3 of which 2 differ; give"):
        half_splits(["a", "a", "b"], 2, seed=0)
    with pytest.raises(UsageError, match=r"in \[0, 2\), got 2; count"):
        halves.keys_of(2)
    with pytest.raises(UsageError, match=r"1 are not; leave"):
        halves.of(["00001", "other"])
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(UsageError, match=r"HalfSplits.save wrote, .* draw them again"):
        HalfSplits.load(tmp_path / "other.parquet")
    (tmp_path / "text").write_text("no Parquet")
    with pytest.raises(UsageError, match=r"must be a Parquet file, .* draw them again"):
        HalfSplits.load(tmp_path / "text")
