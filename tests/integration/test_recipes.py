"""The recipes of the package and the commands of `dedupkit recipe`, through the real command line."""

from __future__ import annotations

import io
import json
import re
import tarfile
import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from PIL import Image

import dedupkit as library
from dedupkit import recipes
from dedupkit.demo import example_images
from dedupkit.errors import UsageError
from dedupkit.options import resolve_recipe
from dedupkit.recipe import Recipe
from dedupkit.recipe_options import options
from tests.conftest import draw_picture
from tests.integration.conftest import encoded
from tests.integration.test_cli import dedupkit

if TYPE_CHECKING:
    from pathlib import Path

PHOTOS = ("astronaut", "chelsea", "coffee", "motorcycle-left", "rocket")
NAMES = ("finetune", "pretraining", "privacy", "publishable")


def photo(name: str) -> bytes:
    """A photo of those that come with the package."""
    return (example_images() / f"photo-{name}.jpg").read_bytes()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tar of five photos and an equal copy, a small one and one whose caption holds an address."""
    folder = tmp_path_factory.mktemp("set")
    with tarfile.open(folder / "0.tar", "w") as tar:
        pictures = [photo(name) for name in PHOTOS]
        for number, picture in enumerate([*pictures, pictures[0], encoded(draw_picture(9, 40, 30))]):
            caption = "write to ada@example.org" if number == 1 else f"a picture of number {number}"
            meta = json.dumps({"url": f"https://example.org/{number}", "exif": "{}"})
            for ending, data in (("jpg", picture), ("txt", caption.encode()), ("json", meta.encode())):
                member = tarfile.TarInfo(f"{number:04d}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return folder


def test_the_recipes_are_those_of_the_docs() -> None:
    assert tuple(recipes.names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_choice_of_a_recipe_says_why(name: str) -> None:
    lines = files("dedupkit.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8").splitlines()
    choices = [line for line in lines if re.match(r"\w+ = ", line)]
    assert choices
    assert [line for line in choices if not re.search(r"  # \S.{10,}$", line)] == []
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_cleans_a_set(name: str, shards: Path, tmp_path: Path) -> None:
    done = dedupkit("clean", shards, tmp_path / "out", "--recipe", name, "--workers", 1, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    small = 0 if name in ("privacy", "publishable") else 1
    assert summary["samples"] == {"in": 7, "kept": 6 - small, "dropped": 1, "quarantined": small}
    assert summary["reasons"]["exact_duplicate"] == 1
    assert Recipe.load(tmp_path / "out" / "recipe.toml") == Recipe.load(name)


def test_privacy_leaves_no_address_no_url_and_no_pixel_as_it_was(shards: Path, tmp_path: Path) -> None:
    library.clean(str(shards), tmp_path / "out", recipe="privacy", workers=1)
    rows = list(library.cleaning.Result(str(tmp_path / "out"), {}).dataset())
    assert len(rows) == 6
    assert not {"url", "exif"} & set(rows[0])
    assert "ada@" not in json.dumps([row["caption"] for row in rows])
    before = {Image.open(io.BytesIO(photo(name))).tobytes() for name in PHOTOS}
    assert not before & {row["image"].tobytes() for row in rows}


def test_publishable_is_parquet_with_the_images_as_they_came(shards: Path, tmp_path: Path) -> None:
    library.clean(str(shards), tmp_path / "out", recipe="publishable", workers=1)
    (file,) = sorted((tmp_path / "out" / "parquet").rglob("*.parquet"))
    images = {row["key"]: row["image"]["bytes"] for row in pq.read_table(file).to_pylist()}
    assert images["0003"] == photo(PHOTOS[3])


def test_a_file_goes_before_a_recipe_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "privacy").write_text("seed = 9")
    monkeypatch.chdir(tmp_path)
    assert resolve_recipe("privacy").seed == 9
    assert resolve_recipe("finetune").hygiene.min_side == 256


def test_a_wrong_name_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one of finetune, pretraining, privacy, publishable"):
        resolve_recipe("finetuned")
    done = dedupkit("clean", "photos", "out", "--recipe", "finetuned", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "one of finetune, pretraining, privacy, publishable" in done.stderr


def test_init_writes_the_recipe_and_never_over_a_file(tmp_path: Path) -> None:
    assert dedupkit("recipe", "init", "finetune", cwd=tmp_path).returncode == 0
    written = (tmp_path / "recipe.toml").read_text(encoding="utf-8")
    assert written == files("dedupkit.recipes").joinpath("finetune.toml").read_text(encoding="utf-8")
    again = dedupkit("recipe", "init", "privacy", cwd=tmp_path)
    assert again.returncode == 2
    assert "recipe.toml exists" in again.stderr
    assert (tmp_path / "recipe.toml").read_text(encoding="utf-8") == written
    assert "one of finetune" in dedupkit("recipe", "init", "fast", "--out", "new.toml", cwd=tmp_path).stderr
    assert dedupkit("recipe", "init", "--out", "no/such/file", cwd=tmp_path).returncode == 2


def test_the_default_recipe_as_a_file_has_every_option_and_changes_nothing(tmp_path: Path) -> None:
    assert dedupkit("recipe", "init", "--out", "all.toml", cwd=tmp_path).returncode == 0
    text = (tmp_path / "all.toml").read_text(encoding="utf-8")
    assert Recipe.loads(text) == Recipe()
    assert not any(Recipe.loads(text).matching.model_fields_set)  # lists without images have defaults of their own
    alive = tomllib.loads(
        "\n".join(line.removeprefix("# ") for line in text.splitlines() if re.match(r"(# \w+ = [^ ]|\[)", line))
    )
    assert alive["matching"]["hash"] == "pdq"
    assert Recipe.of(alive) == Recipe()
    assert {line.split()[1] for line in text.splitlines() if re.match(r"# \w+ =", line)} == {o.name for o in options()}


def test_check_says_what_differs(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[keep]\nmax_copies = 2\n[matching]\nhash = 'pdq'\n")
    done = dedupkit("recipe", "check", "mine.toml", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "mine.toml is right; 1 option differs from the default",
        "  keep.max_copies = 2  (default: 1)",
    ]


def test_check_names_every_error_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(
        "[keep]\nmax_copies = 0\n[matching]\nmax_haming_bits = 3\nmin_cosine = 7\n[mathcing]\n[output]\nhash = 'pdq'\n"
    )
    done = dedupkit("recipe", "check", "bad.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 5
    for option, remedy in {
        "keep.max_copies": 'it takes integer or "all", 1 or more',
        "matching.min_cosine": "it takes number, 0 to 1",
        "matching.max_haming_bits": "did you mean matching.max_hamming_bits?",
        "mathcing": "did you mean matching?",
        "output.hash": "did you mean matching.hash?",
    }.items():
        assert [line for line in lines if option in line and line.endswith(remedy)] != [], (option, lines)
    (tmp_path / "worse.toml").write_text("[keep")
    assert "not TOML" in dedupkit("recipe", "check", "worse.toml", cwd=tmp_path).stderr


def test_explain_tells_every_option(tmp_path: Path) -> None:
    told = dedupkit("recipe", "explain", "privacy", cwd=tmp_path).stdout
    assert '  look_alikes = "drop"  (default: "report")' in told
    assert "  max_copies = 1  (the default)" in told
    assert "How many members of a group stay." in " ".join(told.split())
    assert all(f"  {option.name} = " in told for option in options())
    assert all(option.meaning for option in options())
    assert dedupkit("recipe", "explain", cwd=tmp_path).stdout.count("(default:") == 0
