"""Intervals and p-values against scikit-learn, scipy, tables, and against their own promise over many draws."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from dedupkit.audit.statistics import Curve, Share, difference_p_value, holm, mean_interval, p_values, percent
from dedupkit.errors import UsageError


def test_exact_intervals_are_those_of_the_tables() -> None:
    # Clopper and Pearson's, as in Newcombe 1998 (81 of 263; 15 of 148; 0 of 20; 1 of 29)
    for (successes, trials), bounds in {
        (81, 263): (0.2527, 0.3676),
        (15, 148): (0.0578, 0.1617),
        (0, 20): (0.0, 0.1684),
        (1, 29): (0.0009, 0.1776),
    }.items():
        assert Share(successes, trials).interval == pytest.approx(bounds, abs=5e-5)
    assert Share(0, 0).interval == (0.0, 1.0)


def test_the_curve_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    members, controls = rng.normal(0.7, 1, 60).round(1), rng.normal(0, 1, 45).round(1)  # rounded, so that some tie
    curve = Curve(members, controls)
    truth = [1] * 60 + [0] * 45
    scores = np.concatenate([members, controls])
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert curve.points[0] == pytest.approx(false)
    assert curve.points[1] == pytest.approx(true)
    assert curve.auc == pytest.approx(roc_auc_score(truth, scores))


def test_the_interval_of_the_auc_is_that_of_delong() -> None:
    # DeLong's variance by its definition, written out over all pairs
    rng = np.random.default_rng(1)
    members, controls = rng.normal(1, 1, 30), rng.normal(0, 1, 40)
    pairs = (members[:, None] > controls[None]).astype(float)
    variance = pairs.mean(axis=1).var(ddof=1) / 30 + pairs.mean(axis=0).var(ddof=1) / 40
    auc = pairs.mean()
    half = 1.959964 * variance**0.5 / (auc * (1 - auc))
    centre = np.log(auc / (1 - auc))
    expected = [1 / (1 + np.exp(-each)) for each in (centre - half, centre + half)]
    assert Curve(members, controls).auc_interval == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_intervals_of_the_auc_hold_the_truth_as_often_as_they_say(shift: float) -> None:
    from scipy.stats import norm

    truth, rng, runs = norm.cdf(shift / 2**0.5), np.random.default_rng(2), 600
    curves = [Curve(rng.normal(shift, 1, 40), rng.normal(0, 1, 40)) for _ in range(runs)]
    held = sum(low <= truth <= high for low, high in (curve.auc_interval for curve in curves))
    assert 0.93 <= held / runs <= 0.98


def test_perfect_separation_still_has_a_lower_bound() -> None:
    low, high = Curve(np.arange(10.0) + 100, np.arange(20.0)).auc_interval
    assert high == 1.0
    assert 0.6 < low < 0.9
    assert Curve(np.arange(10.0), np.arange(20.0) + 100).auc_interval[0] == 0.0


def test_a_bound_where_nothing_is_misplaced_is_what_chance_leaves() -> None:
    # of 10 and 20: the chance that none of 10 is misplaced, if each is with 1 - bound, is 0.05
    assert Curve(np.arange(10.0) + 100, np.arange(20.0)).auc_interval == pytest.approx((0.05**0.1, 1.0))
    assert Curve(np.arange(20.0), np.arange(10.0) + 100).auc_interval == pytest.approx((0.0, 1 - 0.05**0.1))


@pytest.mark.parametrize("count", [1, 5, 100])
def test_scores_that_are_all_alike_say_nothing(count: int) -> None:
    curve = Curve(np.zeros(count), np.zeros(count))
    assert (curve.auc, curve.auc_interval) == (0.5, (0.0, 1.0))


def test_one_of_a_side_still_has_an_interval() -> None:
    curve = Curve(np.array([2.5]), np.arange(5.0))
    assert curve.auc == 0.6
    # the variance is that of the controls' placements alone: 3 of 5 below
    half = 1.959964 * (0.3 / 5) ** 0.5 / (0.6 * 0.4)
    expected = [1 / (1 + np.exp(-each)) for each in (np.log(1.5) - half, np.log(1.5) + half)]
    assert curve.auc_interval == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("members", "controls", "rate", "p_value"),
    [
        ([10.0], range(9), 0.0, 1 / 10),  # the first of ten, all orders being as likely
        ([5.0, 6.0], [1, 2, 3], 0.0, 1 / 10),  # two before three: one of the ten orders
        ([5.0, 2.5], [1, 2, 3], 0.0, 4 / 10),  # a control is not the first in four of ten
        ([5.0, 6.0], [1, 2, 3], 1 / 3, 3 / 10),  # both before the second control
        ([0.0, 0.5], [1, 2, 3], 0.0, 1.0),
    ],
)
def test_the_p_value_of_a_point_is_that_of_counting_orders(
    members: list[float], controls: list[float], rate: float, p_value: float
) -> None:
    assert Curve(np.array(members), np.array(controls)).at(rate).p_value == pytest.approx(p_value)


def test_between_which_shares_chance_lies_is_that_of_counting_orders() -> None:
    for count, bounds in ((9, (0.0, 1.0)), (99, (0.0, 0.0))):  # above all controls with 1 in 10, 1 in 100
        assert Curve(np.zeros(1), np.arange(count, dtype=float)).at(0.0).by_chance == bounds
    # Of three members k are above the second of two controls in 1, 2, 3, 4 of the ten orders, k = 0 ... 3
    assert Curve(np.zeros(3), np.arange(2, dtype=float)).at(0.5).by_chance == (0.0, 1.0)


def test_a_rate_allows_as_many_controls_as_it_says_also_where_floats_fall_short() -> None:
    curve = Curve(np.arange(100.0), np.arange(100.0))
    assert 0.29 * 100 < 29
    assert curve.at(0.29).controls.successes == 29
    assert curve.at(0.01).resolved
    assert Curve(np.arange(9.0), np.arange(99.0)).at(0.01).resolved is False
    assert curve.at(0.0).members.successes == 0
    with pytest.raises(UsageError, match="false_positive_rate must be in"):
        curve.at(-0.001)


def test_a_curve_in_plain_types_is_that_of_a_hand_count() -> None:
    found = Curve(np.array([2.0, 3.0]), np.array([1.0, 2.0])).to_json(rates=[0.5])
    assert found["curve"] == [[0, 0, 0.5, 1], [0, 0.5, 1, 1]]  # thresholds 3, 2 and 1
    assert (found["auc"], found["members"], found["controls"]) == (0.875, 2, 2)
    assert 0 < found["auc_low"] < 0.875 < found["auc_high"] < 1
    (point,) = found["at"]
    assert set(point) == {
        "false_positive_rate", "resolved", "true_positive_rate", "controls", "by_chance", "p_value",
    }  # fmt: skip
    assert (point["false_positive_rate"], point["resolved"]) == (0.5, True)
    assert point["true_positive_rate"] | {"low": 0, "high": 1} == {
        "successes": 2, "trials": 2, "share": 1.0, "low": 0, "high": 1,
    }  # fmt: skip
    assert point["controls"]["successes"] == 1
    assert point["by_chance"] == {"low": 0.0, "high": 1.0}
    assert [each["false_positive_rate"] for each in Curve(np.ones(1), np.zeros(1)).to_json()["at"]] == [0.001, 0.01]


def test_a_share_in_plain_types_has_its_counts_and_no_value_of_no_trials() -> None:
    assert Share(0, 20).to_json() == {
        "successes": 0, "trials": 20, "share": 0.0, "low": 0.0, "high": pytest.approx(0.1684, abs=5e-5),
    }  # fmt: skip
    assert Share(0, 0).to_json() == {"successes": 0, "trials": 0, "share": None, "low": 0.0, "high": 1.0}
    assert np.isnan(Share(0, 0).value)
    assert Share(1, 4).value == 0.25
    assert Share(3, 20, confidence=0.9).interval == pytest.approx((0.0422, 0.3437), abs=5e-5)  # beta.ppf by hand


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100"), (0.0995, "10"), (0.0994, "9.9"), (0.0013, "0.13"), (0.176, "18"), (0.0, "0")]
)
def test_percents_have_two_digits_that_count(share: float, text: str) -> None:
    assert percent(share) == text


def test_scores_may_be_any_numbers_and_are_reckoned_with_in_double() -> None:
    curve = Curve([2, 3], np.array([1, 2], np.float32))  # type: ignore[arg-type]
    assert curve.members.dtype == curve.controls.dtype == np.float64
    assert curve.auc == 0.875


def test_no_more_controls_than_allowed_are_taken_for_members() -> None:
    members, controls = np.arange(50.0) + 55, np.arange(100.0)
    point = Curve(members, controls).at(0.01)
    assert point.controls.successes == 1
    assert point.members.successes == sum(each > 98 for each in members)
    assert point.resolved
    assert not Curve(members, controls).at(0.001).resolved
    assert Curve(members, controls).at(0.001).controls.successes == 0
    with pytest.raises(UsageError, match="false_positive_rate"):
        Curve(members, controls).at(1.0)


def test_what_chance_gives_is_what_shuffling_gives() -> None:
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(4000):
        scores = rng.random(150)
        shares.append(Curve(scores[:50], scores[50:]).at(0.05).members.value)
    point = Curve(rng.random(50), rng.random(100)).at(0.05)
    low, high = point.by_chance
    inside = np.mean([low <= each <= high for each in shares])
    assert 0.945 <= inside <= 0.99  # discrete, so a little more than 0.95
    assert high == pytest.approx(np.quantile(shares, 0.975), abs=0.021)


def test_p_values_of_an_operating_point_are_valid_under_the_null() -> None:
    rng, runs = np.random.default_rng(4), 2000
    p = np.array([Curve(rng.random(40), rng.random(60)).at(0.05).p_value for _ in range(runs)])
    for limit in (0.01, 0.05, 0.2):
        assert (p <= limit).mean() <= limit + 3 * (limit / runs) ** 0.5


def test_p_values_against_controls_are_uniform_under_the_null() -> None:
    from scipy.stats import kstest

    rng = np.random.default_rng(5)
    p = np.array([p_values(rng.random(1), rng.random(99))[0] for _ in range(3000)])
    assert kstest(p - rng.random(3000) / 100, "uniform").pvalue > 0.01  # steps of 1/100 smoothed


def test_holm_is_that_of_its_definition() -> None:
    # multipletests(..., method="holm") of statsmodels gives these for the p-values of its own documentation
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []
    assert holm(np.array([0.1, 0.2], np.float32)).dtype == np.float64


def test_a_difference_is_judged_as_by_all_permutations() -> None:
    from itertools import combinations

    members, controls = [3.1, 4.5, 9.0], [1.0, 2.0, 3.0, 4.0]
    values = members + controls
    ranks = {each: rank for rank, each in enumerate(sorted(values))}
    wanted = sum(ranks[each] for each in members)
    draws = list(combinations(values, 3))
    as_far = sum(sum(ranks[each] for each in draw) >= wanted for draw in draws)
    assert difference_p_value(members, controls) == pytest.approx(as_far / len(draws))


def test_the_interval_of_a_mean_is_students() -> None:
    low, high = mean_interval([1.0, 2.0, 3.0, 4.0])
    assert (low + high) / 2 == pytest.approx(2.5)
    assert high - 2.5 == pytest.approx(3.182446 * np.std([1, 2, 3, 4], ddof=1) / 2)
    assert mean_interval([1.0]) == (-np.inf, np.inf)
    assert mean_interval([1.0, 3.0]) == pytest.approx((2 - 12.706205, 2 + 12.706205), rel=1e-6)  # t of one freedom
    assert mean_interval([1.0, 3.0], confidence=0.5) == pytest.approx((1.0, 3.0))  # Cauchy's quartiles


def test_scores_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="members"):
        Curve(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(UsageError, match="controls"):
        Curve(np.array([1.0]), np.array([]))
