from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dedupkit.audit.dataset_inference import dataset_inference
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
