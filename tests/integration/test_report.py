"""The report of real runs, and made again from what they left."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

import dedupkit
from dedupkit.errors import UsageError
from dedupkit.recipe import Augment, Canaries, Recipe
from dedupkit.report.again import make_report
from dedupkit.report.thumbnails import Pictures
from dedupkit.storage import Folder, Stage
from tests.commands import run
from tests.conftest import draw_picture
from tests.integration.conftest import encoded
from tests.unit.report.test_content import data_of

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path
    from typing import Any

FAST = Recipe(preset="fast")
CALIBRATION = {
    "samples": 20,
    "recall": [
        {"edit": "mirrored", "planted": 20, "found": 18, "recall": 0.9, "low": 0.7, "high": 0.97, "false_pairs": 0},
        {"edit": "<b>odd</b>", "planted": 0, "found": 0, "recall": None, "low": None, "high": None, "false_pairs": 0},
    ],
    "missed": {"count": 2, "of": 20, "share": 0.1, "low": 0.03, "high": 0.3},
    "precision": {"count": 0, "of": 0, "share": None, "low": 0.0, "high": 1.0},
}


def photos() -> list[dict[str, Any]]:
    rows = [
        {"key": f"p{number}", "image": encoded(draw_picture(number)), "caption": f"picture {number}"}
        for number in range(8)
    ]
    rows.append({"key": "mirrored", "image": encoded(ImageOps.mirror(draw_picture(3))), "caption": "write me: a@b.org"})
    rows.append({"key": "twin", "image": rows[5]["image"], "caption": "the same"})
    rows.append({"key": "black", "image": encoded(Image.new("RGB", (90, 90))), "caption": "nothing"})
    return rows


@pytest.fixture
def out(tmp_path: Path) -> Path:
    dedupkit.clean(photos(), tmp_path / "out", recipe=FAST)
    return tmp_path / "out"


def report(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run("report", out, *options)


def test_the_page_made_again_is_the_page_of_the_run(out: Path) -> None:
    before = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    done = report(out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"report: {out}/report.html"
    assert (out / "report.html").read_bytes() == before


def test_a_run_made_again_gives_the_same_page(out: Path, tmp_path: Path) -> None:
    dedupkit.clean(photos(), tmp_path / "second", recipe=FAST)
    pages = [hashlib.sha256((folder / "report.html").read_bytes()).digest() for folder in (out, tmp_path / "second")]
    assert pages[0] == pages[1]


def test_groups_tell_their_evidence_and_captions_as_cleaned(out: Path) -> None:
    page = (out / "report.html").read_text()
    data = data_of(page)
    told = {data["samples"][row["i"]]["k"]: row for group in data["groups"] for row in group["m"]}
    assert set(told) == {"p3", "mirrored", "p5", "twin"}
    (copy,) = (row for row in told.values() if row.get("t") == "perceptual")
    assert copy["e"].startswith("mirrored")
    assert [row["e"] for row in told.values() if row.get("t") == "exact"] == ["same bytes"]
    assert "a@b.org" not in page
    assert all(data["samples"][row["i"]]["t"] for row in told.values())


def test_a_calibration_is_shown_and_report_json_left_alone(out: Path, tmp_path: Path) -> None:
    before = (out / "report.json").read_bytes()
    (tmp_path / "calibration.json").write_text(json.dumps(CALIBRATION))
    done = report(out, "--calibration", str(tmp_path / "calibration.json"))
    assert done.returncode == 0, done.stderr
    page = (out / "report.html").read_text()
    assert "18 of 20" in page
    assert "90.0 %" in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page
    assert "Missed in all: 10.0 %" in page
    assert (out / "report.json").read_bytes() == before


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"samples": 1, "recall": [{}]}'])
def test_what_is_no_calibration_is_refused_before_anything_is_written(out: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "no.json").write_text(text)
    before = (out / "report.html").stat().st_mtime_ns
    with pytest.raises(UsageError, match="name what `dedupkit calibrate --json` wrote"):
        make_report(out, calibration=tmp_path / "no.json")
    assert (out / "report.html").stat().st_mtime_ns == before


def test_wrong_arguments_are_refused_in_one_line(out: Path, tmp_path: Path) -> None:
    for folder, options, words in [
        (out, ["--max-size", "1KB"], "max_page_bytes must be 1 MiB or more"),
        (out, ["--calibration", str(tmp_path / "none.json")], "cannot be read"),
        (tmp_path, [], "it is no output of dedupkit clean"),
    ]:
        done = report(folder, *options)
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_what_was_taken_down_is_on_no_page_any_more(out: Path) -> None:
    gone = "mirrored" if "mirrored" in kept_keys(out) else "p3"
    dedupkit.remove(out, keys=[gone])
    for _ in range(2):  # by the takedown, and made again afterwards
        data = data_of((out / "report.html").read_text())
        assert {"p3", "mirrored"}.isdisjoint(sample["k"] for sample in data["samples"])
        assert not data["measures"]
        make_report(out)


def kept_keys(out: Path) -> set[str]:
    rows = pq.read_table(out / "decisions.parquet").to_pylist()
    return {row["key"] for row in rows if row["action"] == "keep"}


def test_what_noise_and_brightness_did_is_shown_as_it_was_emitted_and_never_a_canary(tmp_path: Path) -> None:
    augment = Augment(preset="paper", format="png")
    recipe = Recipe(preset="fast", augment=augment, canaries=Canaries(planted=3, controls=3, repetitions=(1,)))
    samples = [{"key": f"s{n:03}", "image": encoded(draw_picture(n), "PNG"), "caption": f"{n}"} for n in range(16)]
    result = dedupkit.clean([*samples, samples[7] | {"key": "twin"}], tmp_path / "out", recipe=recipe)
    pictures = Pictures.of(
        Stage(*(Folder(str(tmp_path / "out" / ".dedupkit" / name)) for name in ("thumbnails", "receipts")))
    )
    assert len(pictures.changes) == 1  # of the group, which holds no canary: what is passed over would be one
    keys = {row["position"]: row["key"] for row in result.decisions().to_pylist()}
    emitted = {row["key"]: row["image"] for row in result.dataset()}
    own = {sample["key"]: sample["image"] for sample in samples}
    for change in pictures.changes:
        assert keys[change.position] in own  # a canary has another key
        after = np.asarray(emitted[keys[change.position]].convert("RGB"), float)
        middle = after[48:192, 88:232]
        before, shown = (np.asarray(Image.open(io.BytesIO(each)), float) for each in (change.before, change.after))
        assert shown.shape == (144, 144, 3)
        assert np.abs(shown - middle).mean() < 0.8 * np.abs(before - middle).mean()  # not equal: it is JPEG here
        assert "noise" in change.words
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('class="change"') == len(pictures.changes)
