"""Intervals, by hand."""

from __future__ import annotations

import pytest

from dedupkit.planning.estimate import NOTHING, Estimate, larger, ratio


def test_intervals_add_and_multiply_end_by_end() -> None:
    assert Estimate(2, 1, 3) + Estimate(10, 8, 12) == Estimate(12, 9, 15)
    assert Estimate(2, 1, 3) * Estimate(10, 8, 12) == Estimate(20, 8, 36)
    assert Estimate(2, 1, 3) * 2 == Estimate(4, 2, 6)


def test_a_ratio_is_that_of_the_sums_with_students_interval() -> None:
    found = ratio([10, 20, 60], [10, 10, 10])
    # 1, 2 and 6 a sample: mean 3, deviation 2.6458, over the root of three 1.5275, times t of two degrees, 4.3027
    assert found.value == pytest.approx(3.0)
    assert found.high == pytest.approx(3 + 4.3027 * 1.5275, abs=1e-3)
    assert found.low == 0


def test_one_shard_has_no_spread_and_none_is_nothing() -> None:
    assert ratio([10], [4]) == Estimate.exact(2.5)
    assert ratio([3, 10], [0, 4]) == Estimate.exact(2.5)
    assert ratio([], []) == NOTHING


def test_the_larger_of_two_is_larger_at_each_end() -> None:
    assert larger(Estimate(5, 1, 6), Estimate(4, 2, 9)) == Estimate(5, 2, 9)
