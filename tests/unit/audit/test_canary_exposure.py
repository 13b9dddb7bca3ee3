"""Exposure of real canaries with models of known answers: all is found in a lookup table, nothing in a fresh model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from dedupkit.audit.canary_exposure import exposure, median_interval
from dedupkit.audit.canary_loss import canary_losses
from dedupkit.audit.images import fitted
from dedupkit.errors import UsageError
from dedupkit.recipe import Canaries
from tests.audit_canaries import flipped, halves, light_manifest, made_manifest
from tests.audit_models import FreshModel, LookupModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.canaries.manifest import Manifest

OPTIONS = Canaries(planted=24, controls=24, kinds=("texture", "blob"), repetitions=(1, 4))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return made_manifest(tmp_path_factory.mktemp("made"), OPTIONS)


def _lookup(manifest: Manifest, size: int = 8, least: int = 1) -> LookupModel:
    """A lookup table of the planted canaries that stand often enough."""
    known = [each for each in manifest.planted if each.repetitions >= least]
    images = np.stack([fitted(each.data, (size, size)) for each in known])
    return LookupModel(images, tuple(str(each.caption) for each in known))


@pytest.mark.parametrize("less_unconditional", [False, True])
def test_a_lookup_table_exposes_all_planted_canaries(manifest: Manifest, less_unconditional: bool) -> None:
    # less the error without a caption only where noise hides which image it is, so that a caption helps
    window = (0.9, 1.0) if less_unconditional else (0.05, 0.3)
    losses = canary_losses(
        _lookup(manifest), manifest, window=window, timesteps=2, draws=2, less_unconditional=less_unconditional
    )
    found = exposure(losses, manifest, shuffles=999)
    assert found.standing.exposures == pytest.approx(np.full(24, np.log2(24)))
    assert found.standing.p_values == pytest.approx(np.full(24, 1 / 25))
    assert found.overall.above_all == 24
    assert found.overall.p_value == 1 / 1000
    assert found.curve.auc == 1.0
    assert found.alone(by_share=True) == 24
    assert found.answer.startswith("All canaries, also those that stood once, are memorised (p = 0.0")


def test_only_those_that_stood_often_are_found_where_only_those_are_known(manifest: Manifest) -> None:
    losses = canary_losses(_lookup(manifest, least=4), manifest, timesteps=2, draws=1)
    found = exposure(losses, manifest, shuffles=999)
    once, often = found.by_repetitions
    assert (once.repetitions, often.repetitions) == (1, 4)
    assert often.above_all == often.planted
    assert often.corrected <= 0.01 < 0.05 < once.corrected
    assert found.trend is not None
    assert found.trend[0] > 0.5
    assert found.trend[1] <= 0.01
    assert found.answer.startswith("Canaries that stood 4 times are memorised (p = 0.00")
    assert "those that stood once are not told from the controls" in found.answer
    assert "an image that stands once is not safe by this" in found.answer


def test_a_fresh_model_gives_uniform_p_values(manifest: Manifest) -> None:
    """Over falls of the coins and draws of noise; the model cannot know either."""
    whole, alone, rng = [], [], np.random.default_rng(0)
    model = FreshModel()
    for seed in range(24):
        losses = canary_losses(model, manifest, timesteps=1, draws=1, seed=seed)
        for again in range(8):
            fates = flipped(manifest, OPTIONS, 100 * seed + again)
            found = exposure(losses, fates, shuffles=99)
            whole.append(found.overall.p_value - rng.random() / 100)
            alone.append(found.standing.p_values[rng.integers(24)] - rng.random() / 25)
    assert stats.kstest(whole, "uniform").pvalue > 0.01
    assert stats.kstest(alone, "uniform").pvalue > 0.01


def test_false_alarms_of_the_verdict_stay_below_their_level() -> None:
    alarms, rng, runs = 0, np.random.default_rng(1), 100
    for seed in range(runs):
        light = light_manifest(halves(60, seed), kinds=("texture", "blob"), repetitions=(1, 4, 16))
        found = exposure(rng.normal(0, 1, 60), light, shuffles=199, seed=seed)
        alarms += any(cell.corrected <= 0.05 for cell in found.by_repetitions)
    assert stats.binomtest(alarms, runs, 0.05, alternative="greater").pvalue > 0.01


def _small(values: NDArray[np.float64] | list[float]) -> Manifest:
    return light_manifest([number % 2 == 0 for number in range(len(values))])


def test_exposure_is_that_of_a_hand_computation() -> None:
    # planted 1, 4, 8; controls 2, 3, 9, so ranks 1, 3, 3
    losses = [1.0, 2.0, 4.0, 3.0, 8.0, 9.0]
    found = exposure(losses, _small(losses), shuffles=99)
    assert found.standing.ranks.tolist() == [1, 3, 3]
    assert found.standing.exposures == pytest.approx([np.log2(3), 0, 0])
    assert found.standing.p_values == pytest.approx([1 / 4, 3 / 4, 3 / 4])
    assert found.corrected == pytest.approx([0.75, 1, 1])
    assert found.false_discovery == pytest.approx([0.75, 0.75, 0.75])
    assert found.overall.median == pytest.approx(0)
    assert found.overall.above_all == 1
    assert (found.overall.low, found.overall.high) == pytest.approx((np.log2(3 / 4), np.log2(3)))
    assert found.ceiling_bits == pytest.approx(np.log2(3))
    assert found.extrapolated is None


def test_the_interval_of_a_median_is_that_of_order_statistics_and_holds() -> None:
    # of 6 values the least and the greatest hold the median with 1 - 2 / 2**6 = 0.97
    assert median_interval(np.arange(6.0), (-9, 9)) == (0.0, 5.0)
    assert median_interval(np.arange(5.0), (-9, 9)) == (-9, 9)
    rng, runs = np.random.default_rng(2), 400
    bounds = [median_interval(rng.exponential(1, 25), (0, 99)) for _ in range(runs)]
    held = np.mean([low <= np.log(2) <= high for low, high in bounds])
    assert held >= 0.93


def test_what_a_null_result_leaves_open_is_said_in_numbers() -> None:
    rng = np.random.default_rng(3)
    light = light_manifest(halves(60, 1))
    found = exposure(rng.normal(0, 1, 60), light, shuffles=999)
    assert found.overall.p_value > 0.05
    share = found.by_repetitions[0].detectable
    assert share is not None
    assert found.answer == (
        f"No canaries are told from the controls (p = {found.overall.p_value:.2g}): an image that stands once is not "
        f"safe by this, an effect on less than {100 * share:.0f} % of them would not be seen."
    )
    limits = " ".join(found.limits)
    assert "With 30 controls to compare with, the least p-value of one canary is 0.032" in limits
    assert "most exposure by rank 4.9 bits" in limits
    assert "for 30 planted ones that takes 599 controls, and there are 30" in limits


def test_too_few_canaries_are_called_too_few() -> None:
    light = light_manifest(halves(6, 1))
    found = exposure(np.arange(6.0)[::-1], light, shuffles=99)
    assert "too few canaries to see even if all were memorised" in found.answer
    assert "a median has no interval" in " ".join(found.limits)


def test_how_far_exposures_are_extrapolated_is_said() -> None:
    planted = np.array(halves(60, 2))
    losses = np.random.default_rng(4).normal(0, 1, 60) - 40 * planted
    found = exposure(losses, light_manifest(planted.tolist()), shuffles=99)
    assert found.extrapolated is not None
    assert found.extrapolated.beyond.all()
    assert "30 extrapolated exposures reach beyond the 4.9 bits" in " ".join(found.limits)


def test_the_same_question_gets_the_same_answer_in_plain_types(manifest: Manifest) -> None:
    losses = np.random.default_rng(5).normal(0, 1, 48)
    first, second = (exposure(losses, manifest, shuffles=99, seed=3) for _ in range(2))
    assert json.dumps(first.to_json(canaries=True)) == json.dumps(second.to_json(canaries=True))
    assert len(first.to_json(canaries=True)["canaries"]) == 24
    assert "canaries" not in first.to_json()


def test_nothing_secret_of_a_canary_is_told(manifest: Manifest) -> None:
    losses = canary_losses(_lookup(manifest), manifest, timesteps=1, draws=1)
    found = exposure(losses, manifest, shuffles=99)
    text = repr(found) + json.dumps(found.to_json(canaries=True)) + found.answer
    for each in manifest.canaries:
        for secret in (str(each.caption), each.salt, each.image[:40], each.sha256.hex()):
            assert secret not in text
    assert manifest.secret not in text


def test_losses_do_not_depend_on_how_many_are_asked_for_at_once(manifest: Manifest) -> None:
    model = FreshModel()
    one, other = (canary_losses(model, manifest, timesteps=2, draws=2, batch=each) for each in (5, 64))
    assert one == pytest.approx(other, rel=1e-5)
    assert one.shape == (48,)


def test_bad_arguments_are_refused(manifest: Manifest) -> None:
    with pytest.raises(UsageError, match="shuffles must be 99 or more"):
        exposure(np.zeros(48), manifest, shuffles=9)
    with pytest.raises(UsageError, match="canary exposure needs a model"):
        canary_losses(object(), manifest)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="window must be"):
        canary_losses(FreshModel(), manifest, window=(0.5, 0.2))
    bare = light_manifest([True, False])
    with pytest.raises(UsageError, match="without captions"):
        canary_losses(FreshModel(), bare, less_unconditional=True)


def test_cells_are_by_kind_by_repetitions_and_by_both() -> None:
    fates = [number // 6 % 2 == 0 for number in range(24)]
    light = light_manifest(fates, kinds=("texture", "blob", "pair"), repetitions=(1, 4))
    found = exposure(np.random.default_rng(6).normal(0, 1, 24), light, shuffles=99)
    assert [(each.kind, each.repetitions, each.planted, each.controls) for each in found.by_kind] == [
        ("blob", None, 4, 4), ("pair", None, 4, 4), ("texture", None, 4, 4),
    ]  # fmt: skip
    assert [(each.kind, each.repetitions, each.planted, each.controls) for each in found.by_repetitions] == [
        (None, 1, 6, 12), (None, 4, 6, 12),
    ]  # fmt: skip
    assert {(each.kind, each.repetitions, each.planted) for each in found.cells} == {
        (kind, times, 2) for kind in ("blob", "pair", "texture") for times in (1, 4)
    }
    assert (found.overall.kind, found.overall.repetitions, found.overall.planted) == (None, None, 12)
    assert found.overall.corrected == found.overall.p_value
    tests = sorted(each.p_value for each in found.by_kind)
    assert min(each.corrected for each in found.by_kind) == pytest.approx(min(1.0, 3 * tests[0]))


def test_an_exposure_in_plain_types_is_that_of_the_hand_computation() -> None:
    losses = [1.0, 2.0, 4.0, 3.0, 8.0, 9.0]  # planted 1, 4, 8; controls 2, 3, 9
    told = exposure(losses, _small(losses), shuffles=99).to_json(canaries=True)
    assert told["overall"]["planted"] == 3
    assert (told["overall"]["above_all"], told["overall"]["controls"]) == (1, 3)
    assert (told["ceiling_bits"], told["shuffles"], told["compared_within_kinds"]) == (np.log2(3), 99, False)
    assert (told["trend"], told["extrapolated_beyond"]) == (None, None)
    assert told["found_alone"] == {"holm": 0, "benjamini_hochberg": 0}
    assert [each["rank"] for each in told["canaries"]] == [1, 3, 3]
    assert [each["references"] for each in told["canaries"]] == [3, 3, 3]
    assert [each["p_value"] for each in told["canaries"]] == pytest.approx([0.25, 0.75, 0.75])
    assert [each["holm"] for each in told["canaries"]] == pytest.approx([0.75, 1, 1])
    assert [each["benjamini_hochberg"] for each in told["canaries"]] == pytest.approx([0.75, 0.75, 0.75])
    assert [each["exposure_bits"] for each in told["canaries"]] == pytest.approx([np.log2(3), 0, 0])
    assert set(told["canaries"][0]) == {
        "rank", "references", "exposure_bits", "p_value", "holm", "benjamini_hochberg",
    }  # fmt: skip
    assert [len(told[name]) for name in ("by_repetitions", "by_kind", "cells")] == [1, 1, 1]
    assert (told["curve"]["members"], told["curve"]["controls"]) == (3, 3)
    assert told["curve"]["auc"] == pytest.approx(5 / 9)  # of 9 pairs 1 is before all three, 4 and 8 before 9


@pytest.mark.parametrize(("controls", "fitted"), [(19, False), (20, True)])
def test_a_tail_is_fitted_to_20_controls_or_more(controls: int, fitted: bool) -> None:
    fates = [True, *[False] * controls]
    found = exposure(np.random.default_rng(7).normal(0, 1, controls + 1), light_manifest(fates), shuffles=99)
    assert (found.extrapolated is not None) is fitted
    assert ("extrapolated_bits" in found.to_json(canaries=True)["canaries"][0]) is fitted


def test_those_found_alone_are_counted_at_the_level_asked_for() -> None:
    fates = [True] * 2 + [False] * 79
    losses = np.arange(81.0)
    losses[1] = 5.5  # before all controls but four: ranks 1 and 5
    found = exposure(losses, light_manifest(fates), shuffles=99)
    assert found.standing.p_values == pytest.approx([1 / 80, 5 / 80])
    assert found.corrected == pytest.approx([2 / 80, 5 / 80])
    assert (found.alone(), found.alone(0.0625), found.alone(0.0624), found.alone(2 / 80)) == (1, 2, 1, 1)
    assert found.alone(0.024) == 0
    assert found.alone(0.024, by_share=True) == 0
    assert found.by_repetitions[0].above_all == 1


def test_99_shuffles_are_the_least() -> None:
    with pytest.raises(UsageError, match="shuffles must be 99 or more, got 98"):
        exposure([1.0, 2.0], light_manifest([True, False]), shuffles=98)
    assert exposure([1.0, 2.0], light_manifest([True, False]), shuffles=99).overall.planted == 1


def test_two_of_one_rank_are_found_by_their_share_where_neither_is_alone() -> None:
    # three of 79 controls before both: p = 4 / 80 for each; Holm doubles it, Benjamini and Hochberg leave it
    found = exposure([2.5, 2.6, *range(79)], light_manifest([True] * 2 + [False] * 79), shuffles=99)
    assert found.corrected == pytest.approx([0.1, 0.1])
    assert found.false_discovery == pytest.approx([0.05, 0.05])
    assert (found.alone(), found.alone(by_share=True)) == (0, 2)
    assert found.to_json()["found_alone"] == {"holm": 0, "benjamini_hochberg": 2}
