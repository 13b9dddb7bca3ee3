"""LiRA against a short implementation of its own, sample by sample, on synthetic Gaussians."""

from __future__ import annotations

import statistics
from math import erfc, log, pi, sqrt

import numpy as np
import pytest

from dedupkit.audit.lira import Shadows, calibrated, likelihood_ratios, shadow_controls
from dedupkit.audit.losses import Queries
from dedupkit.audit.samples import Samples
from dedupkit.audit.splits import half_splits
from dedupkit.audit.statistics import Curve
from dedupkit.errors import UsageError
from tests.audit_models import LookupModel


def drawn(
    models: int, samples: int, seed: int, effect: float = 1.0, queries: int = 2
) -> tuple[np.ndarray, Shadows, np.ndarray]:
    """Losses of a target and its shadows: each sample has its own level, and a lower one in models that saw it."""
    rng = np.random.default_rng(seed)
    inside = half_splits([str(row) for row in range(samples)], models, seed).inside
    level = rng.normal(0, 3, (samples, queries))
    member = np.arange(samples) < samples // 2
    everyone = np.concatenate([inside, member[None]])
    spread = np.where(everyone, 0.5, 1.0)[:, :, None]
    losses = level - effect * everyone[:, :, None] + spread * rng.normal(size=(models + 1, samples, queries))
    return losses[-1], Shadows(losses[:-1], inside), member


def log_density(value: float, centre: float, deviation: float) -> float:
    return -((value - centre) ** 2) / (2 * deviation**2) - log(deviation * sqrt(2 * pi))


def by_hand(target: np.ndarray, shadows: Shadows, online: bool, fixed: bool) -> list[float]:
    """One sample and one query at a time, in plain Python."""

    def losses(sample: int, query: int, within: bool) -> list[float]:
        column = zip(shadows.losses[:, sample, query].tolist(), shadows.inside[:, sample].tolist(), strict=True)
        return [loss for loss, was in column if was is within]

    def deviation(sample: int, query: int, within: bool) -> float:
        if not fixed:
            return statistics.pstdev(losses(sample, query, within))
        squares, freedom = 0.0, 0
        for each in range(len(target)):
            found = losses(each, query, within)
            squares += sum((loss - statistics.fmean(found)) ** 2 for loss in found)
            freedom += len(found) - 1
        return sqrt(squares / freedom)

    def score(sample: int, query: int) -> float:
        value = float(target[sample, query])
        fits = {
            within: (statistics.median(losses(sample, query, within)), deviation(sample, query, within))
            for within in (True, False)
        }
        if online:
            return log_density(value, *fits[True]) - log_density(value, *fits[False])
        centre, spread = fits[False]
        return -log(erfc((centre - value) / spread / sqrt(2)) / 2)

    queries = target.shape[1]
    return [statistics.fmean(score(sample, query) for query in range(queries)) for sample in range(len(target))]


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("fixed", [True, False])
def test_it_equals_an_independent_implementation(online: bool, fixed: bool) -> None:
    target, shadows, _ = drawn(8, 12, seed=1)
    found = likelihood_ratios(target, shadows, online=online, fixed_variance=fixed)
    assert found == pytest.approx(by_hand(target, shadows, online, fixed), rel=1e-9)


def test_models_that_saw_a_sample_have_a_spread_of_their_own() -> None:
    target, shadows, _ = drawn(40, 400, seed=2, queries=1)
    lower, same, higher = (likelihood_ratios(target + step, shadows, fixed_variance=True) for step in (-1.0, 0.0, 1.0))
    # The second difference of two log densities, of deviations 0.5 and 1; with one deviation for both it would be 0.
    assert lower - 2 * same + higher == pytest.approx(-1 / 0.5**2 + 1 / 1**2, rel=0.1)


def test_with_levels_of_their_own_it_finds_what_a_threshold_does_not() -> None:
    target, shadows, member = drawn(16, 1000, seed=3, effect=2.0)
    lira = Curve(*(likelihood_ratios(target, shadows)[each] for each in (member, ~member)))
    threshold = Curve(*(-target.mean(axis=1)[each] for each in (member, ~member)))
    offline = Curve(*(likelihood_ratios(target, shadows, online=False)[each] for each in (member, ~member)))
    assert lira.auc > offline.auc > 0.85
    assert lira.auc > 0.95
    assert threshold.auc < 0.75
    assert lira.at(0.01).members.value > 5 * threshold.at(0.01).members.value


def test_a_fixed_variance_is_the_default_for_few_models() -> None:
    for models, fixed in ((8, True), (64, False)):
        target, shadows, _ = drawn(models, 20, seed=4)
        expected = likelihood_ratios(target, shadows, fixed_variance=fixed)
        assert np.array_equal(likelihood_ratios(target, shadows), expected)


@pytest.mark.parametrize("online", [True, False])
def test_a_threshold_of_shadows_lets_as_many_controls_through_as_it_says(online: bool) -> None:
    through = []
    for seed in range(20):
        target, shadows, member = drawn(8, 200, seed=100 + seed)
        scores = likelihood_ratios(target, shadows, online=online)
        held = shadow_controls(shadows, online=online)
        assert len(held) == 8 * 200 / 2
        point = calibrated(scores[member], scores[~member], held, 0.05)
        assert point.resolved
        through.append(point.controls.value)
        assert point.members.value > point.controls.value
    assert np.mean(through) == pytest.approx(0.05, abs=0.015)


def test_too_few_shadows_set_no_threshold() -> None:
    _, shadows, _ = drawn(2, 10, seed=5)
    assert len(shadow_controls(shadows)) == 0


def test_shadow_models_are_asked_one_after_another() -> None:
    images = np.random.default_rng(6).integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
    inside = half_splits([str(row) for row in range(20)], 4, seed=6).inside
    queries, samples = Queries(timesteps=2, draws=1, flips=False), Samples(images)
    shadows = Shadows.asked((LookupModel(images[row]) for row in inside), inside, samples, queries)
    assert shadows.losses.shape == (4, 20, 2)
    assert shadows.losses[inside].max() < shadows.losses[~inside].min()
    assert np.array_equal(shadows.losses[2], queries.losses(LookupModel(images[inside[2]]), samples))


def test_what_does_not_fit_is_refused() -> None:
    target, shadows, _ = drawn(4, 10, seed=7)
    with pytest.raises(UsageError, match=r"got \(4, 10, 2\) and \(4, 9\); give both"):
        Shadows(shadows.losses, shadows.inside[:, 1:])
    with pytest.raises(UsageError, match=r"target must have the shape \(10, 2\) .* got \(10, 1\)"):
        likelihood_ratios(target[:, :1], shadows)
    with pytest.raises(UsageError, match=r"in 1 shadow models or more, one is in 0; draw halves"):
        likelihood_ratios(target, Shadows(shadows.losses, np.zeros((4, 10), bool)))
    with pytest.raises(UsageError, match=r"left out of 2 .* or fix the variance"):
        likelihood_ratios(target, Shadows(shadows.losses[:2], shadows.inside[:2]), online=False, fixed_variance=False)
    with pytest.raises(UsageError, match="must be finite"):
        Shadows(np.where(shadows.inside[:, :, None], -np.inf, shadows.losses), shadows.inside)


def test_a_threshold_lets_as_many_of_the_shadows_controls_through_as_it_says() -> None:
    held = np.arange(100.0)[::-1]
    point = calibrated(np.array([94.0, 94.5, 99.0]), np.array([0.0, 95.0]), held, 0.05)
    assert (point.threshold, point.shadow_controls, point.false_positive_rate) == (94.0, 100, 0.05)  # five are above
    assert (point.members.successes, point.members.trials) == (2, 3)
    assert (point.controls.successes, point.controls.trials) == (1, 2)
    assert calibrated(held, held, held, 0.29).controls.successes == 29  # 0.29 * 100 falls short of 29 as a float
    assert calibrated(held, held, held, 0.01).resolved
    assert not calibrated(held, held, held[1:], 0.01).resolved
    told = point.to_json()
    assert told == {
        "false_positive_rate": 0.05, "resolved": True, "shadow_controls": 100, "threshold": 94.0,
        "true_positive_rate": point.members.to_json(), "controls": point.controls.to_json(),
    }  # fmt: skip


def test_shadows_that_agree_have_the_spread_of_rounding() -> None:
    inside = np.array([[True], [False], [True], [False]])
    shadows = Shadows(np.zeros((4, 1, 1)), inside)
    found = likelihood_ratios(np.array([[-1e-6]]), shadows, online=False)
    assert found == pytest.approx([-log(erfc(1 / sqrt(2)) / 2)])  # one deviation of 1e-6 below


@pytest.mark.parametrize(
    ("models", "online", "fixed", "judged"),
    [(3, True, True, False), (4, True, True, True), (4, True, False, False), (6, True, False, True)],
)
def test_controls_of_shadows_need_models_on_each_side_that_are_left(
    models: int, online: bool, fixed: bool, judged: bool
) -> None:
    inside = np.tile(np.arange(models) % 2 == 0, (1, 5, 1))[0].T  # all samples in the even models
    losses = np.random.default_rng(9).normal(size=(models, 5, 1))
    found = shadow_controls(Shadows(losses, inside), online=online, fixed_variance=fixed)
    assert len(found) == (5 * (models // 2) if judged else 0)


@pytest.mark.parametrize("fixed", [True, False])
def test_shadows_judge_each_other_with_the_variance_that_was_asked_for(fixed: bool) -> None:
    _, shadows, _ = drawn(8, 12, seed=12)
    found = shadow_controls(shadows, fixed_variance=fixed)
    first = likelihood_ratios(shadows.losses[0], shadows.without(0), fixed_variance=fixed)[~shadows.inside[0]]
    assert np.array_equal(found[: len(first)], first)


def test_offline_asks_for_no_model_that_saw_a_sample() -> None:
    losses = np.random.default_rng(10).normal(size=(3, 4, 1))
    found = shadow_controls(Shadows(losses, np.zeros((3, 4), bool)), online=False)
    assert len(found) == 12
    rest = Shadows(losses[1:], np.zeros((2, 4), bool))
    assert found[:4] == pytest.approx(likelihood_ratios(losses[0], rest, online=False))
    assert len(shadow_controls(Shadows(losses, np.zeros((3, 4), bool)), online=True)) == 0


def test_one_loss_a_sample_is_one_query() -> None:
    losses = np.random.default_rng(11).normal(size=(6, 8))
    inside = half_splits([str(row) for row in range(8)], 6, 11).inside
    flat, deep = Shadows(losses, inside), Shadows(losses[:, :, None], inside)
    assert flat.losses.shape == (6, 8, 1)
    assert len(flat) == 6
    assert np.array_equal(likelihood_ratios(losses[0], flat), likelihood_ratios(losses[0][:, None], deep))
    assert len(flat.without(0)) == 5
    assert np.array_equal(flat.without(0).losses, flat.losses[1:])
    assert np.array_equal(flat.without(5).inside, inside[:5])
