"""What stands in reference sets goes out of a training set, and nothing else does."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from dedupkit import Index, Recipe, clean, decontaminate, remove
from dedupkit.cli import app
from dedupkit.edits import EDITS
from dedupkit.errors import UsageError
from tests.commands import Command
from tests.conftest import draw_picture

PLAIN = ("exact", "jpeg60", "mirrored", "turned", "brighter", "framed")
HARD = ("half", "crop875", "crop70")  # of pictures this small hashes differ by more than the radius
REFERENCES = {"first": range(12), "second": range(9, 18)}  # three pictures stand in both


@dataclass
class Sets:
    """A training set and two evaluation sets, in folders, and what of the one stands in the others."""

    folder: Path
    planted: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Each planted file, its edit, and the number of its picture."""

    @property
    def train(self) -> str:
        return str(self.folder / "train")

    @property
    def against(self) -> list[str]:
        return [str(self.folder / name) for name in REFERENCES]

    def wanted(self, edits: tuple[str, ...], name: str | None = None) -> set[str]:
        """Planted files of some edits whose pictures stand in a reference set, or in any."""
        held = set().union(*REFERENCES.values()) if name is None else set(REFERENCES[name])
        return {key for key, (edit, picture) in self.planted.items() if edit in edits and picture in held}


def write(place: Path, data: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    made, rng = Sets(tmp_path_factory.mktemp("sets")), np.random.default_rng(3)
    encoded = {number: EDITS["jpeg60"].apply(draw_picture(number, 200, 150), rng) for number in range(40)}
    for name, pictures in REFERENCES.items():
        for number in pictures:
            write(made.folder / name / f"{name}-{number:02d}.jpg", encoded[number])
        write(made.folder / name / "again.jpg", EDITS["half"].apply(draw_picture(pictures[0], 200, 150), rng))
    for number in range(18):
        edits = [*PLAIN, *HARD][number % 9 :: 4] + ["exact"] * (number == 9)
        for edit in dict.fromkeys(edits):
            picture = draw_picture(number, 200, 150)
            data = encoded[number] if edit == "exact" else EDITS[edit].apply(picture, rng)
            name = f"{number:02d}-{edit}.jpg"
            write(made.folder / "train" / name, data)
            made.planted[name] = (edit, number)
    for number in range(20, 40):  # of no set; some stand twice in the training set itself
        write(made.folder / "train" / f"own-{number}.jpg", encoded[number])
        if number % 3 == 0:
            write(made.folder / "train" / f"own-{number}-copy.jpg", encoded[number])
    return made


def said(*arguments: Any) -> Any:
    result = CliRunner().invoke(app, ["decontaminate", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_fast_finds_planted_copies_and_keeps_the_training_sets_own(sets: Sets, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = said(sets.train, "--against", sets.against[0], "--against", sets.against[1], out, "--preset", "fast")
    found = {row["train_key"] for row in told["matches"]}
    assert sets.wanted(PLAIN) <= found <= set(sets.planted)
    for name, path in zip(REFERENCES, sets.against, strict=True):
        mine = {row["train_key"] for row in told["matches"] if row["set"] == path}
        assert sets.wanted(PLAIN, name) <= mine <= sets.wanted((*PLAIN, *HARD), name)
        assert told["contaminated"][path] == len(mine)
    report = json.loads((out / "report.json").read_text())
    assert report["reasons"]["contaminated"] == report["samples"]["dropped"] == len(found)
    assert report["contaminated"] == told["contaminated"]
    assert report["samples"]["kept"] == report["samples"]["in"] - len(found)
    rows = pq.read_table(out / "decisions.parquet").to_pylist()
    remove(out, keys=[next(row["key"] for row in rows if row["action"] == "keep")])
    assert json.loads((out / "report.json").read_text())["contaminated"] == told["contaminated"]


def test_thorough_finds_every_planted_edit_and_no_other_picture(sets: Sets, tmp_path: Path) -> None:
    found = decontaminate(sets.train, sets.against, tmp_path / "out")
    assert set(found.matches["train_key"].to_pylist()) == set(sets.planted)
    for row in found.matches.to_pylist():
        picture = sets.planted[row["train_key"]][1]
        first = {"first": REFERENCES["first"][0], "second": REFERENCES["second"][0]}[Path(row["set"]).name]
        assert row["key"] == f"{Path(row['set']).name}-{picture:02d}.jpg" or (row["key"], picture) == (
            "again.jpg",
            first,
        )
    assert found.result is not None
    rows = {row["key"]: row for row in found.result.decisions().to_pylist()}
    assert all(row["reason"] == "contaminated" for key, row in rows.items() if key in sets.planted)
    assert rows["09-exact.jpg"]["tier"] == "exact"
    assert f"in {sets.against[1]} as" in rows["09-exact.jpg"]["detail"]
    cropped = [rows[key] for key in sorted(sets.wanted(("crop70",)))]
    assert cropped
    assert all(row["tier"] == "geometric" and row["evidence"]["score"] >= 0.5 for row in cropped)
    kept = set(found.result.dataset()["key"])
    assert kept == set(rows) - set(sets.planted)


def test_only_looking_writes_nothing_and_finds_the_same(sets: Sets, tmp_path: Path) -> None:
    recipe = Recipe(preset="fast")
    before = sorted(sets.folder.rglob("*"))
    looked = decontaminate(sets.train, sets.against, recipe=recipe)
    written = decontaminate(sets.train, sets.against, tmp_path / "out", recipe=recipe)
    assert looked.matches.equals(written.matches)
    assert looked.result is None
    assert sorted(sets.folder.rglob("*")) == before


def test_the_training_sets_own_copies_go_where_that_is_asked(sets: Sets, tmp_path: Path) -> None:
    recipe = Recipe(preset="fast")
    found = decontaminate(sets.train, sets.against, tmp_path / "out", recipe=recipe, deduplicate=True)
    assert found.result is not None
    reasons = {row["key"]: row["reason"] for row in found.result.decisions().to_pylist()}
    own = [key for key, reason in reasons.items() if reason == "exact_duplicate" and key.startswith("own-")]
    assert len(own) == len([number for number in range(20, 40) if number % 3 == 0])


def test_an_index_is_searched_as_it_is_by_its_recipe(sets: Sets, tmp_path: Path) -> None:
    index = Index.build(tmp_path / "index", sets.against[0], recipe=Recipe(preset="fast"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("*")}
    told = said(sets.train, "--against", tmp_path / "index")
    direct = decontaminate(sets.train, {"first": sets.against[0]}, recipe=Recipe(preset="fast"))
    rows = [(row["train_key"], row["key"], row["tier"]) for row in told["matches"]]
    assert rows == [(row["train_key"], row["key"], row["tier"]) for row in direct.matches.to_pylist()]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("*")} == before
    assert len(index) == 13
    with pytest.raises(UsageError, match="another recipe"):
        decontaminate(sets.train, index, recipe=Recipe(preset="thorough"))


def test_what_an_index_no_longer_holds_is_not_found(sets: Sets, tmp_path: Path) -> None:
    index = Index.build(tmp_path / "index", sets.against[0], recipe=Recipe(preset="fast"))
    index.remove(keys=["first-09.jpg"])
    found = decontaminate(sets.train, index)
    assert "09-exact.jpg" not in found.matches["train_key"].to_pylist()
    assert sets.wanted(PLAIN, "first") - set(found.matches["train_key"].to_pylist()) == {
        key for key in sets.wanted(PLAIN, "first") if key.startswith("09-")
    }


def test_a_run_that_was_killed_goes_on_and_gives_the_same(sets: Sets, tmp_path: Path) -> None:
    arguments = ["decontaminate", sets.train, "--against", sets.against[0], "--against", sets.against[1]]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = CliRunner().invoke(app, [*arguments, str(whole)])
    assert first.exit_code == 0, first.output
    run = Command(*arguments, killed)
    references = killed / ".dedupkit" / "references"
    deadline = time.monotonic() + 120
    while not list(references.glob("*/index.json")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    made = {path: path.stat().st_mtime_ns for path in references.glob("*/index.json")}
    assert made
    again = CliRunner().invoke(app, [*arguments, str(killed)])
    assert again.exit_code == 0, again.output
    for path, stamp in made.items():
        assert path.stat().st_mtime_ns == stamp
    assert (killed / "decisions.parquet").read_bytes() == (whole / "decisions.parquet").read_bytes()
    assert [path.read_bytes() for path in sorted((killed / "dataset").glob("*.arrow"))] == [
        path.read_bytes() for path in sorted((whole / "dataset").glob("*.arrow"))
    ]


def test_a_changed_reference_set_is_searched_anew(sets: Sets, tmp_path: Path) -> None:
    recipe, place = Recipe(preset="fast"), tmp_path / "eval"
    write(place / "one.jpg", (sets.folder / "first" / "first-03.jpg").read_bytes())
    before = decontaminate(sets.train, str(place), tmp_path / "out", recipe=recipe)
    write(place / "two.jpg", (sets.folder / "second" / "second-15.jpg").read_bytes())
    after = decontaminate(sets.train, str(place), tmp_path / "out", recipe=recipe)
    shown = [{sets.planted[key][1] for key in found.matches["train_key"].to_pylist()} for found in (before, after)]
    assert shown == [{3}, {3, 15}]


def test_a_set_against_itself_leaves_nothing(sets: Sets, tmp_path: Path) -> None:
    found = decontaminate(sets.against[0], sets.against[0], tmp_path / "out", recipe=Recipe(preset="fast"))
    assert found.result is not None
    assert found.result.summary["samples"] == {"in": 13, "kept": 0, "dropped": 13, "quarantined": 0}
    assert {row["tier"] for row in found.matches.to_pylist()} == {"exact"}
    assert len(found.result.dataset()) == 0


def test_broken_images_of_either_set_match_nothing(tmp_path: Path) -> None:
    for name in ("train", "eval"):
        write(tmp_path / name / "broken.jpg", b"<html>")
        write(tmp_path / name / "empty.jpg", b"")
        write(tmp_path / name / "fine.png", Path(write_png(tmp_path / f"{name}.png", len(name))).read_bytes())
    found = decontaminate(str(tmp_path / "train"), str(tmp_path / "eval"), tmp_path / "out")
    assert found.matches.num_rows == 0
    assert found.result is not None
    assert found.result.summary["samples"] == {"in": 3, "kept": 1, "dropped": 0, "quarantined": 2}


def write_png(place: Path, number: int) -> Path:
    draw_picture(number).save(place)
    return place


def test_an_output_is_clean_against_what_it_was_cleaned_of(sets: Sets, tmp_path: Path) -> None:
    first = decontaminate(sets.train, sets.against, tmp_path / "out")
    assert first.result is not None
    again = decontaminate(first.result.dataset(), sets.against)
    assert again.matches.num_rows == 0
    assert clean(first.result.dataset(), tmp_path / "clean").summary["samples"]["in"] == 27


@pytest.mark.parametrize(
    ("against", "said_of_it"),
    [([], "names no reference set"), (["a", "a"], "twice"), (["nowhere"], "nowhere")],
)
def test_reference_sets_that_cannot_be_are_named(sets: Sets, against: list[str], said_of_it: str) -> None:
    with pytest.raises(UsageError, match=said_of_it):
        decontaminate(sets.train, against)


def test_the_command_wants_a_set_to_hold_it_against(sets: Sets) -> None:
    run = Command("decontaminate", sets.train)
    _, told = run.communicate()
    assert run.returncode == 2
    assert "give --against" in told
