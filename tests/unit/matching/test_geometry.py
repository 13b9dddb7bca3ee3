"""Geometry: alignments against maps that are known, and pictures that only share a frame."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from dedupkit.matching.geometry import NOT_ALIGNED, Alignment, View, align, view_of
from tests.conftest import draw_picture


def seen(image: Image.Image) -> View:
    return view_of(np.asarray(image.convert("L")), max_frame_range=10)


def is_copy(found: Alignment) -> bool:
    return found.inliers >= 8 and found.agreement > 0.6


EDITS = {
    "as it is": lambda image: image,
    "half as large": lambda image: image.resize((160, 120)),
    "squeezed": lambda image: image.resize((240, 240)),
    "cropped": lambda image: image.crop((60, 40, 280, 220)),
    "half of the area": lambda image: image.crop((20, 40, 246, 210)),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned 25": lambda image: image.rotate(25, expand=True),
    "turned 90": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "mirrored and turned": lambda image: ImageOps.mirror(image).rotate(140, expand=True),
    "framed": lambda image: ImageOps.expand(image, 40, "white"),
    "written over": lambda image: with_bar(image, "SALE 50% OFF"),
    "grey": ImageOps.grayscale,
}


def with_bar(image: Image.Image, words: str) -> Image.Image:
    image = image.copy()
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, int(image.height * 0.78), image.width, image.height), fill="black")
    draw.text((20, int(image.height * 0.85)), words, fill="white")
    return image


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_copy_lies_over_its_original(edit: str) -> None:
    for seed in range(3):
        image = draw_picture(seed)
        assert is_copy(align(seen(image), seen(EDITS[edit](image)))), (edit, seed)


@pytest.mark.parametrize("edit", EDITS)
def test_other_pictures_under_the_same_edit_do_not(edit: str) -> None:
    for seed in range(3):
        a, b = (EDITS[edit](draw_picture(each)) for each in (2 * seed, 2 * seed + 1))
        assert not is_copy(align(seen(a), seen(b))), (edit, seed)


def test_the_transform_is_that_of_the_crop() -> None:
    image = draw_picture(5)
    found = align(seen(image), seen(image.crop((80, 60, 240, 180))))  # the middle half of each side
    expected = np.array([[2, 0, -0.5], [0, 2, -0.5]])
    assert np.allclose(found.transform, expected, atol=0.03)
    assert not found.mirrored


def test_the_transform_of_a_mirror_image_turns_x_around() -> None:
    image = draw_picture(6)
    found = align(seen(image), seen(ImageOps.mirror(image)))
    assert found.mirrored
    assert np.allclose(found.transform, [[-1, 0, 1], [0, 1, 0]], atol=0.03)


def test_overlap_is_what_the_crop_leaves() -> None:
    image = draw_picture(7)
    found = align(seen(image), seen(image.crop((0, 0, 160, 240))))
    assert abs(found.overlap - 0.5) < 0.02


def test_the_order_of_the_two_does_not_change_the_answer() -> None:
    image = draw_picture(8)
    a, b = seen(image), seen(image.rotate(30, expand=True))
    one, other = align(a, b), align(b, a)
    assert is_copy(one)
    assert is_copy(other)
    there, back = (np.vstack([each.transform, [0, 0, 1]]) for each in (one, other))
    assert np.allclose(there @ back, np.eye(3), atol=0.05)


def test_a_shared_banner_makes_no_copy() -> None:
    words = "THE SAME WORDS ON BOTH"
    for seed in range(4):
        a, b = (with_bar(draw_picture(each), words) for each in (20 + seed, 30 + seed))
        assert not is_copy(align(seen(a), seen(b)))


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (224, 224), (2000, 10)])
def test_blank_pictures_of_any_shape_align_with_nothing(size: tuple[int, int]) -> None:
    blank, other = seen(Image.new("L", size, 128)), seen(draw_picture(1))
    assert align(blank, other) == NOT_ALIGNED or not is_copy(align(blank, other))
    assert not is_copy(align(blank, blank))


def test_the_same_view_comes_out_the_same() -> None:
    image = draw_picture(9)
    a, b = seen(image), seen(image)
    assert np.array_equal(a.codes, b.codes)
    assert np.array_equal(a.mirrored_codes, b.mirrored_codes)
    one, two = align(a, seen(ImageOps.mirror(image))), align(b, seen(ImageOps.mirror(image)))
    assert np.array_equal(one.transform, two.transform)


def test_letters_over_a_picture_leave_its_outline_and_another_picture_does_not() -> None:
    image = draw_picture(10)
    written = image.copy()
    draw = ImageDraw.Draw(written)
    for line in range(6):
        draw.text((10, 20 + 36 * line), "WHEN YOU SEE IT", fill="white", stroke_width=2, stroke_fill="black")
    assert align(seen(image), seen(written)).outline > 0.8
    other = draw_picture(11)
    other.paste(image.crop((0, 0, 160, 240)), (0, 0))  # half of it is the same
    assert align(seen(image), seen(other)).outline < 0.7


def test_one_change_of_tone_is_on_the_line_and_a_darkened_half_is_not() -> None:
    image = draw_picture(12)
    brighter = image.point(lambda level: min(255, level * 0.7 + 60))
    assert align(seen(image), seen(brighter)).off_tone < 0.05
    half = image.copy()
    half.paste(image.crop((0, 0, 160, 240)).point(lambda level: level // 4), (0, 0))
    assert align(seen(image), seen(half)).off_tone > 0.2


@pytest.mark.parametrize(
    ("edit", "in_place"),
    [("as it is", True), ("half as large", True), ("squeezed", True), ("grey", True), ("framed", True)]
    + [(edit, False) for edit in ("cropped", "mirrored", "upside down", "turned 25", "turned 90")],
)
def test_in_place_is_what_is_neither_moved_nor_turned(edit: str, in_place: bool) -> None:
    image = draw_picture(13)
    assert align(seen(image), seen(EDITS[edit](image))).in_place == in_place
