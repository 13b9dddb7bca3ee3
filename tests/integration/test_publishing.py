"""The card beside an emitted set, in the hands of the libraries that read it."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

import datasets
import pytest
from huggingface_hub import DatasetCard

import dedupkit
from dedupkit.publishing import croissant
from dedupkit.recipe import Recipe
from tests.conftest import draw_picture
from tests.integration.conftest import write_shards

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Planted

CARD = {
    "title": "Drawn *pictures*",
    "license": "CC-BY-4.0",
    "languages": ("en",),
    "homepage": "https://example.org/drawn",
    "creators": ("Ada Example",),
    "citation": "@misc{drawn,\n title = {Drawn}\n}",
    "contact": "takedown@example.org",
    "published": "2026-11-30",
}
RECIPE = {
    "preset": "fast",
    "card": CARD,
    "output": {"formats": ("arrow", "parquet", "webdataset", "mds")},
    "matching": {"max_hamming_bits": 20},
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_shards(tmp_path_factory.mktemp("source") / "private-folder" / "shards", shards=2, pictures=8)


@pytest.fixture(scope="module")
def out(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "out"
    dedupkit.clean(planted.folder, out, recipe=Recipe.of(RECIPE))
    return out


def text_of(out: Path, folder: str = "parquet") -> str:
    return (out / folder / "README.md").read_text(encoding="utf-8")


def test_the_hub_reads_the_header(out: Path) -> None:
    card = DatasetCard.load(out / "parquet/README.md", ignore_metadata_errors=False)
    data = card.data
    assert (data.license, data.language, data.pretty_name) == ("cc-by-4.0", ["en"], "Drawn *pictures*")
    assert data.size_categories == ["n<1K"]
    assert data.task_categories == ["text-to-image"]
    assert "dedupkit" in data.tags
    assert "# Drawn \\*pictures\\*" in card.text


@pytest.mark.parametrize("folder", ["parquet", "webdataset"])
def test_the_folder_is_loaded_as_a_repository_is(out: Path, folder: str, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(out / folder), cache_dir=str(tmp_path))
    assert list(loaded) == ["train"]
    report = json.loads((out / "report.json").read_text())
    assert len(loaded["train"]) == report["samples"]["kept"]
    image = (
        "image" if folder == "parquet" else next(name for name in ("jpg", "png") if name in loaded["train"].features)
    )
    assert isinstance(loaded["train"].features[image], datasets.Image)
    assert loaded["train"][0][image].size == (320, 240)


def test_what_the_header_says_of_the_split_is_what_lies_there(out: Path, tmp_path: Path) -> None:
    told = DatasetCard.load(out / "parquet/README.md").data.to_dict()["dataset_info"]
    loaded = datasets.load_dataset(str(out / "parquet"), split="train", cache_dir=str(tmp_path))
    assert told["splits"][0]["num_examples"] == len(loaded)
    assert told["download_size"] == sum(path.stat().st_size for path in (out / "parquet").glob("*.parquet"))
    assert [each["name"] for each in told["features"]] == list(loaded.features)
    assert loaded.info.features == loaded.features


def test_every_reason_stands_in_the_table_with_its_count(out: Path) -> None:
    report = json.loads((out / "report.json").read_text())
    rows = re.findall(r"^\| (dropped|quarantined) \| ([^|]+) \| ([\d,]+) \|", text_of(out), re.M)
    assert sum(int(count) for _, _, count in rows) == report["samples"]["dropped"] + report["samples"]["quarantined"]
    told = {count for reason, count in report["reasons"].items() if count}
    assert {int(count) for _, _, count in rows} <= told


def test_the_source_is_named_without_the_folders_above_it(out: Path) -> None:
    for folder in ("dataset", "parquet", "webdataset", "mds"):
        assert "- Source: shards\n" in text_of(out, folder)
        assert "private-folder" not in text_of(out, folder)


def test_the_recipe_in_the_card_is_toml_of_what_differs(out: Path) -> None:
    shown = re.search(r"```toml\n(.*?)```", text_of(out), re.S)
    assert shown is not None
    assert tomllib.loads(shown[1]) == {"preset": "fast", "seed": 0, "matching": {"max_hamming_bits": 20}}


def test_equal_runs_give_equal_cards(planted: Planted, out: Path, tmp_path: Path) -> None:
    dedupkit.clean(planted.folder, tmp_path / "again", recipe=Recipe.of(RECIPE))
    for path in [*out.glob("*/README.md"), *out.glob("*/croissant.json")]:
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(out)).read_bytes()


def test_markup_of_strangers_is_shown_and_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "<script>alert(1)<script> [x](javascript:y) --- `|"
    folder.mkdir()
    draw_picture(1).save(folder / "a.jpg")
    title = '"><img src=x>\n---\nlicense: mit'
    dedupkit.clean(folder, tmp_path / "out", recipe=Recipe.of({"preset": "fast", "card": {"title": title}}))
    card = DatasetCard.load(tmp_path / "out/dataset/README.md")
    assert card.data.license is None
    assert card.data.pretty_name == title
    assert "<script" not in card.text
    assert "<img" not in card.text
    assert "](javascript" not in card.text


def test_of_canaries_the_card_says_the_commitment_alone(planted: Planted, tmp_path: Path) -> None:
    recipe = {"preset": "fast", "canaries": {"planted": 3, "controls": 3}, "output": {"formats": ("parquet",)}}
    result = dedupkit.clean(planted.folder, tmp_path / "out", recipe=Recipe.of(recipe))
    text = text_of(tmp_path / "out")
    assert result.summary["canary_commitment"] in text
    manifest = json.loads((tmp_path / "out.canaries.private.json").read_text())
    for canary in manifest["canaries"]:
        assert canary["caption"] not in text
    assert "manifest" not in text


def test_a_removal_writes_the_cards_anew(planted: Planted, tmp_path: Path) -> None:
    result = dedupkit.clean(planted.folder, tmp_path / "out", recipe=Recipe.of(RECIPE))
    before = result.summary["samples"]["kept"]
    removed = dedupkit.remove(tmp_path / "out", keys=[result.dataset()[0]["key"]])
    left = before - len(removed.keys)
    for folder in ("dataset", "parquet", "webdataset", "mds"):
        assert f"\n{left} images with captions" in text_of(tmp_path / "out", folder)
    loaded = datasets.load_dataset(str(tmp_path / "out/parquet"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == left < before
    assert "Blocked" in text_of(tmp_path / "out")


def test_parts_of_which_nothing_is_kept_are_loaded_with_the_others(tmp_path: Path) -> None:
    planted = write_shards(tmp_path / "shards", shards=1, pictures=8)
    first = planted.folder / "00000.tar"
    (planted.folder / "00001.tar").write_bytes(first.read_bytes())
    result = dedupkit.clean(planted.folder, tmp_path / "out", recipe=Recipe.of(RECIPE | {"keep": {"policy": "first"}}))
    assert len(list((tmp_path / "out/parquet").glob("data-*.parquet"))) == 2
    loaded = datasets.load_dataset(str(tmp_path / "out/parquet"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == result.summary["samples"]["kept"]


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ('license = "cc-by-9"', "the licences that the Hub knows"),
        ('license = "other"', "license_link"),
        ('languages = ["English"]', '"en"'),
        ('homepage = "javascript:alert(1)"', "https://"),
        ('published = "soon"', "2026-11-30"),
        ("croissant = true", "add parquet to formats"),
    ],
)
def test_a_wrong_card_ends_in_one_line_before_anything_is_written(
    planted: Planted, tmp_path: Path, card: str, words: str
) -> None:
    (tmp_path / "recipe.toml").write_text(f"[card]\n{card}\n")
    with pytest.raises(dedupkit.errors.UsageError) as refused:
        dedupkit.clean(planted.folder, tmp_path / "out", recipe=tmp_path / "recipe.toml")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_without_mlcroissant_the_card_says_how_to_get_it(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(croissant, "available", lambda: False)
    dedupkit.clean(planted.folder, tmp_path / "out", recipe=Recipe.of(RECIPE))
    assert not (tmp_path / "out/parquet/croissant.json").exists()
    assert "pip install 'dedupkit[croissant]'" in text_of(tmp_path / "out")
    asked: dict[str, Any] = RECIPE | {"card": {"croissant": True}}
    with pytest.raises(dedupkit.errors.UsageError, match=r"pip install 'dedupkit\[croissant\]'"):
        dedupkit.clean(planted.folder, tmp_path / "other", recipe=Recipe.of(asked))
    assert not (tmp_path / "other").exists()
