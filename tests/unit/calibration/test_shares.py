"""Intervals of shares, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dedupkit.calibration.shares import Share, share_of, wilson


@pytest.mark.parametrize(("hits", "of"), [(0, 1), (1, 1), (0, 20), (20, 20), (3, 17), (199, 200), (950, 1000)])
def test_the_interval_is_scipys(hits: int, of: int) -> None:
    expected = stats.binomtest(hits, of).proportion_ci(method="wilson")
    assert wilson(hits / of, of) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_of_nothing_everything_is_possible() -> None:
    nothing = share_of(np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64))
    assert (nothing.of, nothing.low, nothing.high) == (0, 0.0, 1.0)
    assert nothing.to_json()["share"] is None


def test_single_cases_are_independent() -> None:
    hits = np.array([1, 0, 1, 1, 1, 0, 1, 1, 1, 1])
    expected = stats.binomtest(8, 10).proportion_ci(method="wilson")
    found = share_of(hits, np.ones(10, dtype=np.int64))
    # the sample variance of ten cases divides by nine, so that their effective number is nine, and no less than ten
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_clusters_that_go_one_way_count_once() -> None:
    hits = np.array([20, 0, 20, 20, 20, 0, 20, 20, 20, 20])
    expected = stats.binomtest(8, 10).proportion_ci(method="wilson")
    found = share_of(hits, np.full(10, 20))
    assert (found.hits, found.of) == (160, 200)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_where_all_are_found_the_clusters_are_what_counts() -> None:
    expected = stats.binomtest(12, 12).proportion_ci(method="wilson")
    found = share_of(np.full(12, 22), np.full(12, 22))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    ease = rng.beta(3, 1, (400, 60))  # how well each of 60 pictures is found; the mean is 3/4
    covered = [
        found.low <= 0.75 <= found.high for found in (share_of(rng.binomial(22, row), np.full(60, 22)) for row in ease)
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.025)


def test_the_rest_mirrors_the_share() -> None:
    assert Share(3, 10, 0.1, 0.6).rest == Share(7, 10, 0.4, 0.9)
