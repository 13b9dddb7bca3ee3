"""Calibrating from end to end: what is planted, what is measured, and what is proposed."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from PIL import Image

import dedupkit
from dedupkit.edits import EDITS
from dedupkit.errors import UsageError
from dedupkit.matching.radius import max_hamming_bits
from dedupkit.recipe import Blocklist, Matching, Recipe, SourceOptions
from tests.conftest import draw_picture
from tests.integration.conftest import encoded
from tests.integration.test_cli import dedupkit as command

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit.parts import Progress

FAST = Recipe(preset="fast")
USUAL = ["reencoded", "crop70", "mirrored", "screenshot"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures, a copy of one of them, and two broken files."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(24):
        (folder / f"{seed:02d}.jpg").write_bytes(encoded(draw_picture(seed)))
    (folder / "copy.png").write_bytes(encoded(draw_picture(5).resize((200, 150)), "PNG"))
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "cut.jpg").write_bytes(encoded(draw_picture(3))[:2000])
    return folder


@pytest.fixture(scope="module")
def fast(photos: Path) -> dedupkit.Calibration:
    return dedupkit.calibrate(photos, recipe=FAST, edits=USUAL)


@pytest.fixture(scope="module")
def thorough(photos: Path) -> dedupkit.Calibration:
    return dedupkit.calibrate(photos, edits=USUAL)


def test_every_whole_picture_gets_one_copy_of_each_edit(fast: dedupkit.Calibration) -> None:
    assert fast.samples == 25
    assert fast.skipped == {"empty_image": 1, "truncated_image": 1}
    assert fast.recall["edit"].to_pylist() == USUAL
    assert fast.recall["planted"].to_pylist() == [25] * 4


def test_hashes_find_reencoded_and_mirrored_copies_and_miss_crops(fast: dedupkit.Calibration) -> None:
    recall = dict(zip(USUAL, fast.recall["recall"].to_pylist(), strict=True))
    assert recall["reencoded"] == recall["mirrored"] == 1.0
    assert recall["crop70"] == recall["screenshot"] == 0.0


def test_geometry_finds_what_hashes_miss(fast: dedupkit.Calibration, thorough: dedupkit.Calibration) -> None:
    assert thorough.missed.share < 0.5 * fast.missed.share


def test_counts_add_up(fast: dedupkit.Calibration) -> None:
    found = sum(fast.recall["found"].to_pylist())
    assert fast.missed.hits == 100 - found == fast.misses.num_rows
    assert {row["edit"] for row in fast.misses.to_pylist()} == {"crop70", "screenshot"}
    assert (
        fast.precision.of - fast.precision.hits == fast.mistakes.num_rows == sum(fast.recall["false_pairs"].to_pylist())
    )


def test_the_sets_own_copies_are_no_mistakes(fast: dedupkit.Calibration) -> None:
    assert fast.own_pairs == 1
    assert fast.mistakes.num_rows == 0
    assert fast.confused.of == 24 * 23 // 2  # pictures; the copy is none of its own
    # of each edit that is found, a copy has pairs with its picture; those of the two alike have four with each other
    assert fast.precision.hits >= 2 * 25


def test_every_share_lies_in_its_interval(fast: dedupkit.Calibration, thorough: dedupkit.Calibration) -> None:
    for result in (fast, thorough):
        for row in result.recall.to_pylist():
            assert 0 <= row["low"] <= row["recall"] <= row["high"] <= 1
        for row in result.thresholds.to_pylist():
            assert row["recall_low"] <= row["recall"] <= row["recall_high"]
            assert row["precision_low"] <= row["precision"] <= row["precision_high"]


def test_the_proposed_limits_were_tried_and_are_a_recipe(thorough: dedupkit.Calibration) -> None:
    (row,) = thorough.thresholds.filter(thorough.thresholds["proposed"]).to_pylist()
    assert row["precision"] >= 0.999
    matching = Recipe.loads(thorough.toml).matching
    assert {name: getattr(matching, name) for name in thorough.proposed or {}} == thorough.proposed
    assert thorough.proposed == {name: row[name] for name in ("max_hamming_bits", "min_cosine", "min_score")}


def test_the_proposed_limits_give_what_was_promised(photos: Path, fast: dedupkit.Calibration) -> None:
    (row,) = fast.thresholds.filter(fast.thresholds["proposed"]).to_pylist()
    assert row["recall"] > fast.recall["found"].to_numpy().sum() / 100 - 1e-9
    again = dedupkit.calibrate(photos, recipe=Recipe.loads('preset = "fast"\n' + fast.toml), edits=USUAL)
    assert 1 - again.missed.share == pytest.approx(row["recall"])
    assert again.precision.share == pytest.approx(row["precision"])


def test_the_recipes_own_row_is_what_the_rest_reports(thorough: dedupkit.Calibration) -> None:
    (row,) = thorough.thresholds.filter(thorough.thresholds["recipe"]).to_pylist()
    assert row["recall"] == pytest.approx(1 - thorough.missed.share)
    assert row["false_pairs"] == thorough.mistakes.num_rows


def test_a_recipe_that_takes_everything_for_copies_is_caught(photos: Path) -> None:
    everything = Recipe(matching=Matching(verify="none", min_cosine=0.05))
    found = dedupkit.calibrate(photos, recipe=everything, edits=["mirrored"], samples=12, wanted_precision=1.0)
    assert found.own_pairs > 1 or found.mistakes.num_rows > 0
    assert set(found.thresholds.column_names) >= {"min_cosine", "max_hamming_bits"}
    assert found.thresholds["min_score"].null_count == found.thresholds.num_rows
    if found.mistakes.num_rows:
        row = found.mistakes.to_pylist()[0]
        assert row["a_is_copy"] or row["b_is_copy"]
        assert {row["a"], row["b"]} <= {file.name for file in photos.iterdir()}


def test_a_seed_repeats_the_run_whatever_the_workers(photos: Path) -> None:
    one, two = (
        dedupkit.calibrate(photos, recipe=FAST, samples=6, edits=["noisy", "half_area"], seed=4, workers=workers)
        for workers in (1, None)
    )
    assert one.to_json() == two.to_json()
    other = dedupkit.calibrate(photos, recipe=FAST, samples=6, edits=["noisy", "half_area"], seed=5)
    assert other.misses.to_pylist() != one.misses.to_pylist()


def test_the_set_is_left_alone(photos: Path) -> None:
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in photos.iterdir()}
    dedupkit.calibrate(photos, recipe=FAST, samples=3, edits=["grey"])
    assert {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in photos.iterdir()} == before


def test_all_edits_are_planted_where_none_are_named(photos: Path) -> None:
    found = dedupkit.calibrate(photos, recipe=FAST, samples=2)
    assert found.recall["edit"].to_pylist() == list(EDITS)


def test_the_radius_is_that_of_the_whole_set() -> None:
    """The radius of pHash narrows as a set grows; that of the sample would promise too much."""
    pictures = [{"key": f"{number}", "image": encoded(draw_picture(1))} for number in range(2)] * 2_000
    recipe = Recipe(preset="fast", matching=Matching(hash="phash"))
    found = dedupkit.calibrate(pictures, recipe=recipe, samples=3, edits=["jpeg60"])
    (row,) = found.thresholds.filter(found.thresholds["recipe"]).to_pylist()
    assert found.set_samples == 4_000
    assert row["max_hamming_bits"] == max_hamming_bits(recipe.matching, 4_000) < max_hamming_bits(recipe.matching, 6)


def test_any_iterable_is_a_set_and_is_read_once() -> None:
    rows = ({"key": f"{seed}", "image": encoded(draw_picture(seed))} for seed in range(3))
    assert dedupkit.calibrate(rows, recipe=FAST, edits=["grey"]).samples == 3


def test_a_blocklist_does_not_hide_copies(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("00.jpg\n")
    recipe = Recipe(preset="fast", blocklist=Blocklist(keys=(str(tmp_path / "keys.txt"),)))
    assert dedupkit.calibrate(photos, recipe=recipe, edits=["grey"]).samples == 25


def test_flat_pictures_are_missed_and_said_to_be(tmp_path: Path) -> None:
    for level in range(4):
        sign = Image.new("RGB", (64, 64), "white")
        sign.paste("black", (0, 0, 64, 16 + 8 * level))
        sign.save(tmp_path / f"{level}.png")
    found = dedupkit.calibrate(tmp_path, recipe=FAST, edits=["jpeg60"])
    assert found.missed.share == 1.0
    assert found.proposed is None
    assert found.to_json()["precision"]["share"] is None
    assert "no limits tried reach precision 0.999" in found.text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"samples": 0}, "samples must be 1 or more, got 0"),
        ({"wanted_precision": 1.5}, r"wanted_precision must be in \(0, 1\], got 1.5"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"edits": ["sepia"]}, "got 'sepia'"),
    ],
)
def test_a_bad_argument_is_refused(photos: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        dedupkit.calibrate(photos, **options)  # type: ignore[arg-type]


def test_a_sample_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"broken")
    with pytest.raises(UsageError, match="none of the 1 samples drawn has a usable image"):
        dedupkit.calibrate(tmp_path, recipe=FAST)


def test_progress_is_told(photos: Path) -> None:
    steps: list[Progress] = []
    dedupkit.calibrate(photos, recipe=FAST, samples=3, edits=["grey"], progress=steps.append)
    assert {"sample", "copies", "fingerprints", "limits tried"} <= {step.stage for step in steps}
    assert all(step.parts <= step.all_parts for step in steps)


def test_the_command_prints_tables_and_writes_json(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    options = ("--preset", "fast", "--samples", 40, "--edits", "mirrored,crop70", "--precision", 0.99, "--seed", 2)
    done = command("calibrate", photos, *options, "--json", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "25 pictures out of 27 samples; skipped: 1 empty image, 1 truncated image" in done.stdout
    assert "[matching]" in done.stdout
    written = json.loads(file.read_text(encoding="utf-8"))
    assert [row["edit"] for row in written["recall"]] == ["mirrored", "crop70"]
    assert (written["seed"], written["wanted_precision"]) == (2, 0.99)
    assert json.loads(command("calibrate", photos, *options, "--json", "-").stdout) == written
    assert math.isclose(written["missed"]["share"], written["missed"]["count"] / written["missed"]["of"])


def test_the_command_takes_a_recipe(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('preset = "fast"\n[matching]\nmax_hamming_bits = 9\n')
    done = command(
        "calibrate", photos, "--recipe", tmp_path / "recipe.toml", "--samples", 3, "--edits", "grey", "--json", "-"
    )
    (row,) = [row for row in json.loads(done.stdout)["thresholds"] if row["recipe"]]
    assert row["max_hamming_bits"] == 9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nowhere"),
        (("photos", "--edits", "sepia"), "edits must be of"),
        (("photos", "--precision", "2"), "must be in (0, 1]"),
        (("photos", "--json", "missing/file.json"), "does not exist"),
    ],
)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], said: str, photos: Path) -> None:
    done = command("calibrate", *(str(photos) if each == "photos" else each for each in arguments))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_embeddings_cannot_be_calibrated(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"url": ["https://a/1", "https://a/2"], "embedding": [[1.0, 0.0], [0.0, 1.0]]})
    pq.write_table(table, tmp_path / "list.parquet")
    recipe = Recipe(source=SourceOptions(embedding_column="embedding"))
    with pytest.raises(UsageError, match="need images"):
        dedupkit.calibrate(tmp_path / "list.parquet", recipe=recipe)
