"""The tests behind exposure: against all permutations, against scipy, and against their own promise over many coins."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from dedupkit.audit import coins
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


def test_of_two_kinds_the_larger_weighs_no_more_than_its_places() -> None:
    # textures: the planted one before its control, 2 / 3 against 1 / 3; blobs: the planted ones first and last of four,
    # (4 + 1) / 5.  Of 12 falls five sum up to as much: 2/3 and two of 5, 6, 7, all four sums from 5 up, or 1/3 and 7/5
    manifest = light_manifest([True, True, True, False, False, False], kinds=("texture", "blob", "blob"))
    losses = Losses.of([1.0, 1.0, 4.0, 2.0, 2.0, 3.0], manifest)
    found = rank_test(losses, losses.planted, level=0.05, shuffles=9999, seed=0)
    assert found.p_value == pytest.approx(5 / 12, abs=0.02)


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


def test_losses_are_compared_in_median_deviations_of_their_kind() -> None:
    # controls 1 ... 5: median 3, deviations 2, 1, 0, 1, 2, of which the median is 1; with 0 among them 2.5 and 1.5
    found = standing(Losses.of([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], light_manifest([True, *[False] * 5])))
    assert sorted(found.control_scores.tolist()) == [-2, -1, 0, 1, 2]
    assert found.scores == pytest.approx([2.5 / 1.5])
    assert (found.ranks.tolist(), found.references.tolist(), found.same_kind) == ([1], [5], False)


@pytest.mark.parametrize(
    ("controls", "scores"),
    [
        ([1.0, 1.0, 1.0, 1.0, 5.0], [-5, 0, 0, 0, 0]),
        ([2.0] * 5, [0] * 5),
    ],  # the mean deviation is 0.8; then there is none
)
def test_losses_of_which_most_are_alike_are_compared_in_mean_deviations(
    controls: list[float], scores: list[float]
) -> None:
    found = standing(Losses.of([0.5, *controls], light_manifest([True, *[False] * 5])))
    assert sorted(found.control_scores.tolist()) == pytest.approx(scores)


def test_controls_of_other_kinds_count_where_there_are_few() -> None:
    # textures: planted 4, controls 1, 5, 9; blobs: controls 10, 20, 30, scaled to -1, 0, 1
    manifest = light_manifest([True, False, False, False, False, False, False], kinds=("texture", "blob"))
    losses = Losses.of([4.0, 10.0, 1.0, 20.0, 5.0, 30.0, 9.0], manifest)
    found = standing(losses)
    # among 1, 4, 5, 9: median 4.5, deviations 3.5, 0.5, 0.5, 4.5, so 2; the planted one at -0.25: below it 1, and -1
    assert found.scores == pytest.approx([0.25])
    assert (found.ranks.tolist(), found.references.tolist()) == ([3], [6])
    assert found.exposures == pytest.approx([1.0])
    assert found.p_values == pytest.approx([3 / 7])


@pytest.mark.parametrize(("controls", "alone"), [(98, False), (99, True)])
def test_99_controls_of_a_kind_are_enough(controls: int, alone: bool) -> None:
    fates = [True, *[False] * controls]
    assert standing(Losses.of(np.arange(controls + 1.0), light_manifest(fates))).same_kind is alone


def test_a_kind_that_is_planted_and_has_no_control_is_ranked_among_the_others() -> None:
    manifest = light_manifest([True, False, True, False], kinds=("texture", "blob"))
    found = standing(Losses.of([5.0, 1.0, 7.0, 2.0], manifest))
    assert found.references.tolist() == [2, 2]
    assert not found.same_kind


def test_shuffles_in_blocks_are_as_many_as_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = _losses(np.random.default_rng(12).normal(0, 1, 20), 12, ("texture",))
    whole = rank_test(losses, losses.planted, level=0.05, shuffles=4000, seed=0)
    monkeypatch.setattr(coins, "_VALUES_AT_ONCE", 20 * 7)
    parts = rank_test(losses, losses.planted, level=0.05, shuffles=4000, seed=0)
    assert parts.p_value == pytest.approx(whole.p_value, abs=0.03)
    assert (parts.p_value * 4001) % 1 == pytest.approx(0, abs=1e-6)


def test_the_best_of_all_falls_is_found_as_often_as_there_are_falls() -> None:
    losses = Losses.of([1.0, 2.0, 3.0, 4.0], light_manifest([True, True, False, False]))
    found = rank_test(losses, losses.planted, level=0.5, shuffles=9999, seed=0)
    assert found.p_value == pytest.approx(1 / 6, abs=0.015)  # two of four
    worst = Losses.of([4.0, 3.0, 2.0, 1.0], light_manifest([True, True, False, False]))
    assert rank_test(worst, worst.planted, level=0.5, shuffles=99, seed=0).p_value == 1.0
    assert rank_test(losses, losses.planted, level=0.1, shuffles=9999, seed=0).detectable is None  # 1/6 is the least


@pytest.mark.parametrize(("kinds", "least"), [(("texture",), 1 / 24), (("texture", "blob"), 1 / 4)])
def test_a_perfect_trend_is_as_rare_as_its_order_within_kinds(kinds: tuple[str, ...], least: float) -> None:
    manifest = light_manifest([True] * 4 + [False] * 4, kinds=kinds, repetitions=(1, 2, 3, 4))
    losses = Losses.of(np.arange(8.0), manifest)
    times = losses.repetitions[losses.planted].astype(float)
    if len(kinds) == 1:
        found = trend(losses, times * 10, shuffles=9999, seed=0)
        assert found is not None
        assert found == pytest.approx((1.0, least), abs=0.01)
        falling = trend(losses, -times, shuffles=99, seed=0)
        assert falling is not None
        assert falling == pytest.approx((-1.0, 1.0))
    else:  # texture 1, blob 1, texture 2, blob 2
        found = trend(losses, np.array([1.0, 2.0, 3.0, 4.0]), shuffles=9999, seed=0)
        assert found is not None
        assert found[1] == pytest.approx(least, abs=0.02)


def test_no_trend_is_told_where_nothing_differs() -> None:
    losses = Losses.of(np.arange(4.0), light_manifest([True, True, False, False], repetitions=(1, 2)))
    assert trend(losses, np.array([1.0, 1.0]), shuffles=99, seed=0) is None
    assert trend(losses, np.array([1.0, 2.0]), shuffles=99, seed=0) is not None
