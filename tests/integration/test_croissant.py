"""Croissant metadata as its own library validates it, and records that this library reads out of the Parquet files."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import dedupkit
from dedupkit.recipe import Recipe
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from pathlib import Path

mlc: Any = pytest.importorskip("mlcroissant")

CARD = {
    "title": "Drawn",
    "license": "CC-BY-4.0",
    "languages": ("en", "de"),
    "homepage": "https://example.org/drawn",
    "creators": ("Ada Example", "Bob Example"),
    "citation": "@misc{drawn, title = {Drawn}}",
    "published": "2026-11-30",
    "version": "2.1.0",
    "croissant": True,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards with fields of many types, some with names that are no identifiers."""
    import datasets

    folder = tmp_path_factory.mktemp("source")
    for shard in range(2):
        rows = []
        for number in range(4):
            path = folder / f"{shard}-{number}.png"
            draw_picture(10 * shard + number).save(path)
            rows.append(
                {
                    "key": f"{shard}/{number}",
                    "image": {"bytes": path.read_bytes(), "path": None},
                    "caption": f"café {number}" if number else None,
                    "score": number / 4,
                    "is it?": number % 2 == 0,
                    "tags": ["a", "b"][: number % 3],
                    "box": {"x": 1, "y": 2},
                    'weird "name" {x}': number,
                }
            )
            path.unlink()
        datasets.Dataset.from_list(rows).to_parquet(folder / f"{shard}.parquet")
    return folder


@pytest.fixture(scope="module")
def published(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "out"
    recipe = Recipe.of({"preset": "fast", "card": CARD, "output": {"formats": ("parquet",)}})
    dedupkit.clean(source, out, recipe=recipe)
    return out / "parquet"


def opened(published: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries below it
        return mlc.Dataset(jsonld=published / "croissant.json")


def records_of(published: Path) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(opened(published).records("default"))


def test_the_validator_has_nothing_to_say(published: Path) -> None:
    command = [sys.executable, "-c", "from mlcroissant.scripts.cli import main; main()", "validate", "--jsonld"]
    run = subprocess.run([*command, published / "croissant.json"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "Found the following" not in run.stderr
    wrong = published.parent / "wrong.json"
    wrong.write_text((published / "croissant.json").read_text().replace("sc:ImageObject", "sc:Nonsense"))
    assert subprocess.run([*command, wrong], capture_output=True, check=False).returncode != 0


def test_the_metadata_is_what_the_recipe_says(published: Path) -> None:
    metadata = opened(published).metadata
    assert (metadata.name, metadata.version, metadata.url) == ("Drawn", "2.1.0", "https://example.org/drawn")
    assert metadata.license == ["https://spdx.org/licenses/CC-BY-4.0.html"]
    assert [person.name for person in metadata.creators] == ["Ada Example", "Bob Example"]
    assert metadata.cite_as == CARD["citation"]
    assert metadata.date_published.isoformat().startswith("2026-11-30")
    assert metadata.in_language == ["en", "de"]


def test_records_are_the_rows_of_the_files(published: Path) -> None:
    rows = [row for path in sorted(published.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    records = [
        {name.removeprefix("default/"): value for name, value in record.items()} for record in records_of(published)
    ]
    assert len(records) == len(rows) == 8
    by_key = {row["key"]: row for row in rows}
    for record in records:
        row = by_key[text(record["key"])]
        assert record["image"].size == (row["width"], row["height"])
        assert text(record["caption"]) == row["caption"]
        assert [text(each) for each in record["tags"]] == row["tags"]
        assert (record["score"], record["is_it_"], record["width"]) == (row["score"], row["is it?"], row["width"])
        assert record["weird__name___x_"] == row['weird "name" {x}']
        assert "box" not in record


def text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def test_a_card_of_which_nothing_is_said_still_gives_records(source: Path, tmp_path: Path) -> None:
    recipe = Recipe.of({"preset": "fast", "card": {"croissant": "auto"}, "output": {"formats": ("parquet",)}})
    dedupkit.clean(source, tmp_path / "out", recipe=recipe)
    assert len(records_of(tmp_path / "out/parquet")) == 8
    said = json.loads((tmp_path / "out/parquet/croissant.json").read_text())
    assert not [name for name in said if name.startswith("date")]


def test_croissant_is_left_out_where_the_recipe_says_so(source: Path, tmp_path: Path) -> None:
    recipe = Recipe.of({"preset": "fast", "card": {"croissant": False}, "output": {"formats": ("parquet",)}})
    dedupkit.clean(source, tmp_path / "out", recipe=recipe)
    assert not (tmp_path / "out/parquet/croissant.json").exists()
    assert "roissant" not in (tmp_path / "out/parquet/README.md").read_text()
