"""Placeholder pictures through the real command line: gone with their reason, and decided anew without decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pdqhash
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

import dedupkit
from dedupkit.errors import UsageError
from dedupkit.recipe import Hygiene, Recipe
from tests.commands import run
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from pathlib import Path


def draw_placeholder(width: int = 640, height: int = 480) -> Image.Image:
    """Somebody's "no photo": a camera on grey, struck out."""
    image = Image.new("RGB", (width, height), (225, 225, 228))
    pen = ImageDraw.Draw(image)
    x, y = width // 8, height // 8
    pen.rectangle((x, 2 * y, 7 * x, 7 * y), fill=(60, 60, 70))
    pen.rectangle((2 * x, y, 4 * x, 2 * y), fill=(60, 60, 70))
    pen.ellipse((3 * x, 3 * y, 5 * x, 6 * y), fill=(240, 240, 240), outline=(0, 0, 0), width=12)
    pen.line((x // 2, 7 * y, 7 * x, y // 2), fill=(200, 30, 30), width=26)
    return image


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        draw_picture(number).save(folder / f"photo{number}.png")
    draw_placeholder().resize((320, 240)).save(folder / "none.jpg", quality=70)
    draw_placeholder().convert("L").save(folder / "none.webp", quality=60)
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    bits, quality = pdqhash.compute(np.asarray(draw_placeholder()))
    assert quality >= 50
    path = tmp_path / "mine.txt"
    path.write_text(np.packbits(bits).tobytes().hex() + "\n")
    return path


def test_the_command_line_takes_them_out_and_says_why(source: Path, mine: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'preset = "fast"\n[hygiene]\nplaceholder_files = ["{mine.as_posix()}"]\n')
    run("clean", source, tmp_path / "out", "--recipe", recipe).check_returncode()
    rows = {row["key"]: row for row in pq.read_table(tmp_path / "out" / "decisions.parquet").to_pylist()}
    gone = {key for key, row in rows.items() if row["reason"] == "placeholder"}
    assert gone == {"none.jpg", "none.webp"}
    assert {row["action"] for key, row in rows.items() if key in gone} == {"quarantine"}
    assert all("in mine.txt, " in rows[key]["detail"] for key in gone)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    shown = page.partition("Pictures that checks took out")[2].partition("Quarantined samples")[0]
    assert "Placeholder" in shown
    assert "placeholders" in shown  # the option
    assert "none.jpg" in shown


def test_the_option_and_the_list_decide_anew_and_decode_nothing(source: Path, mine: Path, tmp_path: Path) -> None:
    out, made = tmp_path / "out", []
    for hygiene in (
        Hygiene(placeholder_files=(str(mine),)),
        Hygiene(placeholder_files=(str(mine),), placeholders="keep"),
        Hygiene(),
        Hygiene(placeholder_files=(str(mine),)),
    ):
        result = dedupkit.clean(str(source), out, recipe=Recipe(preset="fast", hygiene=hygiene))
        (part,) = (out / ".dedupkit" / "fingerprints").glob("*.parquet")
        made.append((result.summary["reasons"].get("placeholder", 0), part.stat().st_mtime_ns))
    assert [count for count, _ in made] == [2, 0, 0, 2]
    assert len({time for _, time in made}) == 1
    mine.write_text("f" * 64 + "\n")
    result = dedupkit.clean(str(source), out, recipe=Recipe(preset="fast", hygiene=hygiene))
    assert result.summary["reasons"].get("placeholder", 0) == 0


def test_a_bad_list_is_refused_before_anything_is_written(source: Path, mine: Path, tmp_path: Path) -> None:
    mine.write_text("no hash\n")
    hygiene = Hygiene(placeholder_files=(str(mine),))
    with pytest.raises(UsageError, match=r"entry 1 of mine.txt is no pdq: 'no hash'; it must be 64 hexadecimal digits"):
        dedupkit.clean(str(source), tmp_path / "out", recipe=Recipe(preset="fast", hygiene=hygiene))
    assert not (tmp_path / "out" / ".dedupkit" / "fingerprints").exists()


def test_more_than_half_gone_is_said(
    source: Path, mine: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("photo1.png", "photo2.png", "photo3.png"):
        (source / name).unlink()
    recipe = Recipe(preset="fast", hygiene=Hygiene(placeholder_files=(str(mine),)))
    dedupkit.clean(str(source), tmp_path / "out", recipe=recipe)
    assert "most of them as placeholder; [hygiene] placeholders in the recipe explains it" in caplog.text
