from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dedupkit.audit.samples import Samples
from dedupkit.audit.told_apart import features, told_apart
from dedupkit.errors import UsageError


def pictures(count: int, seed: int, brighter: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(110 + brighter, 40, (count, 8, 8, 3)), 0, 255).astype(np.uint8)


def test_what_is_drawn_alike_gives_uniform_p_values_and_is_not_warned_of() -> None:
    found = [
        told_apart(Samples(pictures(12, seed)), Samples(pictures(12, 1000 + seed)), permutations=99, folds=2, seed=seed)
        for seed in range(20)
    ]
    assert stats.kstest([each.p_value for each in found], "uniform").pvalue > 0.01
    assert sum(each.warns for each in found) <= 1
    assert sum(each.interval[0] <= 0.5 <= each.interval[1] for each in found) >= 17
    assert not found[0].answer.startswith("members and controls can")


@pytest.mark.parametrize("what", ["pixels", "files", "captions"])
def test_a_difference_is_found_and_said(what: str) -> None:
    rng = np.random.default_rng(0)
    brighter = 12 if what == "pixels" else 0
    sizes = [rng.integers(9000, 12000, 60), rng.integers(9000, 12000, 60)]
    captions = [["a red house by the sea"] * 60, ["a red house by the sea"] * 60]
    if what == "files":
        sizes[0] = sizes[0] + 2000
    if what == "captions":
        captions[0] = ["house"] * 60
    members = Samples(pictures(60, 1, brighter), captions[0], sizes[0])
    controls = Samples(pictures(60, 2), captions[1], sizes[1])
    found = told_apart(members, controls, permutations=99)
    assert found.warns
    assert found.auc > 0.7
    assert f"can be told apart without the model (AUC {found.auc:.2f}" in found.answer
    assert "what follows says nothing about membership" in found.answer
    assert found.to_json()["warns"] is True


def test_sets_that_differ_in_everything_have_a_narrow_interval() -> None:
    found = told_apart(Samples(pictures(60, 1, 60)), Samples(pictures(60, 2)), permutations=99)
    assert found.auc == 1
    assert found.interval == pytest.approx((0.05 ** (1 / 60), 1))


def test_the_small_picture_is_made_of_the_means_of_boxes() -> None:
    images = pictures(3, 4)
    expected = images.reshape(3, 4, 2, 4, 2, 3).mean(axis=(2, 4)).reshape(3, -1) / 255
    assert features(Samples(images))[:, :48] == pytest.approx(expected)
    odd = np.zeros((1, 5, 3, 3), np.uint8)
    assert np.isfinite(features(Samples(odd))).all()


def test_no_more_are_looked_at_than_is_said() -> None:
    found = told_apart(Samples(pictures(30, 1)), Samples(pictures(40, 2)), permutations=99, most=20)
    assert (found.members, found.controls) == (20, 20)


def test_too_few_are_refused() -> None:
    with pytest.raises(UsageError, match=r"5 or more each .* got 4 and 9; add some"):
        told_apart(Samples(pictures(4, 1)), Samples(pictures(9, 1)))
    with pytest.raises(UsageError, match=r"permutations must be 99 or more, got 50; 199"):
        told_apart(Samples(pictures(9, 1)), Samples(pictures(9, 1)), permutations=50)


def test_samples_are_checked() -> None:
    with pytest.raises(UsageError, match=r"uint8 of shape .* got float64"):
        Samples(np.zeros((2, 4, 4, 3)))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"captions must be 2, one for each image, got 1"):
        Samples(np.zeros((2, 4, 4, 3), np.uint8), ["one"])
    assert "secret" not in repr(Samples(np.zeros((1, 4, 4, 3), np.uint8), ["secret"]))
