"""Drawing, filling in and errors, with the best denoisers of a Gaussian and of a finite set: both have closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from dedupkit.audit.diffusion import Drawing, denoising_errors, draw, guided, inpaint, mixed, within
from dedupkit.errors import UsageError
from tests.audit_models import FreshModel, LookupModel


def some_images(count: int = 6, size: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def test_the_error_of_the_best_denoiser_of_a_gaussian_is_its_closed_form() -> None:
    model = FreshModel(size=16)
    clean = model.encode(model.images(200, seed=1))
    timesteps = [50, 300, 700]
    errors = denoising_errors(model, clean, [None] * 200, timesteps=timesteps, draws=3)
    assert errors.shape == (200, 3, 3)
    signal, level = model.coefficients(np.array(timesteps))
    power = (signal * model.deviation) ** 2
    assert errors.mean(axis=(0, 2)) == pytest.approx(power / (power + level**2), rel=0.05)


def test_a_sample_has_the_same_error_alone_and_among_others() -> None:
    model = FreshModel()
    clean = model.encode(model.images(5, seed=1))
    whole = denoising_errors(model, clean, [None] * 5, timesteps=[10, 400], draws=2, seed=3)
    alone = denoising_errors(model, clean[3:4], [None], timesteps=[10, 400], draws=2, seed=3, batch=1)
    assert whole[3:4] == pytest.approx(alone, rel=1e-5)
    other = denoising_errors(model, clean[3:4], [None], timesteps=[10, 400], draws=2, seed=4)
    assert not np.allclose(other, alone)


def test_the_best_denoiser_of_a_gaussian_draws_that_gaussian() -> None:
    model = FreshModel(size=16)
    for noisiness in (0.0, 1.0):
        coarse, fine = (
            draw(model, (3, 16, 16), [None] * 40, range(40), Drawing(steps=steps, noisiness=noisiness))
            for steps in (50, 1000)
        )
        assert fine.mean() == pytest.approx(0, abs=0.01)
        assert fine.std() == pytest.approx(model.deviation, rel=0.02)
        assert coarse.std() < fine.std()  # few steps lose some of the variance


def test_the_best_denoiser_of_a_finite_set_draws_its_images() -> None:
    images = some_images()
    model = LookupModel(images, captions=tuple("abcdef"))
    drawn = model.generate([None] * 12, range(12))
    assert {each.tobytes() for each in drawn} <= {each.tobytes() for each in images}
    assert len({each.tobytes() for each in drawn}) > 2
    assert np.array_equal(model.generate(["c"], [5])[0], images[2])


def test_a_seed_gives_the_same_image_whatever_is_drawn_beside_it() -> None:
    model = FreshModel()
    together = draw(model, (3, 8, 8), [None] * 3, [7, 8, 9], Drawing(steps=8, noisiness=0.5))
    alone = draw(model, (3, 8, 8), [None], [8], Drawing(steps=8, noisiness=0.5))
    assert together[1:2] == pytest.approx(alone, abs=1e-6)


def test_a_finite_set_fills_in_the_image_that_is_known_by_its_other_half() -> None:
    images = some_images()
    model = LookupModel(images)
    missing = np.zeros((6, 8, 8), bool)
    missing[:, :, 4:] = True
    given = np.where(missing[..., None], 0, images).astype(np.uint8)
    assert np.array_equal(model.inpaint(given, missing, [None] * 6, range(6)), images)


def test_what_is_known_stays_and_what_is_missing_is_drawn_like_the_rest() -> None:
    model = FreshModel(size=16)
    images = model.images(20, seed=2)
    known = model.encode(images)
    missing = np.zeros((20, 16, 16), bool)
    missing[:, 4:12, 4:12] = True
    filled = inpaint(model, known, missing, [None] * 20, range(20), Drawing(steps=500, noisiness=1.0), resamplings=2)
    hole = np.broadcast_to(missing[:, None], filled.shape)
    assert np.array_equal(filled[~hole], known[~hole])
    assert filled[hole].std() == pytest.approx(model.deviation, rel=0.07)
    assert abs(np.corrcoef(filled[hole], known[hole])[0, 1]) < 0.05


def test_guidance_weighs_the_caption_against_none() -> None:
    images = some_images()
    model = LookupModel(images, captions=tuple("aaabbb"))
    noisy, at = mixed(model, model.encode(images[:2]), np.ones((1, 3, 8, 8), np.float32), 800)
    told, untold = (model.predict(noisy, at, [caption] * 2) for caption in ("a", None))
    strong = guided(model, noisy, at, ["a", "a"], 3.0)
    assert strong.clean == pytest.approx(3 * told.clean - 2 * untold.clean, abs=1e-4)
    assert strong.noise == pytest.approx(3 * told.noise - 2 * untold.noise, abs=1e-4)
    assert np.abs(strong.clean - told.clean).max() > 0.01


def test_a_window_of_timesteps_is_spread_evenly() -> None:
    model = FreshModel()
    assert within(model, 0.05, 0.3, 3) == [50, 175, 300]
    assert within(model, 0.1, 0.1, 1) == [100]
    with pytest.raises(UsageError, match=r"must be in \[0, 1000\)"):
        denoising_errors(model, model.encode(model.images(1, 0)), [None], timesteps=[1000])
