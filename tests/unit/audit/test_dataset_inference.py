from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dedupkit.audit.dataset_inference import DatasetInference, dataset_inference
from dedupkit.audit.statistics import difference_p_value
from dedupkit.errors import UsageError

WEIGHTS = ("learned", "equal")


def scores(count: int, rng: np.random.Generator, effect: float = 0.0) -> dict[str, np.ndarray]:
    """Three attacks whose scores hang together, one of which sees membership; all heavy in the tails."""
    common = rng.standard_t(3, (count, 1))
    table = common + rng.standard_t(3, (count, 3))
    table[:, 1] += effect
    return {name: table[:, column] for column, name in enumerate(("loss", "SecMI", "PIA"))}


@pytest.mark.parametrize("weights", WEIGHTS)
def test_p_values_are_uniform_if_the_set_was_not_trained_on(weights: str) -> None:
    rng = np.random.default_rng(1)
    found = [
        dataset_inference(scores(40, rng), scores(60, rng), weights=weights, seed=seed)  # type: ignore[arg-type]
        for seed in range(300)
    ]
    p_values = [each.p_value for each in found]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.03)
    covered = np.mean([each.auc_interval[0] <= 0.5 <= each.auc_interval[1] for each in found])
    assert covered > 0.92


@pytest.mark.parametrize("weights", WEIGHTS)
def test_power_grows_with_the_set(weights: str) -> None:
    rng = np.random.default_rng(2)
    shares = []
    for count in (20, 80, 320):
        found = [
            dataset_inference(scores(count, rng, 1.2), scores(count, rng), weights=weights, seed=seed)  # type: ignore[arg-type]
            for seed in range(60)
        ]
        shares.append(np.mean([each.p_value <= 0.01 for each in found]))
    assert shares[0] < shares[1] < shares[2]


def test_the_attack_that_sees_it_gets_the_weight() -> None:
    rng = np.random.default_rng(3)
    found = dataset_inference(scores(400, rng, 1.5), scores(400, rng))
    assert max(found.weight, key=lambda name: found.weight[name]) == "SecMI"
    assert found.p_value < 1e-6
    assert found.answer.startswith("as a set, these 400 samples were most likely trained on")


def test_the_number_needed_suffices_four_times_in_five() -> None:
    rng = np.random.default_rng(4)
    large = [
        dataset_inference({"a": rng.normal(0.5, 1, 3000)}, {"a": rng.normal(0, 1, 3000)}, seed=seed)
        for seed in range(4)
    ]
    needed = round(np.mean([each.needed or 0 for each in large]))
    found = [
        dataset_inference({"a": rng.normal(0.5, 1, needed)}, {"a": rng.normal(0, 1, needed)}, seed=seed)
        for seed in range(300)
    ]
    assert np.mean([each.p_value <= 0.01 for each in found]) == pytest.approx(0.8, abs=0.08)
    # the same size names the AUC that it would have found
    assert found[0].detectable == pytest.approx(stats.norm.cdf(0.5 / 2**0.5), abs=0.02)


def test_a_null_result_says_what_would_have_been_found() -> None:
    rng = np.random.default_rng(5)
    found = dataset_inference({"a": rng.normal(0, 1, 30)}, {"a": rng.normal(0.3, 1, 30)})
    assert found.answer.startswith("nothing shows that these 30 samples")
    assert any(f"an AUC of {found.detectable:.2f} would be found" in each for each in found.limits)
    assert found.needed is None or found.auc > 0.5


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"same attacks, got \['a'\] and \['b'\]; ask"):
        dataset_inference({"a": np.zeros(9)}, {"b": np.zeros(9)})
    with pytest.raises(UsageError, match=r"4 samples or more, got 3 and 9; add"):
        dataset_inference({"a": np.zeros(3)}, {"a": np.zeros(9)})


def made(p_value: float, auc: float, suspects: int = 100, tested: tuple[int, int] = (50, 50)) -> DatasetInference:
    return DatasetInference(p_value, auc, (0.4, 0.7), suspects, 90, tested, "learned", {"loss": 1.0})


def test_how_many_are_needed_and_what_is_detectable_are_noethers() -> None:
    # z(0.99) + z(0.8) = 2.32635 + 0.84162 = 3.16797; squared 10.036
    assert made(0.2, 0.6).needed == 335  # 10.036 / (6 * 0.1**2) = 167.27 tested, of which half of the set is
    assert made(0.2, 0.6, tested=(100, 90)).needed == 168
    assert made(0.2, 0.5).needed is None
    assert made(0.2, 0.4).needed is None
    assert made(0.2, 0.6).detectable == pytest.approx(0.5 + 3.16797 * (100 / (12 * 50 * 50)) ** 0.5, abs=1e-5)
    assert made(0.2, 0.6, tested=(40, 60)).detectable == pytest.approx(
        0.5 + 3.16797 * (100 / (12 * 40 * 60)) ** 0.5, abs=1e-5
    )
    assert made(0.2, 0.6, tested=(2, 2)).detectable == 1.0  # more than an AUC can be


def test_what_is_said_of_a_set_is_said_word_for_word() -> None:
    assert made(0.01, 0.6).found
    assert made(0.01, 0.6).answer == (
        "as a set, these 100 samples were most likely trained on, if they and the 90 controls are alike but for that "
        "(p = 0.01, AUC 0.60, 0.40 to 0.70)"
    )
    nothing = made(0.0101, 0.6)
    assert not nothing.found
    assert nothing.answer == (
        "nothing shows that these 100 samples, as a set, were trained on (p = 0.01, AUC 0.60, 0.40 to 0.70)"
    )
    assert nothing.limits[-1] == (
        "With 100 samples and 90 controls an AUC of 0.68 would be found four times in five, a smaller one less often; "
        "at the AUC seen, 335 of each would be needed."
    )
    assert made(0.5, 0.45).limits[-1].endswith("a smaller one less often.")
    assert len(made(0.01, 0.6).limits) == 2


def test_a_finding_in_plain_types_has_all_of_it() -> None:
    found = made(0.2, 0.6)
    assert found.to_json() == {
        "found": False, "p_value": 0.2, "auc": 0.6, "auc_low": 0.4, "auc_high": 0.7, "suspects": 100, "controls": 90,
        "tested": [50, 50], "weights": "learned", "weight": {"loss": 1.0}, "needed": 335,
        "detectable_auc": found.detectable, "answer": found.answer, "limits": list(found.limits),
    }  # fmt: skip


def _arrays(values: dict[str, list[float]]) -> dict[str, np.ndarray]:
    return {name: np.array(each) for name, each in values.items()}


def test_equal_weights_are_means_of_normal_scores_over_all() -> None:
    suspects, controls = (
        {"a": [3.0, 1.0, 5.0, 6.0], "b": [9.0, 8.0, 2.0, 7.0]},
        {"a": [2.0, 4.0, 0.0, 7.0], "b": [1.0, 3.0, 4.0, 5.0]},
    )
    found = dataset_inference(*map(_arrays, (suspects, controls)), weights="equal")
    both = {name: [*suspects[name], *controls[name]] for name in suspects}
    ranks = {name: [sorted(values).index(each) + 1 for each in values] for name, values in both.items()}
    scores = [(stats.norm.ppf(a / 9) + stats.norm.ppf(b / 9)) / 2 for a, b in zip(ranks["a"], ranks["b"], strict=True)]
    assert found.p_value == pytest.approx(difference_p_value(scores[:4], scores[4:]))
    assert found.auc == pytest.approx(np.mean([[a > b for b in scores[4:]] for a in scores[:4]]))
    assert (found.tested, found.suspects, found.controls, found.weights) == ((4, 4), 4, 4, "equal")
    assert found.weight == {"a": 0.5, "b": 0.5}


def test_learned_weights_test_the_halves_that_did_not_teach() -> None:
    rng = np.random.default_rng(6)
    found = dataset_inference({"a": rng.normal(1, 1, 41)}, {"a": rng.normal(0, 1, 30)})
    assert (found.tested, found.suspects, found.controls, found.weights) == ((21, 15), 41, 30, "learned")
    with pytest.raises(UsageError, match="same attacks"):
        dataset_inference({}, {})
    with pytest.raises(UsageError, match="4 samples or more, got 4 and 3"):
        dataset_inference({"a": np.zeros(4)}, {"a": np.zeros(3)})
