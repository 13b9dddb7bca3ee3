"""Inpainting by models whose answers are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import kstest

from dedupkit.audit.inpainting_attack import MASKS, InpaintingOptions, hidden, inpainting
from dedupkit.errors import UsageError
from tests.audit_models import FreshModel, LookupModel
from tests.unit.audit.conftest import Trained, small_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

QUICK = InpaintingOptions(masks=("left",), tries=4, best=2, steps=8, resamplings=1)


def test_a_lookup_table_rebuilds_its_images_and_no_others(trained: Trained) -> None:
    members = np.stack([small_picture(number) for number in range(12)])
    found = inpainting(LookupModel(trained.images), members, trained.controls, options=QUICK)
    assert max(each.error for each in found.members) < 0.01
    assert min(each.error for each in found.controls) > 0.02
    assert found.curve.auc == 1.0
    assert found.p_value < 1e-6
    assert "are rebuilt better" in found.answer
    assert all(each.low <= each.error <= each.high for each in (*found.members, *found.controls))
    assert np.array_equal(found.members[0].rebuilt, members[0])


def test_what_was_shown_stays() -> None:
    model = FreshModel(size=12)
    images = model.images(3, seed=1)
    options = InpaintingOptions(masks=("centre",), tries=3, best=1, steps=6, resamplings=1)
    found = inpainting(model, images[:1], images[1:], options=options)
    hole = hidden("centre", (12, 12))
    for each in (*found.members, *found.controls):
        assert np.array_equal(each.rebuilt[~hole], each.image[~hole])
        assert (each.shown[hole] == 127).all()


def test_p_values_are_uniform_where_nothing_is_memorised() -> None:
    p = []
    for seed in range(40):
        model = FreshModel(size=8)
        images = model.images(24, seed=seed)
        p.append(inpainting(model, images[:12], images[12:], options=QUICK).p_value)
    assert kstest(p, "uniform").pvalue > 0.01


def test_a_model_that_only_fills_in_has_no_loss_to_pick_by() -> None:
    class Black:
        def inpaint(
            self, images: np.ndarray, missing: np.ndarray, captions: object, seeds: Sequence[int]
        ) -> np.ndarray:
            return np.zeros_like(images)

    images = FreshModel(size=8).images(4, seed=0)
    found = inpainting(Black(), images[:2], images[2:], options=QUICK)
    assert not found.by_loss
    hole = hidden("left", (8, 8))
    expected = np.sqrt(np.square(images[0][hole] / 255).mean())
    assert found.members[0].error == pytest.approx(expected)
    assert any("no loss" in each for each in found.limits)


def test_masks_hide_halves_and_the_middle_quarter() -> None:
    for mask in MASKS:
        assert hidden(mask, (8, 12)).mean() == (0.25 if mask == "centre" else 0.5)
    assert hidden("left", (2, 4)).tolist() == [[True, True, False, False]] * 2
    assert hidden("bottom", (2, 1)).tolist() == [[False], [True]]


def test_what_cannot_be_is_refused() -> None:
    images = FreshModel(size=8).images(2, seed=0)
    with pytest.raises(UsageError, match="masks must be some of"):
        InpaintingOptions(masks=("corner",))
    with pytest.raises(UsageError, match=r"best must be in \[1, tries\]"):
        InpaintingOptions(tries=2, best=3)
    with pytest.raises(UsageError, match="needs a model that can fill in"):
        inpainting(object(), images, images)
    with pytest.raises(UsageError, match="some controls"):
        inpainting(FreshModel(size=8), images, images[:0])
