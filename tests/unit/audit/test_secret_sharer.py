"""Exposure against hand computation, TensorFlow Privacy's published numbers and code path, and high precision."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from dedupkit.audit.secret_sharer import _log_cdf, _log_tail, extrapolated_exposure, rank_exposure
from dedupkit.errors import UsageError


def test_exposure_is_what_tensorflow_privacys_own_test_expects() -> None:
    # exposures_test.py: references 1 to 16
    losses = [0, 0.1, 20.0, 3.5, 3.5]
    expected = [4, 4, np.log2(16) - np.log2(17), np.log2(16) - np.log2(4), np.log2(16) - np.log2(4)]
    assert rank_exposure(losses, np.arange(1.0, 17)) == pytest.approx(expected)


def test_exposure_is_the_published_formula_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    losses, references = rng.normal(0, 1, 30).round(1), rng.normal(0.5, 1, 50).round(1)
    # sorted with references first among equals; rank = references in front + 1
    tagged = sorted([(each, 0, -1) for each in references] + [(each, 1, i) for i, each in enumerate(losses)])
    in_front, expected = 0, np.empty(30)
    for _, is_canary, number in tagged:
        if is_canary:
            expected[number] = np.log2(50) - np.log2(in_front + 1)
        in_front += not is_canary
    assert rank_exposure(losses, references) == pytest.approx(expected)


def test_without_memorisation_exposure_is_one_bit_in_the_median() -> None:
    rng = np.random.default_rng(1)
    assert np.median(rank_exposure(rng.random(20_000), rng.random(5000))) == pytest.approx(1, abs=0.05)


def test_extrapolation_is_the_published_formula_where_that_is_finite() -> None:
    references = stats.skewnorm.rvs(4, size=400, random_state=2)
    losses = np.array([-1.2, -0.5, 0.0, 0.5, 1.0, 3.0])
    fitted = stats.skewnorm.fit(references)
    found = extrapolated_exposure(losses, references)
    assert found.bits == pytest.approx(-np.log2(stats.skewnorm.cdf(losses, *fitted)), rel=1e-2, abs=1e-3)
    assert found.shown_bits == pytest.approx(np.log2(400))
    assert found.beyond.tolist() == [bool(each > np.log2(400)) for each in found.bits]
    lowest, deviation = references.min(), references.std()
    assert found.deviations == pytest.approx(np.maximum(0, lowest - losses) / deviation)


def test_extrapolation_does_not_depend_on_the_scale_of_losses() -> None:
    references, losses = np.random.default_rng(3).normal(0, 1, 60), np.array([-9.0, -2.0, 0.0])
    one, other = (
        extrapolated_exposure(losses, references),
        extrapolated_exposure(5 + losses / 1e4, 5 + references / 1e4),
    )
    assert one.bits == pytest.approx(other.bits, rel=1e-3)
    tiny = extrapolated_exposure(losses * 2.0**-70, references * 2.0**-70)
    assert tiny.bits == pytest.approx(one.bits, rel=1e-9)


def test_references_that_differ_by_rounding_alone_are_all_alike() -> None:
    with pytest.raises(UsageError, match="all alike"):
        extrapolated_exposure([1.0], 1e9 + np.arange(9) / 1e6)
    extrapolated_exposure([1.0], 1e9 + np.arange(9.0))


def test_losses_of_single_precision_are_reckoned_with_in_double() -> None:
    references = np.random.default_rng(5).normal(0, 1, 40).astype(np.float32)
    losses = np.array([-4.0, -0.1, 0.3], np.float32)
    found = extrapolated_exposure(losses, references)
    expected = extrapolated_exposure(losses.astype(np.float64), references.astype(np.float64))
    assert found.bits.tolist() == expected.bits.tolist()
    assert found.deviations.tolist() == expected.deviations.tolist()


def test_the_far_tail_stays_finite_and_falls() -> None:
    references = np.random.default_rng(4).normal(0, 1, 60)
    bits = extrapolated_exposure([-1e4, -1e3, -100.0, -50.0, -10.0, -3.0], references).bits
    assert np.isfinite(bits).all()
    assert (np.diff(bits) < 0).all()


@pytest.mark.parametrize("z", [-2.0, -10.0, -38.0, -300.0])
def test_the_far_tail_of_a_normal_distribution_is_scipys(z: float) -> None:
    assert _log_tail(z, 0.0) == pytest.approx(float(stats.norm.logcdf(z)), rel=1e-12)


@pytest.mark.parametrize(
    ("z", "shape"), [(-2.0, -3.0), (-5.0, 3.0), (-1.0, 3.0), (-3.0, 0.5), (-2.0, 20.0), (-1e-4, 1e4), (-3e-7, 1e7)]
)
def test_the_far_tail_of_a_skew_distribution_is_its_integral(z: float, shape: float) -> None:
    mp = pytest.importorskip("mpmath")
    with mp.workdps(40):
        scale = min(1 / (abs(z) * (1 + max(shape, 0) ** 2)), 1 / max(shape, 1))
        root = mp.sqrt(mp.mpf(2) * mp.pi)
        steps = [z - each * scale for each in (120, 40, 10, 3, 1, 0)]
        mass = mp.quad(lambda t: mp.exp(-t * t / 2) / root * mp.erfc(-shape * t / mp.sqrt(mp.mpf(2))), steps)
        assert _log_tail(z, shape) == pytest.approx(float(mp.log(mass)), rel=1e-9)
        assert _log_cdf(np.array([z]), shape)[0] == pytest.approx(float(mp.log(mass)), rel=1e-8)


@pytest.mark.parametrize("z", [-1e9, -1e20])
@pytest.mark.parametrize("shape", [0.5, 3.0])
def test_so_far_out_that_squares_lose_their_digits_the_leading_term_is_left(z: float, shape: float) -> None:
    assert _log_tail(z, shape) == pytest.approx(-(1 + shape**2) * z**2 / 2, rel=1e-12)


@pytest.mark.parametrize("shape", [-5.0, 0.0, 3.0, 1e4, 1e7])
def test_the_distribution_function_is_the_integral_of_the_density(shape: float) -> None:
    z = np.array([-1.0, -1e-8, 0.0, 1e-3, 0.5, 3.0])
    logs = _log_cdf(z, shape)
    assert logs[2] == pytest.approx(np.log(0.5 - np.arctan(shape) / np.pi), rel=1e-7)  # known in closed form
    upper, _ = integrate.quad(lambda t: stats.skewnorm.pdf(t, shape), 0.5, 3.0)
    assert np.exp(logs[5]) - np.exp(logs[4]) == pytest.approx(upper, rel=1e-7)
    assert (np.diff(logs) > 0).all() or shape < 0


@pytest.mark.parametrize("values", [[0.0] * 7 + [1.0], [0.0, 1.0] * 6, list(np.geomspace(1, 1e9, 12))])
def test_references_that_no_curve_fits_still_give_finite_exposures(values: list[float]) -> None:
    bits = extrapolated_exposure([*values, -1e3, -1e7, 1e12], values).bits
    assert np.isfinite(bits).all()
    assert (bits >= 0).all()


def test_losses_that_are_none_and_references_too_few_are_refused() -> None:
    with pytest.raises(UsageError, match="references must be 1 or more"):
        rank_exposure([1.0], [])
    with pytest.raises(UsageError, match="losses must be finite, got nan"):
        rank_exposure([np.nan], [1.0])
    with pytest.raises(UsageError, match="references must be 8 or more, got 2"):
        extrapolated_exposure([1.0], [1.0, 2.0])
    with pytest.raises(UsageError, match="all alike"):
        extrapolated_exposure([1.0], [2.0] * 9)
