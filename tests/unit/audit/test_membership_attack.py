"""Membership inference on models whose answers are known."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from dedupkit.audit.lira import Shadows
from dedupkit.audit.losses import Queries
from dedupkit.audit.membership_attack import MembershipOptions, membership
from dedupkit.audit.membership_result import Membership
from dedupkit.audit.samples import Samples, pooled
from dedupkit.audit.splits import half_splits
from dedupkit.errors import UsageError
from tests.audit_models import FreshModel, LookupModel

FEW = Queries(timesteps=2, draws=1)
QUICK = MembershipOptions(queries=FEW, permutations=99)
COUNT = 60


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return FreshModel().images(2 * COUNT, seed=7)


@pytest.fixture(scope="module")
def sets(images: np.ndarray) -> tuple[Samples, Samples]:
    captions = ["a private caption"] * COUNT
    return Samples(images[:COUNT], captions), Samples(images[COUNT:], captions)


@pytest.fixture(scope="module")
def found(images: np.ndarray, sets: tuple[Samples, Samples]) -> Membership:
    """A lookup table of the members, with eight shadow models."""
    inside = half_splits([str(row) for row in range(2 * COUNT)], 8, seed=0).inside
    shadows = Shadows.asked((LookupModel(images[row]) for row in inside), inside, pooled(*sets), FEW)
    return membership(LookupModel(images[:COUNT]), *sets, options=QUICK, shadows=shadows)


def test_every_attack_finds_the_images_of_a_lookup_table(found: Membership) -> None:
    names = ["loss threshold", "SecMI", "PIA", "PIAN", "LiRA online", "LiRA offline"]
    assert [each.name for each in found.attacks] == names
    assert min(each.curve.auc for each in found.attacks) > 0.999
    assert all(each.curve.at(0.01).members.value > 0.99 for each in found.attacks)
    assert found.found
    assert found.answer.startswith("the model gives away who was in its training set: the strongest of 6 attacks")
    assert found.whole_set is not None
    assert found.whole_set.p_value < 1e-6


def test_thresholds_of_shadow_models_hold_for_the_target(found: Membership) -> None:
    for each in found.attacks[-2:]:
        one_percent = each.calibrated[1]
        assert one_percent.false_positive_rate == 0.01
        assert one_percent.shadow_controls == 8 * COUNT
        assert one_percent.members.value == 1
        assert one_percent.controls.value < 0.1


def test_curves_are_those_of_scikit_learn() -> None:
    model = FreshModel(size=4)
    sides = [Samples(model.images(150, seed)) for seed in (1, 2)]
    found = membership(model, *sides, options=QUICK)
    labels = np.arange(300) < 150
    for each in found.attacks:
        scores = np.concatenate([each.curve.members, each.curve.controls])
        assert each.curve.auc == pytest.approx(roc_auc_score(labels, scores))
        false, true, _ = roc_curve(labels, scores)
        assert each.curve.at(0.01).members.value == true[false <= 0.01].max()


def test_a_model_that_memorised_nothing_gives_chance_over_twenty_seeds() -> None:
    rng = np.random.default_rng(0)
    results = []
    for seed in range(20):
        model = FreshModel(size=4)
        sides = [Samples(model.images(40, 100 * seed + side)) for side in (1, 2)]
        inside = half_splits([str(row) for row in range(80)], 6, seed).inside
        retrained = [FreshModel(size=4, deviation=float(each)) for each in rng.uniform(0.25, 0.35, 6)]
        shadows = Shadows.asked(retrained, inside, pooled(*sides), FEW)
        options = MembershipOptions(queries=FEW, permutations=99, seed=seed)
        results.append(membership(model, *sides, options=options, shadows=shadows))
    for number in range(6):
        attacks = [each.attacks[number] for each in results]
        assert stats.kstest([each.p_value for each in attacks], "uniform").pvalue > 0.01
        covered = [each.curve.auc_interval[0] <= 0.5 <= each.curve.auc_interval[1] for each in attacks]
        assert sum(covered) >= 17  # of 20 at 95 %: fewer in 1.6 % of all draws
    sets = [each.whole_set for each in results]
    assert stats.kstest([each.p_value for each in sets if each], "uniform").pvalue > 0.01
    assert sum(each.found for each in results) <= 3


def test_a_null_result_says_how_little_it_proves() -> None:
    model = FreshModel(size=4)
    sides = [Samples(model.images(40, seed)) for seed in (3, 4)]
    found = membership(model, *sides, options=QUICK)
    assert found.answer.startswith("none of 4 attacks tells members from controls: the strongest of 4 attacks (")
    said = " ".join(found.limits)
    assert "40 controls are too few for a false positive rate of 0.1%: 1000 are needed." in said
    assert "no single sample can have a p-value below 0.024" in said  # 1 / 41
    assert f"an AUC of up to {found.strongest.curve.auc_interval[1]:.2f}" in said
    assert "LiRA, which needs shadow models" in said


def test_what_no_attack_but_the_whole_set_tells_is_said(sets: tuple[Samples, Samples]) -> None:
    found = membership(FreshModel(), *sets, options=QUICK)
    assert "tell the sets apart" not in found.answer
    whole_set = found.whole_set
    assert whole_set is not None
    told = replace(found, whole_set=replace(whole_set, p_value=0.002))
    assert told.answer == f"{found.answer}; all the same, their scores together tell the sets apart (p = 0.002)"


def test_members_that_look_otherwise_are_warned_of_before_anything_else(images: np.ndarray) -> None:
    brighter = np.clip(images[:COUNT].astype(int) + 30, 0, 255).astype(np.uint8)
    found = membership(LookupModel(brighter), Samples(brighter), Samples(images[COUNT:]), options=QUICK)
    assert found.answer.startswith("members and controls can be told apart without the model (AUC ")
    assert "what follows says nothing about membership" in found.limits[0]
    assert not found.found


def test_the_curse_of_many_attacks_is_corrected(found: Membership) -> None:
    p_values = sorted(each.p_value for each in found.attacks)
    assert min(found.corrected.values()) == pytest.approx(6 * p_values[0])


def test_json_holds_numbers_and_no_caption(found: Membership) -> None:
    text = json.dumps(found.to_json(), allow_nan=False)
    assert "private caption" not in text + repr(found) + found.answer + " ".join(found.limits)
    attacks = json.loads(text)["attacks"]
    assert [each["model_calls_a_sample"] for each in attacks] == [4, 11, 2, 2, 4, 4]
    assert attacks[0]["at"][0]["resolved"] is False
    assert attacks[4]["calibrated"][0]["shadow_controls"] == 8 * COUNT


def test_the_same_question_gets_the_same_answer(sets: tuple[Samples, Samples]) -> None:
    first, again = (membership(FreshModel(), *sets, options=QUICK).to_json() for _ in range(2))
    assert first == again


def test_few_samples_are_answered_without_looks_and_sets(images: np.ndarray) -> None:
    found = membership(LookupModel(images[:3]), Samples(images[:3]), Samples(images[3:6]), options=QUICK)
    assert found.told_apart is None
    assert found.whole_set is None
    assert "Too few members or controls" in found.limits[0]
    json.dumps(found.to_json(), allow_nan=False)


def test_attacks_can_be_left_out(sets: tuple[Samples, Samples]) -> None:
    options = MembershipOptions(queries=FEW, secmi=None, pia=None, pian=None, permutations=99)
    found = membership(FreshModel(), *sets, options=options)
    assert [each.name for each in found.attacks] == ["loss threshold"]
    assert options.calls(FreshModel()) == 4
    assert MembershipOptions().calls(FreshModel()) == 55
    assert found.answer.startswith("the attack does not tell members from controls: loss threshold has AUC")


def test_models_and_pictures_that_do_not_fit_are_refused(sets: tuple[Samples, Samples]) -> None:
    with pytest.raises(UsageError, match="needs a model that can be asked for its noise"):
        membership(object(), *sets)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"4 x 4 pixels, .* got 8 x 8; resize"):
        membership(FreshModel(size=4), *sets)
    with pytest.raises(UsageError, match=r"rates must be in \(0, 1\), got 1; 0.001"):
        MembershipOptions(rates=(1,))


def test_the_loss_is_that_of_the_formula() -> None:
    model = FreshModel(size=4)
    samples = Samples(model.images(6, 1))
    queries = Queries(window=(0.1, 0.3), timesteps=2, draws=3, seed=5)
    found = queries.losses(model, samples)
    assert found.shape == (6, 4)
    assert queries.visited(model) == [100, 300]
    clean = samples.images[:, :, ::-1].astype(float) / 127.5 - 1  # the mirrored one, at the second timestep
    kept = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[300]
    errors = []
    for draw in range(3):
        noise = np.random.default_rng([5, 300, draw]).standard_normal((3, 4, 4), np.float32).transpose(1, 2, 0)
        noisy = kept**0.5 * clean + (1 - kept) ** 0.5 * noise
        seen = (1 - kept) ** 0.5 / (kept * 0.3**2 + 1 - kept) * noisy
        errors.append(np.square(seen - noise).mean(axis=(1, 2, 3)))
    assert found[:, 3] == pytest.approx(np.log(np.mean(errors, axis=0)), rel=1e-4)


def test_the_logarithm_of_an_error_is_nearer_to_gaussian() -> None:
    model = FreshModel(size=4)
    losses = Queries(timesteps=1, draws=1, flips=False).losses(model, Samples(model.images(2000, 1)))[:, 0]
    assert abs(stats.skew(losses)) < abs(stats.skew(np.exp(losses)))


def test_bad_queries_are_refused() -> None:
    with pytest.raises(UsageError, match=r"0 <= low <= high <= 1, got \(50, 300\)"):
        Queries(window=(50, 300))
    with pytest.raises(UsageError, match="draws must be 1 or more, got 0"):
        Queries(draws=0)


def test_the_page_on_it_runs(images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[3] / "docs" / "audit_membership.md"
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)

    def trained_on(keys: list[str]) -> LookupModel:
        return LookupModel(images[[int(key) for key in keys]])

    keys = [str(row) for row in range(2 * COUNT)]
    given = {"model": trained_on(keys[:COUNT]), "trained_on": trained_on, "keys": keys}
    space = given | {"member_images": images[:COUNT], "control_images": images[COUNT:]}
    space |= {"member_captions": ["a"] * COUNT, "control_captions": ["a"] * COUNT}
    for block in blocks:
        exec(block, space)
    assert len(blocks) == 2
    result = space["result"]
    assert isinstance(result, Membership)
    assert result.found
