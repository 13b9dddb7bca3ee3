"""Hygiene through the whole of `clean`: hidden metadata gone, useless pictures quarantined, limits that move."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import datasets
import numpy as np
import pytest
from PIL import Image, ImageOps

import dedupkit
from dedupkit.recipe import Hygiene, Output, Recipe
from tests.conftest import draw_picture
from tests.integration.conftest import encoded
from tests.unit.hygiene.test_checks import blurred
from tests.unit.hygiene.test_metadata import FILES, SECRET, exif

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit.cleaning import Result


@pytest.fixture
def loaded(tmp_path: Path) -> Path:
    """A folder of pictures full of metadata, each another picture."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(("jpeg", "png", "webp")):
        (folder / f"{number}.{name.replace('jpeg', 'jpg')}").write_bytes(FILES[name])
    return folder


def only(folder: Path, recipe: Recipe, source: Path) -> Result:
    return dedupkit.clean(str(source), folder, recipe=recipe)


def test_nothing_of_the_metadata_reaches_any_output(loaded: Path, tmp_path: Path) -> None:
    recipe = Recipe(preset="fast", output=Output(formats=("arrow", "parquet", "webdataset")))
    dedupkit.clean(str(loaded), tmp_path / "out", recipe=recipe)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".arrow", ".parquet", ".tar", ".html"}
    assert [path.name for path in files if SECRET.encode() in path.read_bytes()] == []


def test_pixels_stay_and_so_does_everything_if_the_recipe_says_so(loaded: Path, tmp_path: Path) -> None:
    stripped = dedupkit.clean(str(loaded), tmp_path / "out", recipe=Recipe(preset="fast")).dataset()
    as_it_was = Recipe(preset="fast", hygiene=Hygiene(strip_metadata=False))
    kept = dedupkit.clean(str(loaded), tmp_path / "kept", recipe=as_it_was).dataset()
    assert len(stripped) == len(kept) == 1  # one picture in three encodings
    assert np.array_equal(np.asarray(stripped[0]["image"]), np.asarray(kept[0]["image"]))
    data = kept.cast_column("image", kept.features["image"].__class__(decode=False))[0]["image"]["bytes"]
    assert data in {path.read_bytes() for path in loaded.iterdir()}


def test_fields_with_exif_are_not_emitted(tmp_path: Path) -> None:
    rows = [{"key": "a", "image": encoded(draw_picture(1)), "caption": "c", "exif": SECRET, "url": "http://a"}]
    out = dedupkit.clean(rows, tmp_path / "out", recipe=Recipe(preset="fast")).dataset()
    assert "url" in out.column_names
    assert "exif" not in out.column_names
    kept = Recipe(preset="fast", hygiene=Hygiene(drop_fields=()))
    assert dedupkit.clean(rows, tmp_path / "kept", recipe=kept).dataset()["exif"] == [SECRET]


def write_useless(folder: Path) -> None:
    folder.mkdir()
    pictures = {
        "good": draw_picture(1),
        "too_small": draw_picture(2).resize((15, 40)),
        "extreme_aspect": draw_picture(3).resize((600, 40)),
        "blank": Image.new("RGB", (200, 200), "white"),
        "dark": draw_picture(4).point(lambda level: level // 8),
        "overexposed": draw_picture(5).point(lambda level: 238 + level // 10),
        "blurred": blurred(6),
    }
    for name, image in pictures.items():
        (folder / f"{name}.png").write_bytes(encoded(image, "PNG"))
    frames = [draw_picture(seed).resize((80, 60)) for seed in (7, 8)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    (folder / "animated.webp").write_bytes(buffer.getvalue())


@pytest.mark.parametrize("preset", ["fast", "thorough"])
def test_each_useless_picture_is_quarantined_with_its_reason(preset: str, tmp_path: Path) -> None:
    write_useless(tmp_path / "in")
    recipe = Recipe.of({"preset": preset, "hygiene": {"animated": "quarantine"}})
    result = dedupkit.clean(str(tmp_path / "in"), tmp_path / "out", recipe=recipe)
    reasons = {row["key"].split(".")[0]: row["reason"] for row in result.decisions().to_pylist()}
    assert reasons == {name: "unique" if name == "good" else name for name in reasons}
    assert len(reasons) == 8


def test_a_moved_limit_decides_anew_and_decodes_nothing_again(tmp_path: Path) -> None:
    write_useless(tmp_path / "in")
    dedupkit.clean(str(tmp_path / "in"), tmp_path / "out", recipe=Recipe(preset="fast"))
    parts = sorted((tmp_path / "out" / ".dedupkit" / "fingerprints").iterdir())
    before = [(path.name, path.stat().st_mtime_ns) for path in parts]
    lenient = Recipe(preset="fast", hygiene=Hygiene(max_blur=1.0, min_brightest=0))
    result = dedupkit.clean(str(tmp_path / "in"), tmp_path / "out", recipe=lenient)
    assert [(path.name, path.stat().st_mtime_ns) for path in parts] == before
    kept = {row["key"].split(".")[0] for row in result.decisions().to_pylist() if row["action"] == "keep"}
    assert kept == {"good", "animated", "dark", "blurred"}


def test_a_check_that_takes_more_than_half_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_useless(tmp_path / "in")
    dedupkit.clean(str(tmp_path / "in"), tmp_path / "out", recipe=Recipe(preset="fast", hygiene=Hygiene(max_blur=0.1)))
    assert "[hygiene] max_blur" in caplog.text


def test_a_dark_copy_does_not_stand_for_a_good_one(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    sharp = draw_picture(9, 240, 180)
    large = sharp.resize((960, 720)).point(lambda level: level // 8)  # more pixels, which the policy likes
    (folder / "dark.png").write_bytes(encoded(large, "PNG"))
    (folder / "sharp.png").write_bytes(encoded(sharp, "PNG"))
    result = dedupkit.clean(str(folder), tmp_path / "out", recipe=Recipe(preset="fast"))
    assert {row["key"]: row["action"] for row in result.decisions().to_pylist()} == {
        "dark.png": "quarantine",
        "sharp.png": "keep",
    }
    assert json.loads((tmp_path / "out" / "report.json").read_text())["samples"]["quarantined"] == 1


def test_baking_turns_what_is_emitted_and_decides_nothing_anew(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "turned.png").write_bytes(FILES["turned png"])  # by 180 degrees
    lying = draw_picture(8, 320, 240)
    lying.save(folder / "lying.jpg", exif=exif(6), quality=95)
    (folder / "upright.jpg").write_bytes(encoded(draw_picture(9)))
    kept = dedupkit.clean(str(folder), out, recipe=Recipe(preset="fast")).dataset()
    assert [Image.open(io.BytesIO(image["bytes"])).size for image in raw_images(kept)] == [(320, 240)] * 3
    made = sorted((out / ".dedupkit").glob("[fdp]*/*.parquet"))
    before = [path.stat().st_mtime_ns for path in made]

    baking = Recipe.of(
        {"preset": "fast", "hygiene": {"orientation": "bake"}, "output": {"formats": ["arrow", "parquet"]}}
    )
    result = dedupkit.clean(str(folder), out, recipe=baking).dataset()
    assert [path.stat().st_mtime_ns for path in made] == before
    images = dict(zip(result["key"], (image["bytes"] for image in raw_images(result)), strict=True))
    assert images["upright.jpg"] == (folder / "upright.jpg").read_bytes()
    assert SECRET.encode() not in images["turned.png"]
    for key, data in images.items():
        with Image.open(io.BytesIO(data)) as image, Image.open(folder / key) as source:
            shown = np.asarray(ImageOps.exif_transpose(source), dtype=int)
            assert 0x0112 not in image.getexif()
            assert abs(np.asarray(image, dtype=int) - shown).mean() < 0.5
            assert image.size == (240, 320) if key == "lying.jpg" else (320, 240)
    sizes = zip(result["key"], result["width"], result["height"], strict=True)
    assert {key: (width, height) for key, width, height in sizes}["lying.jpg"] == (240, 320)


def raw_images(rows: datasets.Dataset) -> list[dict[str, bytes]]:
    return list(rows.cast_column("image", datasets.Image(decode=False))["image"])
