"""The tests behind exposure: against all permutations, against scipy, and against their own promise over many coins."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from dedupkit.audit.coins import Losses, rank_test, standing, trend
from dedupkit.audit.statistics import difference_p_value, p_values
from dedupkit.errors import UsageError
from tests.audit_canaries import halves, light_manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ("texture", "blob", "pair")


def _losses(values: NDArray[np.float64], seed: int, kinds: tuple[str, ...] = KINDS) -> Losses:
    return Losses.of(values, light_manifest(halves(len(values), seed), kinds=kinds, repetitions=(1, 4)))


def _uneven(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Losses of three kinds that differ in place, spread and shape."""
    found = rng.normal(0, 1, count)
    found[1::3] = 10 + rng.exponential(5, len(found[1::3]))
    found[2::3] = -3 + 0.1 * rng.standard_t(2, len(found[2::3]))
    return found


def test_one_kind_is_ranked_as_p_values_against_controls_are() -> None:
    values = np.random.default_rng(1).normal(0, 1, 60).round(1)
    losses = _losses(values, 1, ("texture",))
    found = standing(losses)
    planted, controls = values[losses.planted], values[~losses.planted]
    assert found.p_values == pytest.approx(p_values(-planted, -controls))
    assert found.exposures == pytest.approx(np.log2(30) - np.log2(found.ranks))


def test_with_many_controls_each_kind_is_ranked_by_itself() -> None:
    values = _uneven(660, np.random.default_rng(2))
    losses = _losses(values, 2)
    found = standing(losses)
    assert found.same_kind
    kinds = losses.kinds[losses.planted]
    for kind in KINDS:
        controls = values[~losses.planted & (losses.kinds == kind)]
        expected = p_values(-values[losses.planted & (losses.kinds == kind)], -controls)
        assert found.p_values[kinds == kind] == pytest.approx(expected)


def test_kinds_are_comparable_whatever_their_place_and_spread() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, 120)
    losses = _losses(values, 3)
    moved = values.copy()
    for kind, (place, spread) in zip(KINDS, ((5, 1), (-2, 0.01), (100, 30)), strict=True):
        moved[losses.kinds == kind] = place + spread * moved[losses.kinds == kind]
    assert standing(losses).ranks.tolist() == standing(_losses(moved, 3)).ranks.tolist()


def test_a_memorised_kind_does_not_hide_behind_its_own_planted_canaries() -> None:
    values = np.random.default_rng(4).normal(0, 1, 120)
    losses = _losses(values, 4)
    values[losses.planted & (losses.kinds == "blob")] -= 15
    found = standing(_losses(values, 4))
    blobs = losses.kinds[losses.planted] == "blob"
    assert (found.ranks[blobs] == 1).all()
    assert (found.ranks[~blobs] > 1).mean() > 0.9


def test_each_p_value_is_exact_under_the_coins() -> None:
    """All falls of the coins over the same losses: no p-value comes more often than it says."""
    values = _uneven(8, np.random.default_rng(5))
    found = []
    for heads in combinations(range(8), 4):
        fates = [number in heads for number in range(8)]
        losses = Losses.of(values, light_manifest(fates, kinds=("texture", "blob")))
        found += standing(losses).p_values.tolist()
    for level in (0.2, 0.4, 0.6, 0.8):
        assert np.mean(np.array(found) <= level + 1e-9) <= level + 1e-9


@pytest.mark.parametrize("ties", [False, True])
def test_the_test_is_mann_and_whitneys_where_there_is_one_kind(ties: bool) -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(0, 1, 40).round(1 if ties else 9)
    losses = _losses(values, 6, ("texture",))
    found = rank_test(losses, losses.planted, level=0.05, shuffles=19_999, seed=1)
    expected = difference_p_value(-values[losses.planted], -values[~losses.planted])
    assert found.p_value == pytest.approx(expected, abs=0.012)


def test_the_test_over_kinds_is_that_of_all_permutations_within_them() -> None:
    rng = np.random.default_rng(7)
    values = _uneven(12, rng)
    losses = _losses(values, 8)
    sums = [np.zeros(1)]
    seen = 0.0
    for kind in KINDS:
        here = np.flatnonzero(losses.kinds == kind)
        places = stats.rankdata(-values[here]) / (len(here) + 1)
        heads = int(losses.planted[here].sum())
        seen += places[losses.planted[here]].sum()
        sums.append(np.array([sum(each) for each in combinations(places, heads)]))
    every = np.add.outer(np.add.outer(sums[1], sums[2]), sums[3]).ravel()
    expected = (every >= seen - 1e-9).mean()
    found = rank_test(losses, losses.planted, level=0.05, shuffles=19_999, seed=1)
    assert found.p_value == pytest.approx(expected, abs=0.012)


def test_p_values_of_the_tests_are_uniform_without_memorisation() -> None:
    rng, runs, whole, part, trends = np.random.default_rng(9), 300, [], [], []
    for seed in range(runs):
        losses = _losses(_uneven(66, rng), seed)
        often = losses.planted & (losses.repetitions == 4)
        whole.append(rank_test(losses, losses.planted, level=0.05, shuffles=199, seed=seed).p_value)
        part.append(rank_test(losses, often, level=0.05, shuffles=199, seed=seed).p_value)
        found = trend(losses, standing(losses).scores, shuffles=199, seed=seed)
        assert found is not None
        trends.append(found[1])
    for values in (whole, part, trends):
        smooth = np.array(values) - rng.random(runs) / 200
        assert stats.kstest(smooth, "uniform").pvalue > 0.01


def test_what_is_called_detectable_is_detected_four_times_in_five() -> None:
    rng, hits, runs = np.random.default_rng(10), 0, 200
    for seed in range(runs):
        values = rng.normal(0, 1, 90)
        losses = _losses(values, seed)
        often = losses.planted & (losses.repetitions == 4)
        share = rank_test(losses, often, level=0.05, shuffles=199, seed=seed).detectable
        assert share is not None
        values[often & (rng.random(90) < share)] -= 100
        hits += rank_test(_losses(values, seed), often, level=0.05, shuffles=199, seed=seed).p_value <= 0.05
    assert 0.7 <= hits / runs <= 0.92


def test_with_too_few_nothing_is_detectable() -> None:
    losses = Losses.of([0.0, 1.0, 2.0], light_manifest([True, False, False]))
    assert rank_test(losses, losses.planted, level=0.05, shuffles=999, seed=0).detectable is None


def test_the_trend_is_spearmans() -> None:
    values = np.random.default_rng(11).normal(0, 1, 60)
    losses = _losses(values, 11, ("texture",))
    scores = standing(losses).scores
    found = trend(losses, scores, shuffles=999, seed=0)
    assert found is not None
    expected = stats.spearmanr(losses.repetitions[losses.planted], scores, alternative="greater")
    assert found == pytest.approx((expected.statistic, expected.pvalue), abs=0.05)
    assert trend(Losses.of(values, light_manifest(halves(60, 1))), scores, shuffles=99, seed=0) is None


@pytest.mark.parametrize(
    ("values", "fates", "message"),
    [
        ([1.0], [True, False], "one for each of 2 canaries"),
        ([1.0, np.nan], [True, False], "finite, got 1"),
        ([1.0, 2.0], [True, True], "got 2 planted of 2"),
        ([1.0, 2.0], [False, False], "got 0 planted of 2"),
    ],
)
def test_losses_that_say_nothing_are_refused(values: list[float], fates: list[bool], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Losses.of(values, light_manifest(fates))
