"""Letters and signs are copies only where one lies over the other as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from dedupkit.matching.geometry import View, view_of
from dedupkit.matching.views import GeometryVerifier

if TYPE_CHECKING:
    from dedupkit.matching.views import Views

MIN_ENTROPY = 2.1  # the recipe's


def letter(text: str) -> Image.Image:
    image = Image.new("L", (260, 260), 255)
    ImageDraw.Draw(image).text((130, 130), text, fill=0, font=ImageFont.load_default(200), anchor="mm")
    return image


class Given(dict[int, View]):
    """Views that no file holds."""

    def release(self) -> None:
        pass


def verified(one: Image.Image, other: Image.Image, min_entropy: float) -> Any:
    views = Given({number: view_of(np.asarray(each), 10) for number, each in enumerate((one, other))})

    verify = GeometryVerifier(cast("Views", views), min_entropy, 1, lambda pairs: None)
    return verify(np.array([0], np.uint64), np.array([1], np.uint64))


@pytest.mark.parametrize("text", ["R", "g", "5"])
def test_a_letter_turned_or_mirrored_is_another_one(text: str) -> None:
    for turn in (Image.Transpose.ROTATE_180, Image.Transpose.FLIP_LEFT_RIGHT):
        turned = letter(text).transpose(turn)
        assert verified(letter(text), turned, MIN_ENTROPY)["score"][0] == 0
        assert verified(letter(text), turned, 0.0)["score"][0] > 0.5


@pytest.mark.parametrize("text", ["R", "g", "5"])
def test_a_letter_that_was_only_made_smaller_is_the_same(text: str) -> None:
    assert verified(letter(text), letter(text).resize((200, 200)), MIN_ENTROPY)["score"][0] > 0.5


def test_the_evidence_of_what_is_refused_stays() -> None:
    found = verified(letter("R"), letter("R").transpose(Image.Transpose.ROTATE_180), MIN_ENTROPY)
    assert found["inliers"][0] > 0
    assert np.isfinite(found["transform"]).all()
