"""Functions that draw, as generators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from dedupkit.audit.adapters import CallableGenerator
from dedupkit.errors import RunError, UsageError

SECRET = "a heron that nobody has seen"


def _images(captions: list[str | None], seeds: list[int]) -> Any:
    rows = [np.random.default_rng([seed, len(caption or "")]) for caption, seed in zip(captions, seeds, strict=True)]
    return np.stack([rng.integers(0, 256, (4, 6, 3), np.uint8) for rng in rows])


@pytest.mark.parametrize(
    "turned",
    [
        lambda images: images,
        lambda images: images / 255,
        lambda images: (images / 255).astype(np.float32),
        lambda images: [Image.fromarray(each) for each in images],
        list,
    ],
)
def test_all_kinds_of_images_come_out_alike(turned: Any) -> None:
    captions, seeds = ["a", None, "ccc"], [1, 2, 2**62]
    model = CallableGenerator(lambda captions, seeds: turned(_images(captions, seeds)), batch=2)
    found = model.generate(captions, seeds)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, _images(captions, seeds))


def test_calls_hold_as_many_captions_as_asked() -> None:
    calls: list[int] = []

    def function(captions: list[str | None], seeds: list[int]) -> Any:
        calls.append(len(captions))
        return _images(captions, seeds)

    CallableGenerator(function, batch=3).generate(["a"] * 7, range(7))
    assert calls == [3, 3, 1]


def test_an_error_tells_which_captions_by_number_alone() -> None:
    def function(captions: list[str | None], seeds: list[int]) -> Any:
        if SECRET in captions:
            raise KeyError(SECRET)
        return _images(captions, seeds)

    with pytest.raises(RunError, match=r"raised a KeyError at captions 2 to 3 \(from 0\)") as error:
        CallableGenerator(function, batch=2).generate(["a", "b", "c", SECRET], [0] * 4)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (np.zeros((1, 4, 4), np.uint8), "shape"),
        (np.zeros((1, 3, 4, 4), np.uint8), "shape"),
        (np.zeros((1, 4, 4, 3), np.int64), "int64"),
        (np.full((1, 4, 4, 3), 255.0), "floats from 255 to 255"),
        (np.full((1, 4, 4, 3), np.nan), "floats from nan"),
        (None, "shape"),
        ([np.zeros((4, 4, 3)), np.zeros((5, 4, 3))], "no images"),
        (np.zeros((2, 4, 4, 3), np.uint8), "2 images"),
    ],
)
def test_what_is_no_image_is_an_error_of_the_run(returned: Any, told: str) -> None:
    with pytest.raises(RunError, match=told):
        CallableGenerator(lambda captions, seeds: returned).generate(["a"], [0])


def test_as_many_seeds_as_captions_are_needed() -> None:
    with pytest.raises(UsageError, match="one seed for each caption"):
        CallableGenerator(_images).generate(["a", "b"], [0])
