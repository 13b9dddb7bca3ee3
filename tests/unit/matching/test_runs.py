"""Records in runs on disk against sorting them all in memory."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dedupkit.matching.hits import HIT, each_once, hits_of
from dedupkit.matching.runs import Runs, pack, packed_once, unpack
from dedupkit.scratch import scratch_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("in_file", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize("held", [1, 100, 1000, 1 << 20])
def test_packed_pairs_come_out_sorted_each_once_in_ascending_parts(held: int, in_file: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(held)
    a, b = rng.integers(0, 300, 20_000) ** 2, rng.integers(0, 50, 20_000)
    with scratch_files(tmp_path if in_file else None) as scratch:
        runs = Runs(scratch, np.uint64, packed_once, held=held)
        for start in range(0, len(a), 700):
            runs.add(pack(a[start : start + 700], b[start : start + 700]))
        parts = list(runs.merged())
    expected = sorted(set(zip(a.tolist(), b.tolist(), strict=True)))
    found = [list(zip(*(each.tolist() for each in unpack(part)), strict=True)) for part in parts]
    assert [pair for part in found for pair in part] == expected
    ends = [{a for a, _ in part} for part in found if part]
    assert all(max(one) < min(other) for one, other in pairwise(ends))
    if held == 1000:
        assert max(map(len, parts)) < 2 * held  # the bounds are estimated
    assert not list(tmp_path.iterdir())


def test_of_equal_pairs_the_larger_cosine_stays_also_across_runs(tmp_path: Path) -> None:
    with scratch_files(tmp_path) as scratch:
        runs = Runs(scratch, HIT, each_once, held=2)
        for cosine in (0.5, 0.75, 0.25):
            runs.add(hits_of(np.array([3, 1]), np.array([4, 9]), np.array([cosine, 1 - cosine], np.float32)))
        found = np.concatenate(list(runs.merged()))
    assert found.tolist() == [(1, 9, 0.75), (3, 4, 0.75)]


def test_nothing_gives_nothing() -> None:
    with scratch_files(None) as scratch:
        runs = Runs(scratch, np.uint64, packed_once)
        runs.add(np.empty(0, np.uint64))
        assert list(runs.merged()) == []
