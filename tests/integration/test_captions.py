"""Captions through `clean`: cleaned, merged, quarantined, held against each other."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import dedupkit
from dedupkit.recipe import Captions, Keep, Output, Recipe
from dedupkit.sample import Sample
from tests.conftest import draw_picture
from tests.integration.conftest import encoded

if TYPE_CHECKING:
    from pathlib import Path

PICTURES = [encoded(draw_picture(number)) for number in range(5)]
SAMPLES = [
    Sample("frog", PICTURES[0], "A frog."),
    Sample("frog-again", PICTURES[0], "a FROG"),
    Sample("frog-green", PICTURES[0], "Green frog, write to me@example.com"),
    Sample("hen", PICTURES[1], "On the farm"),
    Sample("cow", PICTURES[2], "on the farm!"),
    Sample("file", PICTURES[3], "IMG_0042.JPG"),
    Sample("silent", PICTURES[4], None),
]


def cleaned(out: Path, captions: Captions | None = None) -> tuple[dedupkit.Result, dict[str, Any]]:
    recipe = Recipe(preset="fast", captions=captions or Captions(), keep=Keep(policy="first"))
    result = dedupkit.clean(SAMPLES, out, recipe=recipe)
    return result, {row["key"]: row for row in result.dataset().remove_columns("image")}


def test_captions_are_cleaned_and_those_of_copies_go_to_the_one_that_stays(tmp_path: Path) -> None:
    result, rows = cleaned(tmp_path / "out")
    assert rows["frog"]["captions"] == ["A frog.", "Green frog, write to"]
    assert rows["frog"]["caption"] == "A frog."
    assert (rows["file"]["caption"], rows["file"]["captions"]) == (None, [])
    assert (rows["silent"]["caption"], rows["silent"]["captions"]) == (None, [])
    facts = result.summary["captions"]
    found = {name: count for name, count in facts["found"].items() if count}
    assert found == {"empty": 1, "email": 1, "file_name_only": 1}
    assert (facts["changed"], facts["merged"], facts["left_out"]) == (2, 1, 0)


def test_captions_over_different_pictures_are_told_apart_by_a_template(tmp_path: Path) -> None:
    options = Captions(repeated="template", template="{caption} ({key})", merge=False)
    result, rows = cleaned(tmp_path / "out", options)
    assert rows["hen"]["caption"] == "On the farm (hen)"
    assert rows["cow"]["captions"] == ["on the farm! (cow)"]
    assert rows["frog"]["captions"] == ["A frog."]
    assert result.summary["captions"]["most_repeated"] == ({"caption": "On the farm", "pictures": 2},)


def test_the_captions_of_a_picture_are_capped_and_the_rest_counted(tmp_path: Path) -> None:
    result, rows = cleaned(tmp_path / "out", Captions(max_captions=1))
    assert rows["frog"]["captions"] == ["A frog."]
    assert result.summary["captions"]["left_out"] == 1


def test_a_caption_may_cost_a_sample_its_place(tmp_path: Path) -> None:
    result, rows = cleaned(tmp_path / "out", Captions(email="quarantine", empty="quarantine"))
    reasons = {row["key"]: (row["reason"], row["detail"]) for row in result.decisions().to_pylist()}
    assert reasons["frog-green"] == ("bad_caption", "email")
    assert reasons["silent"] == ("bad_caption", "empty")
    assert reasons["frog-again"][0] == "exact_duplicate"
    assert set(rows) == {"frog", "hen", "cow", "file"}


@pytest.mark.parametrize("changed", [Captions(max_captions=1), Captions(email="keep"), Captions(email="quarantine")])
def test_another_choice_gives_what_a_fresh_run_gives(tmp_path: Path, changed: Captions) -> None:
    cleaned(tmp_path / "out")
    again, rows = cleaned(tmp_path / "out", changed)
    fresh, expected = cleaned(tmp_path / "fresh", changed)
    assert rows == expected
    assert again.summary["captions"] == fresh.summary["captions"]


def test_every_format_has_the_captions(tmp_path: Path) -> None:
    recipe = Recipe(preset="fast", keep=Keep(policy="first"), output=Output(formats=("parquet", "webdataset")))
    dedupkit.clean(SAMPLES, tmp_path / "out", recipe=recipe)
    (table,) = (pq.read_table(path) for path in (tmp_path / "out/parquet").glob("*.parquet"))
    assert table["captions"].to_pylist()[0] == ["A frog.", "Green frog, write to"]
    with tarfile.open(tmp_path / "out/webdataset/00000.tar") as tar:
        member = tar.extractfile("frog.json")
        assert member is not None
        assert json.load(member)["captions"] == ["A frog.", "Green frog, write to"]
