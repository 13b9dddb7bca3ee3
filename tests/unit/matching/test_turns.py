"""The eight turns: of real pictures, by Pillow's definition, and on random bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pdqhash
import pytest
from PIL import Image

from dedupkit.fingerprints.perceptual import perceptual_hashes
from dedupkit.matching.hamming import hamming_pairs
from dedupkit.matching.turns import INVERSE, ORIENTATIONS, PDQ, PHASH, HashLayout, mirrored_distances

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Transpose = Image.Transpose
# What turning in the words of ORIENTATIONS does; Pillow's ROTATE_90 goes counter-clockwise.
PILLOW = {
    "as is": None,
    "mirrored left-right": Transpose.FLIP_LEFT_RIGHT,
    "mirrored top-bottom": Transpose.FLIP_TOP_BOTTOM,
    "turned 180°": Transpose.ROTATE_180,
    "transposed": Transpose.TRANSPOSE,
    "turned 90°": Transpose.ROTATE_270,
    "turned 270°": Transpose.ROTATE_90,
    "transverse": Transpose.TRANSVERSE,
}


def turn(image: Image.Image, name: str) -> Image.Image:
    how = PILLOW[name]
    return image if how is None else image.transpose(how)


def code_of(image: Image.Image, layout: HashLayout) -> NDArray[np.uint8]:
    gray = np.asarray(image.convert("L"))
    hashes = perceptual_hashes(gray, *gray.shape)
    data = hashes.pdq if layout is PDQ else hashes.phash.to_bytes(8, "big")
    return np.frombuffer(data, dtype=np.uint8)


def test_every_orientation_has_a_name_that_pillow_knows() -> None:
    assert set(ORIENTATIONS) == set(PILLOW)


@pytest.mark.parametrize("layout", [PDQ, PHASH], ids=["pdq", "phash"])
@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("size", [(200, 200), (320, 200), (150, 401)])
def test_the_name_says_how_the_second_picture_has_to_be_turned(
    layout: HashLayout, name: str, size: tuple[int, int], picture: Callable[..., Image.Image]
) -> None:
    second = picture(11, *size)
    first = turn(second, name)
    codes = np.stack([code_of(first, layout), code_of(second, layout)])
    pairs = hamming_pairs(codes, layout, layout.bits // 6)  # PDQ's filter is not quite symmetric: some bits move
    assert [ORIENTATIONS[number] for number in pairs.turn] == [name]


@pytest.mark.parametrize("name", PILLOW)
def test_the_inverse_turn_restores_the_picture(name: str, picture: Callable[..., Image.Image]) -> None:
    image = picture(3, 40, 30)
    back = ORIENTATIONS[INVERSE[ORIENTATIONS.index(name)]]
    assert turn(turn(image, name), back).tobytes() == image.tobytes()


def test_metas_hashes_of_the_eight_turns_are_metas_own(picture: Callable[..., Image.Image]) -> None:
    image = picture(5, 200, 200)
    as_is = np.packbits(pdqhash.compute(np.asarray(image))[0])
    for name in PILLOW:
        other = np.packbits(pdqhash.compute(np.asarray(turn(image, name)))[0])
        pairs = hamming_pairs(np.stack([other, as_is]), PDQ, 40)
        assert [ORIENTATIONS[number] for number in pairs.turn] == [name]


@pytest.mark.parametrize("layout", [PDQ, PHASH], ids=["pdq", "phash"])
def test_mirrored_distances_are_those_of_the_bits(
    layout: HashLayout, distances_of_all: Callable[..., NDArray[Any]]
) -> None:
    codes = np.random.default_rng(1).integers(0, 256, (30, layout.bits // 8), dtype=np.uint8)
    words = layout.words(codes)
    expected = distances_of_all(codes, layout)
    found = mirrored_distances((words[:, None] ^ words[None]).reshape(-1, 4)).reshape(4, 30, 30)
    assert (found == expected[:4]).all()
    transposed = layout.words(layout.transposed(codes))
    found = mirrored_distances((words[:, None] ^ transposed[None]).reshape(-1, 4)).reshape(4, 30, 30)
    assert (found == expected[4:]).all()


@pytest.mark.parametrize("layout", [PDQ, PHASH], ids=["pdq", "phash"])
def test_words_hold_every_bit_once_and_transposing_twice_restores(layout: HashLayout) -> None:
    one_bit = np.packbits(np.eye(layout.bits, dtype=np.uint8), axis=1)
    words = layout.words(one_bit)
    assert (np.bitwise_count(words).sum(axis=1) == 1).all()
    assert len(np.unique(words, axis=0)) == layout.bits
    assert (layout.transposed(layout.transposed(one_bit)) == one_bit).all()
