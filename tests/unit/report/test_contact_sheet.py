"""Contact sheets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageFile, ImageOps

import dedupkit
from dedupkit.errors import UsageError
from dedupkit.recipe import Limits
from dedupkit.report.contact_sheet import SIDE, contact_sheet, plot_duplicates
from tests.conftest import draw_picture
from tests.integration.conftest import encoded, write_shards

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAST = dedupkit.Recipe(preset="fast")
BLANK = (228, 228, 232)


def picture_at(sheet: Image.Image, column: int, row: int = 0) -> Any:
    """The pixels of one picture's place."""
    left, top = 12 + column * 204, 12 + row * 300
    return np.asarray(sheet.crop((left, top, left + SIDE, top + SIDE)), dtype=int)


def is_blank(pixels: Any) -> bool:
    return bool((pixels[0] == BLANK).all() and (pixels[-1] == BLANK).all())


@pytest.fixture
def lenient_pillow() -> Iterator[None]:
    """A program that told Pillow to fill up what is cut off."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    yield
    ImageFile.LOAD_TRUNCATED_IMAGES = before


def test_pictures_stand_in_rows_of_five() -> None:
    colours = ["red", "lime", "blue", "black", "yellow", "fuchsia", "aqua"]
    sheet = contact_sheet([encoded(Image.new("RGB", (50, 50), name), "PNG") for name in colours], colours)
    assert (sheet.mode, sheet.size) == ("RGB", (5 * 204 + 12, 2 * 300 + 12))
    for number, name in enumerate(colours):
        middle = picture_at(sheet, number % 5, number // 5)[SIDE - 20, SIDE // 2]
        assert np.abs(middle - ImageColor.getrgb(name)).max() <= 4


def test_pictures_are_bounded_and_keep_their_shape() -> None:
    sheet = contact_sheet([encoded(Image.new("RGB", (2000, 500), "black"), "PNG")], [""])
    assert (picture_at(sheet, 0).max(axis=2) < 60).sum() == SIDE * SIDE // 4


def test_captions_stand_below() -> None:
    images = [encoded(Image.new("RGB", (50, 50), "white"), "PNG")]
    bare, told = (np.asarray(contact_sheet(images, [caption])) for caption in ("", "cat.jpg\n12 bits"))
    assert (bare == told)[: 12 + SIDE].all()
    assert (bare != told)[12 + SIDE :].any()


@pytest.mark.usefixtures("lenient_pillow")
@pytest.mark.parametrize("broken", ["empty", "text", "cut", "large"])
def test_broken_pictures_are_blanks(broken: str) -> None:
    whole = encoded(draw_picture(1))
    data = {"empty": b"", "text": b"<html>", "cut": whole[: len(whole) // 2], "large": whole}[broken]
    limits = Limits(max_pixels=1000 if broken == "large" else 1_000_000)
    small = encoded(Image.new("RGB", (20, 20), "red"), "PNG")
    sheet = contact_sheet([small, data], ["", ""], limits=limits)
    assert is_blank(picture_at(sheet, 1))
    assert not is_blank(picture_at(sheet, 0))


def test_nothing_gives_an_empty_sheet() -> None:
    assert contact_sheet([], []).mode == "RGB"


def test_captions_and_images_have_to_agree() -> None:
    with pytest.raises(UsageError, match="got 1 for 2"):
        contact_sheet([b"", b""], ["a"])


def test_captions_without_end_are_cut_visibly_and_control_characters_do_no_harm() -> None:
    one = contact_sheet([b""], ["x" * 10_000 + "\x1b[31m\0\n\n"])
    assert one.size == contact_sheet([b""], [""]).size


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards") / "tars", shards=2, pictures=8).folder


@pytest.fixture(scope="module")
def found(shards: Path) -> dedupkit.Found:
    return dedupkit.find_duplicates(shards, recipe=FAST)


def test_a_group_is_shown_out_of_its_shards(shards: Path, found: dedupkit.Found) -> None:
    sheet = plot_duplicates(shards, found, "0009001", recipe=FAST)  # the mirror image of 0010001
    assert sheet.width == 2 * 204 + 12
    shown = [picture_at(sheet, column) for column in (0, 1)]
    assert np.abs(shown[0] - shown[1][:, ::-1]).mean() < 6
    assert np.abs(shown[0] - shown[1]).mean() > 15


def test_the_asked_for_sample_comes_first(shards: Path, found: dedupkit.Found) -> None:
    one, other = (plot_duplicates(shards, found, key, recipe=FAST) for key in ("0009001", "0010001"))
    assert np.abs(picture_at(one, 0) - picture_at(other, 1)).mean() < 1


def test_what_no_group_has_is_refused(shards: Path, found: dedupkit.Found) -> None:
    with pytest.raises(UsageError, match=r"'nobody' is in no duplicate group"):
        plot_duplicates(shards, found, "nobody")


def test_a_source_that_changed_is_refused(shards: Path, found: dedupkit.Found, tmp_path: Path) -> None:
    other = write_shards(tmp_path / "tars", shards=1, pictures=3).folder
    with pytest.raises(UsageError, match="search it again"):
        plot_duplicates(other, found, "0009001")


def test_a_large_group_says_how_much_is_shown() -> None:
    photo = encoded(draw_picture(2))
    photos = [{"key": f"{number}", "image": photo} for number in range(9)]
    found = dedupkit.find_duplicates(photos, recipe=FAST)
    assert plot_duplicates(photos, found, "3", max_pictures=2).width == 2 * 204 + 12
    with pytest.raises(UsageError, match="max_pictures must be 1 or more"):
        plot_duplicates(photos, found, "3", max_pictures=0)


def test_members_tied_through_others_name_them(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def sheet(images: list[bytes], captions: list[str], **_: Any) -> Image.Image:
        told.extend(captions)
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr("dedupkit.report.contact_sheet.contact_sheet", sheet)
    images = [draw_picture(1), draw_picture(1), ImageOps.mirror(draw_picture(1))]
    photos = [{"key": key, "image": encoded(image)} for key, image in zip("abc", images, strict=True)]
    plot_duplicates(photos, dedupkit.find_duplicates(photos, recipe=FAST), "b")
    assert told[:2] == ["b\n3 in this group", "a\nsame bytes"]
    assert told[2].startswith("c\nperceptual, ")
    assert told[2].endswith("bits\nwith a")
