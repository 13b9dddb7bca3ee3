"""Planted copies beside the untouched samples."""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from dedupkit.calibration.copies import Planting
from dedupkit.calibration.drawing import Drawn
from dedupkit.edits import edits_named
from dedupkit.recipe import Limits
from dedupkit.sample import Fault, Reason, Sample
from tests.conftest import draw_picture
from tests.integration.conftest import encoded

if TYPE_CHECKING:
    from pathlib import Path


def planted(
    folder: Path, images: list[tuple[Sample, bytes]], *names: str, seed: int = 0, threads: int = 1
) -> tuple[dict[str, bytes | None], Counter[str]]:
    drawn = []
    for number, (sample, image) in enumerate(images):
        (folder / f"{number}").write_bytes(image)
        drawn.append((sample, folder / f"{number}"))
    skipped: Counter[str] = Counter()
    made = Planting(edits_named(names), Limits(max_pixels=1_000_000), seed).samples(
        Drawn(tuple(drawn), len(drawn), 1, 1), threads, skipped
    )
    return {sample.key: sample.image for sample in made}, skipped


def test_the_untouched_sample_comes_first_and_byte_for_byte(tmp_path: Path) -> None:
    image = encoded(draw_picture(1))
    made, _ = planted(tmp_path, [(Sample("a", None), image)], "mirrored", "grey")
    assert list(made) == ["0/original", "0/mirrored", "0/grey"]
    assert made["0/original"] == image


def test_faulty_samples_are_left_out_and_counted(tmp_path: Path) -> None:
    gone = Sample("gone", None, fault=Fault(Reason.MISSING_IMAGE, ""))
    huge = encoded(Image.new("RGB", (2000, 2000)), "PNG")
    images = [(gone, b""), (Sample("a", None), b"text"), (Sample("b", None), encoded(draw_picture(1))),
              (Sample("c", None), huge)]  # fmt: skip
    made, skipped = planted(tmp_path, images, "grey")
    assert list(made) == ["2/original", "2/grey"]
    assert skipped == {"missing_image": 1, "not_an_image": 1, "too_many_pixels": 1}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK", "1", "I;16"])
def test_pictures_of_any_mode_are_edited(mode: str, tmp_path: Path) -> None:
    image = (
        draw_picture(1).convert("L").convert("I").convert("I;16") if mode == "I;16" else draw_picture(1).convert(mode)
    )
    made, skipped = planted(
        tmp_path, [(Sample("a", None), encoded(image, "TIFF" if mode == "CMYK" else "PNG"))], "turned"
    )
    assert not skipped
    assert Image.open(io.BytesIO(made["0/turned"] or b"")).size == (240, 320)


def test_large_pictures_are_edited_at_a_bounded_size(tmp_path: Path) -> None:
    made, _ = planted(tmp_path, [(Sample("a", None), encoded(draw_picture(1, 1200, 600)))], "mirrored")
    assert Image.open(io.BytesIO(made["0/mirrored"] or b"")).size == (512, 256)


def test_chance_comes_from_seed_and_key(tmp_path: Path) -> None:
    image = encoded(draw_picture(1))
    pair = [(Sample("a", None), image), (Sample("b", None), image)]
    one, _ = planted(tmp_path, pair, "noisy")
    assert planted(tmp_path, pair, "noisy", threads=3)[0] == one
    assert one["0/noisy"] != one["1/noisy"]
    assert planted(tmp_path, pair, "noisy", seed=1)[0]["0/noisy"] != one["0/noisy"]
