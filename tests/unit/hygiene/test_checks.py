"""Measures against numpy and scikit-image; checks against pictures that fail them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter
from skimage.measure import blur_effect

from dedupkit.hygiene.checks import COLUMNS, checked
from dedupkit.hygiene.measures import measured
from dedupkit.recipe import Hygiene
from dedupkit.sample import FINGERPRINTS
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST_LINES = (96, 96)  # of which every second row and column is looked at


def blur_of(picture: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> float:
    return float(blur_effect(picture, h_size=11))  # type: ignore[no-untyped-call]


def gray(image: Image.Image) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.asarray(image.convert("L"))


def test_darkest_and_brightest_are_quantiles() -> None:
    rng = np.random.default_rng(0)
    for low, high in ((0, 256), (30, 90), (200, 256)):
        picture = rng.integers(low, high, (120, 160), dtype=np.uint8)
        found = measured(picture)
        assert abs(found.darkest - np.quantile(picture, 0.005)) <= 1
        assert abs(found.brightest - np.quantile(picture, 0.995)) <= 1


@pytest.mark.parametrize("radius", [0, 1, 2, 4, 8])
def test_blur_is_that_of_scikit_image(radius: int) -> None:
    for seed in range(3):
        picture = gray(draw_picture(seed).filter(ImageFilter.GaussianBlur(radius)))
        assert abs(measured(picture).blur - blur_of(picture)) < 0.06
        small = picture[: LEAST_LINES[0] - 1, : LEAST_LINES[1] - 1]  # looked at whole
        assert abs(measured(small).blur - blur_of(small)) < 0.02


def test_stripes_are_not_blurred_whichever_way_they_run() -> None:
    stripes = np.repeat(np.arange(120)[:, None] // 10 % 2 * 200, 160, axis=1).astype(np.uint8)
    assert measured(stripes).blur < 0.5
    assert measured(stripes.T).blur < 0.5


def test_float_and_whole_numbers_are_measured_alike() -> None:
    picture = gray(draw_picture(1))
    assert measured(picture.astype(np.float32)) == measured(picture)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 3)])
def test_pictures_of_any_shape_are_measured(shape: tuple[int, int]) -> None:
    assert 0 <= measured(np.full(shape, 7, np.uint8)).blur <= 1


def blurred(seed: int) -> Image.Image:
    """What is left of a picture of a few pixels, drawn large."""
    few = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    return Image.fromarray(few).resize((320, 240), Image.Resampling.BICUBIC)


GOOD = {"width": 400, "height": 300, "darkest": 10, "brightest": 240, "blur": 0.3, "notes": []}


def table(*rows: Mapping[str, object]) -> pa.Table:
    schema = pa.schema([FINGERPRINTS.field(name) for name in COLUMNS])
    return pa.Table.from_pylist([{"fault": None, "fault_detail": None, **GOOD, **row} for row in rows], schema)


@pytest.mark.parametrize(
    ("values", "reason", "detail"),
    [
        ({"width": 15}, "too_small", "the shorter side has 15 pixels, the least is 16"),
        ({"height": 15}, "too_small", "the shorter side has 15 pixels, the least is 16"),
        ({"width": 4000}, "extreme_aspect", "sides are 1 to 13.3, the limit is 10"),
        ({"darkest": 120, "brightest": 127}, "blank", "brightness spreads over 7 levels, the least is 8"),
        ({"darkest": 0, "brightest": 39}, "dark", "nothing is brighter than 39 of 255, the least is 40"),
        ({"darkest": 236, "brightest": 255}, "overexposed", "nothing is darker than 236 of 255, the limit is 235"),
        ({"blur": 0.86}, "blurred", "blur is 0.86, the limit is 0.85"),
    ],
)
def test_each_check_says_what_it_saw_and_its_limit(values: Mapping[str, object], reason: str, detail: str) -> None:
    found = checked(table(GOOD, values), Hygiene())
    assert found["fault"].to_pylist() == [None, reason]
    assert found["fault_detail"].to_pylist() == [None, detail]


@pytest.mark.parametrize(
    "values",
    [
        {"width": 16, "height": 16},
        {"width": 3000},
        {"darkest": 120, "brightest": 128},
        {"brightest": 40},
        {"darkest": 235, "brightest": 250},
        {"blur": 0.85},
        {"notes": ["animated"]},
    ],
)
def test_what_is_just_at_the_limit_passes(values: Mapping[str, object]) -> None:
    assert checked(table(values), Hygiene()).equals(table(values))


def test_a_fault_that_is_there_stays_and_what_was_not_measured_passes() -> None:
    given = {"fault": "corrupt_image", "fault_detail": "cut", "width": 1}
    unknown = dict.fromkeys(("width", "height", "darkest", "brightest", "blur", "notes"))
    assert checked(table(given, unknown), Hygiene()).equals(table(given, unknown))


def test_animations_go_if_the_recipe_says_so() -> None:
    moving = table({"notes": ["caption_missing", "animated"]}, GOOD, {"notes": None})
    assert checked(moving, Hygiene(animated="quarantine"))["fault"].to_pylist() == ["animated", None, None]


def test_real_pictures_pass_and_ruined_ones_do_not() -> None:
    for seed in range(6):
        picture = draw_picture(seed)
        ruined = {
            "dark": picture.point(lambda level: level // 8),
            "overexposed": picture.point(lambda level: 238 + level // 10),
            "blurred": blurred(seed),
            "blank": picture.point(lambda level: 120 + level // 50),
        }
        for reason, image in ({None: picture} | ruined).items():
            row = dict(zip(("darkest", "brightest", "blur"), measured(gray(image)), strict=True))
            assert checked(table(row), Hygiene())["fault"].to_pylist() == [reason], (seed, reason)


def face(width: float, height: float, score: float) -> dict[str, float]:
    return {"left": 0.1, "top": 0.1, "width": width, "height": height, "score": score}


@pytest.mark.parametrize(
    ("limits", "values", "reason", "detail"),
    [
        ({"faces": "quarantine"}, {"faces": [face(0.2, 0.3, 0.7), face(0.1, 0.1, 0.5)]}, "faces", "1 found"),
        ({"faces": "quarantine", "min_face_share": 0.07}, {"faces": [face(0.2, 0.3, 0.7)]}, None, None),
        ({"faces": "count"}, {"faces": [face(0.2, 0.3, 0.9)]}, None, None),
        (
            {"documents": "quarantine"},
            {"text_share": 0.4, "text_lines": 5},
            "document",
            "5 lines of text take 40 % of it",
        ),
        ({"documents": "quarantine"}, {"text_share": 0.4, "text_lines": 4}, None, None),
        ({"documents": "quarantine"}, {"text_share": 0.1, "text_lines": 50}, None, None),
        ({"nsfw": "quarantine"}, {"nsfw_score": 0.91}, "nsfw", "scores 0.91, the limit is 0.8"),
        ({"nsfw": "quarantine"}, {"nsfw_score": 0.8}, None, None),
        ({"nsfw": "quarantine", "faces": "quarantine", "documents": "quarantine"}, {}, None, None),
    ],
)
def test_sensitive_pictures_go_where_the_recipe_says_so(
    limits: Mapping[str, object], values: Mapping[str, object], reason: str | None, detail: str | None
) -> None:
    found = checked(table(GOOD, values), Hygiene.model_validate(limits))
    assert found["fault"].to_pylist() == [None, reason]
    assert found["fault_detail"].to_pylist() == [None, detail]
