"""Uniform frames: what is trimmed, and what is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.fingerprints.frame import trim_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from PIL import Image

RANGE = 10


@pytest.fixture
def inner(picture: Callable[..., Image.Image]) -> NDArray[np.uint8]:
    return np.asarray(picture(4, 120, 90).convert("L"))


def framed(inner: NDArray[Any], top: int, bottom: int, left: int, right: int, level: float) -> NDArray[Any]:
    return np.pad(inner, ((top, bottom), (left, right)), constant_values=level)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("sides", [(12, 12, 12, 12), (20, 20, 0, 0), (0, 0, 25, 25), (5, 30, 2, 11), (0, 9, 0, 0)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_plain_frame_is_trimmed_to_the_pixel(
    level: int, sides: tuple[int, int, int, int], kind: type[Any], inner: NDArray[np.uint8]
) -> None:
    trimmed = trim_frame(framed(inner.astype(kind), *sides, level), RANGE)
    assert trimmed is not None
    assert (trimmed == inner).all()


def test_the_frame_may_differ_from_side_to_side(inner: NDArray[np.uint8]) -> None:
    banner = np.pad(inner, ((15, 0), (0, 0)), constant_values=20)
    trimmed = trim_frame(np.pad(banner, ((0, 10), (0, 0)), constant_values=230), RANGE)
    assert trimmed is not None
    assert (trimmed == inner).all()


def test_noise_within_the_range_is_frame_and_beyond_it_is_not(inner: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(1)
    canvas = framed(inner, 15, 15, 15, 15, 0)
    hole = np.zeros(canvas.shape, dtype=bool)
    hole[15:-15, 15:-15] = True
    for spread, expected in ((RANGE, True), (4 * RANGE, False)):
        noise = rng.integers(100, 100 + spread + 1, canvas.shape, dtype=np.uint8)
        noise[0, :2] = noise[-1, :2] = noise[:2, 0] = noise[:2, -1] = 100, 100 + spread
        trimmed = trim_frame(np.where(hole, canvas, noise), RANGE)
        assert (trimmed is not None and trimmed.shape == inner.shape) is expected


def test_a_picture_without_a_frame_is_left_alone(inner: NDArray[np.uint8]) -> None:
    assert trim_frame(inner, RANGE) is None


def test_a_sky_that_darkens_slowly_is_no_frame() -> None:
    rng = np.random.default_rng(2)
    sky = np.linspace(250, 60, 80)[:, None] + np.linspace(0, 30, 160)
    ground = rng.integers(0, 200, (60, 160))
    assert trim_frame(np.concatenate([sky, ground]).astype(np.uint8), RANGE) is None


def test_of_rows_that_are_each_plain_only_those_near_the_outermost_are_frame(inner: NDArray[np.uint8]) -> None:
    sky = np.repeat(np.arange(250, 0, -2, dtype=np.uint8)[:, None], inner.shape[1], axis=1)
    trimmed = trim_frame(np.concatenate([sky, inner]), RANGE)
    assert trimmed is not None
    assert len(sky) + len(inner) - len(trimmed) == 6  # 250, 248 ... 240: within ten levels of the first


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_blank_has_nothing_inside_its_frame(level: int) -> None:
    assert trim_frame(np.full((60, 80), level, dtype=np.uint8), RANGE) is None
    assert trim_frame(np.full((1, 1), level, dtype=np.uint8), RANGE) is None


def test_a_sixteenth_of_the_area_has_to_be_left() -> None:
    rng = np.random.default_rng(3)
    canvas = np.full((80, 80), 255, dtype=np.uint8)
    for side, expected in ((20, True), (19, False), (2, False)):  # 20 x 20 of 80 x 80 is 1/16
        picture = canvas.copy()
        picture[30 : 30 + side, 30 : 30 + side] = rng.integers(0, 128, (side, side))
        assert (trim_frame(picture, RANGE) is not None) is expected


def test_a_fiftieth_of_the_area_has_to_go(inner: NDArray[np.uint8]) -> None:
    for rows, expected in ((1, False), (2, True)):  # of 91 and 92 rows: 1.1 % and 2.2 %
        assert (trim_frame(framed(inner, rows, 0, 0, 0, 0), RANGE) is not None) is expected


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    sides=st.tuples(*[st.integers(0, 25)] * 4),
    level=st.integers(0, 255),
    spread=st.sampled_from([1, 5, 30, 255]),
    max_range=st.sampled_from([0, 3, 10, 40]),
)
def test_what_is_left_is_a_view_inside_and_only_frame_is_gone(
    seed: int, size: tuple[int, int], sides: tuple[int, int, int, int], level: int, spread: int, max_range: int
) -> None:
    content = np.random.default_rng(seed).integers(0, spread + 1, size).astype(np.uint8)
    canvas = framed(content, *sides, level)
    before = canvas.copy()
    trimmed = trim_frame(canvas, max_range)
    assert (canvas == before).all()
    if trimmed is None:
        return
    assert np.shares_memory(trimmed, canvas)
    assert 1 / 16 <= trimmed.size / canvas.size <= 0.98
    top, left = divmod((trimmed.ctypes.data - canvas.ctypes.data), canvas.shape[1])
    bottom, right = top + trimmed.shape[0], left + trimmed.shape[1]
    for strip in (canvas[:top], canvas[bottom:], canvas[top:bottom, :left].T, canvas[top:bottom, right:].T):
        if strip.size:
            assert int(np.ptp(strip)) <= 2 * max_range


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), sides=st.tuples(*[st.integers(0, 25)] * 4), level=st.integers(0, 255))
def test_a_picture_with_lively_edges_is_trimmed_once_and_for_all(
    seed: int, sides: tuple[int, int, int, int], level: int
) -> None:
    content = np.random.default_rng(seed).integers(0, 256, (40, 50)).astype(np.uint8)
    trimmed = trim_frame(framed(content, *sides, level), RANGE)
    if trimmed is not None:
        assert trim_frame(trimmed, RANGE) is None
