"""Edits by name."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from dedupkit.edits import EDITS, edits_named
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = {
    "half": (160, 120),
    "thumbnail": (96, 72),
    "crop875": (280, 210),
    "crop70": (224, 168),
    "turned": (240, 320),
    "squeezed": (240, 240),
    "framed": (368, 288),
}


def edited(name: str, image: Image.Image, seed: int = 0) -> Image.Image:
    return Image.open(io.BytesIO(EDITS[name].apply(image, np.random.default_rng(seed))))


@pytest.mark.parametrize("name", EDITS)
def test_the_same_chance_gives_the_same_bytes(name: str, picture: Callable[..., Image.Image]) -> None:
    first, second = (EDITS[name].apply(picture(1), np.random.default_rng(5)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_leaves_the_picture_alone(name: str, picture: Callable[..., Image.Image]) -> None:
    image = picture(1)
    edited(name, image)
    assert image.tobytes() == picture(1).tobytes()


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("size", [(1, 1), (1, 200), (300, 2)])
def test_every_edit_takes_pictures_of_any_size(name: str, size: tuple[int, int]) -> None:
    edited(name, Image.new("RGB", size, "red")).load()


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_what_the_edit_says(name: str, picture: Callable[..., Image.Image]) -> None:
    assert edited(name, picture(1)).size == SIZES[name]


def test_half_the_area_is_half_the_area(picture: Callable[..., Image.Image]) -> None:
    for seed in range(20):
        width, height = edited("half_area", picture(1), seed).size
        assert width * height == pytest.approx(320 * 240 / 2, rel=0.02)


def test_a_slanted_picture_keeps_one_edge_and_shortens_the_other(picture: Callable[..., Image.Image]) -> None:
    columns = [np.asarray(edited("slanted", Image.new("RGB", (320, 240), "white"), seed)) for seed in range(6)]
    lit = [((pixels[:, 2] > 128).any(axis=-1).sum(), (pixels[:, -3] > 128).any(axis=-1).sum()) for pixels in columns]
    assert {tuple(sorted(pair)) for pair in lit} <= {(low, high) for low in range(180, 188) for high in range(236, 241)}
    assert len({left > right for left, right in lit}) == 2


def test_unknown_names_are_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"edits must be of .* got 'sepia'; name some of reencoded"):
        edits_named(["mirrored", "sepia"])
    with pytest.raises(UsageError, match="got none"):
        edits_named([])


def test_names_count_once_and_keep_their_order() -> None:
    assert [edit.name for edit in edits_named(["turned", "grey", "turned"])] == ["turned", "grey"]
    assert [edit.name for edit in edits_named(None)] == list(EDITS)
