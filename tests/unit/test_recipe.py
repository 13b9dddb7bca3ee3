"""Recipes: round trips through TOML, and errors that name the option."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.errors import UsageError
from dedupkit.recipe import Fingerprints, Keep, Limits, Matching, Output, Recipe, SourceOptions, policy_name

if TYPE_CHECKING:
    from pathlib import Path

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]))
positive = st.integers(1, 2**62)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    formats = draw(st.permutations(["arrow", "parquet", "webdataset"]))[: draw(st.integers(1, 3))]
    matched_by, widest = draw(st.sampled_from([("pdq", 63), ("phash", 15)]))
    values: dict[str, Any] = {
        "seed": draw(st.integers(-(2**62), 2**62)),
        "source": SourceOptions(image_column=draw(texts), caption_column=draw(texts), key_column=draw(texts)),
        "limits": Limits(max_pixels=draw(positive), max_bytes=draw(positive)),
        "fingerprints": Fingerprints(draft=draw(st.booleans()), max_frame_range=draw(st.integers(0, 255))),
        "matching": Matching.model_validate(
            {
                "hash": matched_by,
                "max_hamming_bits": draw(st.just("auto") | st.integers(0, widest)),
                "turned": draw(st.booleans()),
                "min_pdq_quality": draw(st.integers(0, 100)),
                "min_luminance_entropy": draw(st.floats(0, 5)),
            }
        ),
        "keep": Keep(policy=draw(st.sampled_from(["best", "first", "last"])), max_copies=draw(positive)),
        "output": Output.model_validate({"formats": formats}),
    }
    return Recipe(**values)


def longest_key(candidate: Any) -> int:
    return len(candidate.key)


@settings(deadline=None)
@given(recipes())
def test_a_recipe_is_read_as_it_was_written(recipe: Recipe) -> None:
    assert Recipe.loads(recipe.dumps()) == recipe
    assert Recipe.loads(recipe.dumps({"dedupkit": "1.0"})) == recipe


def test_the_default_recipe_writes_every_option_out() -> None:
    written = tomllib.loads(Recipe().dumps())
    assert Recipe.loads(Recipe().dumps()) == Recipe.loads("") == Recipe()
    assert written["matching"] == {
        "hash": "pdq",
        "max_hamming_bits": "auto",
        "turned": True,
        "min_pdq_quality": 50,
        "min_luminance_entropy": 2.1,
        "min_cosine": 0.5,
        "sure_cosine": 0.6,
        "max_neighbours": 32,
        "verify": "geometry",
        "min_score": 0.5,
        "look_alikes": "report",
        "min_look_alike_cosine": 0.75,
    }
    assert written["keep"] == {"policy": "best", "max_copies": 1}
    assert written["output"] == {"formats": ["arrow"]}


def test_a_recipe_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("seed = 7\n[keep]\nmax_copies = 2\n", encoding="utf-8")
    assert Recipe.load(path) == Recipe(seed=7, keep=Keep(max_copies=2))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("sed = 1", ["sed"]),
        ("[keeps]\nmax_copies = 2", ["keeps"]),
        ("[keep]\nmax_copy = 2", ["keep.max_copy"]),
        ("[matching]\nhash = 'dhash'", ["matching.hash", "dhash"]),
        ("[matching]\nmax_hamming_bits = 64", ["matching.max_hamming_bits", "[0, 63]", "64"]),
        ("[matching]\nmax_hamming_bits = -1", ["matching.max_hamming_bits", "-1"]),
        ("[matching]\nmax_hamming_bits = 'wide'", ["matching.max_hamming_bits", "wide"]),
        ("[matching]\nmax_hamming_bits = 3.5", ["matching.max_hamming_bits", "3.5"]),
        ("[matching]\nmin_pdq_quality = 101", ["matching.min_pdq_quality", "100", "101"]),
        ("[matching]\nmin_luminance_entropy = 5.5", ["matching.min_luminance_entropy", "5.5"]),
        ("[matching]\nmin_luminance_entropy = nan", ["matching.min_luminance_entropy"]),
        ("[matching]\nturned = 'sideways'", ["matching.turned", "sideways"]),
        ("[keep]\nmax_copies = 0", ["keep.max_copies", "1", "0"]),
        ("[keep]\npolicy = 'largest'", ["keep.policy", "largest"]),
        ("[limits]\nmax_pixels = 0", ["limits.max_pixels"]),
        ("[limits]\nmax_bytes = [1]", ["limits.max_bytes"]),
        ("[fingerprints]\nmax_frame_range = 256", ["fingerprints.max_frame_range", "255", "256"]),
        ("[output]\nformats = []", ["output.formats", "at least one"]),
        ("[output]\nformats = ['arrow', 'arrow']", ["output.formats"]),
        ("[output]\nformats = ['csv']", ["output.formats", "csv"]),
        ("keep = 3", ["keep", "3"]),
        ("seed = 'x\\ny'", ["seed"]),
        ("preset = 'slow'", ["preset", "slow"]),
        ("seed = 1\n[keep]\nmax_copies = 0\n[limits]\nmax_bytes = 0", ["keep.max_copies", "limits.max_bytes"]),
        ("seed = = 1", ["not TOML"]),
        ("[keep]\n[keep]", ["not TOML"]),
    ],
)
def test_a_wrong_option_is_named_in_one_line(text: str, names: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        Recipe.loads(text, name="mine.toml")
    message = str(caught.value)
    assert message.startswith("mine.toml")
    assert "\n" not in message
    for name in names:
        assert name in message


def test_a_message_shows_the_options_own_name_and_not_the_validators() -> None:
    for text in ("[matching]\nmax_hamming_bits = 'wide'", "[keep]\npolicy = 'largest'"):
        with pytest.raises(UsageError) as caught:
            Recipe.loads(text)
        for inner in ("literal[", "callable", "function-"):
            assert inner not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"seed = = 1"])
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"recipe\.toml") as caught:
        Recipe.load(path)
    assert "\n" not in str(caught.value)


def test_a_recipe_cannot_be_changed_but_copied_with_changes() -> None:
    recipe = Recipe()
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 3
    assert recipe.model_copy(update={"seed": 3}).seed == 3
    assert recipe.seed == 0


def test_a_policy_that_is_code_is_named_and_not_stored() -> None:
    recipe = Recipe(keep=Keep(policy=longest_key))
    assert recipe.keep.policy is longest_key
    written = tomllib.loads(recipe.dumps())["keep"]["policy"]
    assert written == policy_name(longest_key) == f"{__name__}:longest_key"
    with pytest.raises(UsageError, match=r"keep\.policy"):
        Recipe.loads(recipe.dumps())
    assert policy_name("last") == "last"
