from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dedupkit.canaries.encodings import encoding_of
from dedupkit.canaries.kinds import DRAWN, Knobs, fitting
from dedupkit.fingerprints.perceptual import perceptual_hashes
from tests.unit.canaries.conftest import jpeg

MODEL = np.asarray(Image.open(io.BytesIO(jpeg(1, 160, 120))))
OWN = [np.asarray(Image.open(io.BytesIO(jpeg(seed, 120, 160)))) for seed in (2, 3, 4)]


@pytest.mark.parametrize("kind", DRAWN)
def test_the_same_seed_draws_the_same_and_another_draws_another(kind: str) -> None:
    first, again, other = (DRAWN[kind](np.random.default_rng(seed), MODEL, OWN) for seed in (5, 5, 6))
    assert np.array_equal(first.coarse + first.fine, again.coarse + again.fine)
    assert not np.array_equal(first.coarse + first.fine, other.coarse + other.fine)


@pytest.mark.parametrize("kind", DRAWN)
def test_a_canary_looks_like_neither_its_model_nor_another_canary(kind: str) -> None:
    drawn = [DRAWN[kind](np.random.default_rng(seed), MODEL, OWN).rendered(Knobs(), MODEL) for seed in range(6)]
    hashes = [perceptual_hashes(picture.mean(2).astype(np.uint8), 120, 160).pdq for picture in (MODEL, *drawn)]
    codes = np.array([list(each) for each in hashes], np.uint8)
    bits = np.bitwise_count(codes[:, None] ^ codes[None]).sum(axis=2)[np.triu_indices(7, 1)]
    assert bits.min() > 31  # Meta's limit for the same picture


@pytest.mark.parametrize("kind", ["texture", "blob", "pair"])
def test_levels_are_the_models_in_each_channel(kind: str) -> None:
    drawn = DRAWN[kind](np.random.default_rng(7), MODEL, OWN).rendered(Knobs(), MODEL)
    for channel in range(3):
        mine, models = (np.sort(each[:, :, channel].ravel().astype(int)) for each in (drawn, MODEL))
        assert np.abs(mine - models).mean() < 2


@pytest.mark.parametrize("kind", DRAWN)
def test_files_have_about_the_models_size(kind: str) -> None:
    found = encoding_of(jpeg(1, 160, 120))
    assert found is not None
    encoding, pixels = found
    layers = DRAWN[kind](np.random.default_rng(8), pixels, OWN)
    data, ratio = fitting(layers, pixels, encoding.encode, encoding.byte_size)
    assert len(data) == round(ratio * encoding.byte_size)
    assert 0.7 < ratio < 1.4


def test_the_hidden_part_of_a_pair_is_half_of_it_and_differs_from_the_rest() -> None:
    layers = DRAWN["pair"](np.random.default_rng(9), MODEL, OWN)
    assert layers.hidden_box == (80, 0, 160, 120)
    upright = DRAWN["pair"](np.random.default_rng(9), OWN[0], OWN)
    assert upright.hidden_box == (0, 80, 120, 160)


@pytest.mark.parametrize("kind", DRAWN)
def test_grey_and_tiny_models_can_be_drawn_after(kind: str) -> None:
    for model in (MODEL.mean(axis=2, keepdims=True).astype(np.uint8), MODEL[:9, :7], MODEL[:1, :1]):
        drawn = DRAWN[kind](np.random.default_rng(10), model, OWN).rendered(Knobs(1.2, 1.5, 0.5), model)
        assert drawn.shape == model.shape
        assert drawn.dtype == np.uint8
