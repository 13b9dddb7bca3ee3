"""Captions over a set, against brute force in plain Python."""

from __future__ import annotations

import string
import unicodedata
from collections import defaultdict
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.errors import UsageError
from dedupkit.mitigation.captions import REPEATED, merged_captions, normal_forms, repeated_captions, rewritten
from dedupkit.recipe import Captions

SOME = (
    "A frog.",
    "a  frog",
    "A FROG!",
    "a hen",
    "A hen,",
    "hen",
    "",
    " ",
    "...",
    "\u00c9t\u00e9",
    "e\u0301te\u0301",
    None,
)
COUNT = 8


def normal(caption: str | None) -> str:
    """Words in lower case, by the standard library."""
    folded = unicodedata.normalize("NFKC", caption or "").lower()
    return " ".join("".join(each if each not in string.punctuation else " " for each in folded).split())


def column(values: list[Any], kind: pa.DataType | None = None, cut: int = 3) -> pa.ChunkedArray:
    kind = kind or pa.string()
    return pa.chunked_array([pa.array(each, kind) for each in (values[:cut], values[cut:])], kind)


def decisions(*rows: tuple[str, str, str, str | None]) -> pa.Table:
    names = ("key", "action", "reason", "kept_key")
    return pa.table({name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(names)})


@given(st.lists(st.sampled_from(SOME)))
def test_normal_forms_are_the_words(captions: list[str | None]) -> None:
    assert normal_forms(column(captions, pa.string())).to_pylist() == [normal(each) or None for each in captions]


@given(st.lists(st.tuples(st.sampled_from(SOME), st.none() | st.integers(0, 2)), max_size=30), st.integers(1, 4))
def test_repeated_captions_are_those_of_brute_force(rows: list[tuple[str | None, int | None]], least: int) -> None:
    pictures: dict[str, set[tuple[str, int]]] = defaultdict(set)
    samples: dict[str, int] = defaultdict(int)
    first: dict[str, str | None] = {}
    for place, (caption, group) in enumerate(rows):
        if form := normal(caption):
            pictures[form].add(("group", group) if group is not None else ("alone", place))
            samples[form] += 1
            first.setdefault(form, caption)
    expected = [
        {"caption": first[form], "normal_form": form, "pictures": len(pictures[form]), "samples": samples[form]}
        for form in sorted(first, key=lambda form: -len(pictures[form]))
        if len(pictures[form]) >= least
    ]
    captions = column([caption for caption, _ in rows], pa.string())
    found = repeated_captions(captions, column([group for _, group in rows], pa.uint64(), 7), min_repeats=least)
    assert found.schema == REPEATED
    assert found.to_pylist() == expected


def test_without_groups_every_sample_is_a_picture() -> None:
    found = repeated_captions(column(["A frog.", "a frog", "frog", None]))
    assert found.to_pylist() == [{"caption": "A frog.", "normal_form": "a frog", "pictures": 2, "samples": 2}]


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(UsageError, match="got 1 for 2; take both from the same rows"):
        repeated_captions(column(["a", "b"]), pa.chunked_array([[1]]))


def test_a_kept_sample_has_its_own_caption_first_then_those_of_its_copies() -> None:
    table = decisions(
        ("a", "drop", "exact_duplicate", "c"),
        ("b", "keep", "unique", None),
        ("c", "keep", "representative", None),
        ("d", "drop", "geometric_duplicate", "c"),
        ("e", "keep", "spare_copy", None),
        ("f", "drop", "look_alike", "c"),
        ("g", "drop", "blocked", None),
        ("h", "quarantine", "blank", None),
        ("i", "drop", "perceptual_duplicate", "c"),
    )
    captions = column(["first", "alone", "Own", "own.", "spare", "other picture", "blocked", "blank", "last"])
    merged = merged_captions(table, captions, 20)
    assert merged["captions"].to_pylist() == [
        None, ["alone"], ["Own", "first", "last"], None, ["spare"], None, None, None, None,
    ]  # fmt: skip
    assert merged["left_out"].to_pylist() == [0] * 9
    fewer = merged_captions(table, captions, 2)
    assert fewer["captions"].to_pylist()[2] == ["Own", "first"]
    assert fewer["left_out"].to_pylist() == [0, 0, 1, 0, 0, 0, 0, 0, 0]


def brute_force(table: pa.Table, captions: list[str | None], most: int) -> list[list[str | None] | None]:
    rows = list(zip(table.to_pylist(), captions, strict=True))
    found: list[list[str | None] | None] = []
    for row, own in rows:
        known = [own, *(caption for other, caption in rows if other["kept_key"] == row["key"])]
        kept = {normal(caption): caption for caption in reversed(known) if normal(caption)}
        ordered = sorted(kept.values(), key=known.index)
        found.append(ordered[:most] if row["action"] == "keep" else None)
    return found


@settings(deadline=None)
@given(st.data(), st.integers(1, 4))
def test_merged_captions_are_those_of_brute_force(data: st.DataObject, most: int) -> None:
    keys = [f"k{place}" for place in data.draw(st.permutations(range(COUNT)))]
    kept = sorted(data.draw(st.sets(st.integers(0, COUNT - 1), min_size=1)))
    names = [data.draw(st.sampled_from(kept)) for _ in keys]
    table = decisions(
        *(
            (key, "keep", "representative", None) if place in kept else (key, "drop", "exact_duplicate", keys[name])
            for place, (key, name) in enumerate(zip(keys, names, strict=True))
        )
    )
    captions = [data.draw(st.sampled_from(SOME)) for _ in keys]
    merged = merged_captions(table, column(captions, pa.string()), most)
    everything = merged_captions(table, column(captions, pa.string(), 5), COUNT)
    assert merged["captions"].to_pylist() == brute_force(table, captions, most)
    sizes = [len(each or ()) for each in everything["captions"].to_pylist()]
    assert [size - min(size, most) for size in sizes] == merged["left_out"].to_pylist()


def test_nothing_at_all_is_merged() -> None:
    merged = merged_captions(decisions(), pa.chunked_array([], pa.string()), 3)
    assert merged.num_rows == 0
    assert repeated_captions(pa.chunked_array([], pa.string())).num_rows == 0


def test_lists_longer_than_a_chunk_hang_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedupkit.mitigation.captions._CHUNK", 3)
    table = decisions(*((f"k{place}", "keep", "unique", None) for place in range(8)))
    merged = merged_captions(table, column([f"caption {place}" for place in range(8)]), 3)
    assert merged["captions"].num_chunks == 3
    assert merged["captions"].to_pylist() == [[f"caption {place}"] for place in range(8)]


@pytest.mark.parametrize(
    ("captions", "most", "message"),
    [(["a"], 0, "max_captions must be 1 or more, got 0"), (["a", "b"], 1, "got 2 for 1; take both of the same shards")],
)
def test_wrong_arguments_are_refused(captions: list[str], most: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        merged_captions(decisions(("a", "keep", "unique", None)), column(captions), most)


FACTS = {"key": pa.array(["x", "y", "z"]), "width": pa.array([64, 32, 16]), "height": pa.array([48, 24, 12])}
REPEATS = repeated_captions(column(["A frog.", "a frog", "A hen."]))


def test_repeated_captions_are_rewritten_dropped_or_left() -> None:
    captions = column(["A frog.", "A hen.", None], pa.string(), 1)
    template = Captions(repeated="template", template="{key}: {caption} ({width} x {height})")
    for options, expected in (
        (Captions(), ["A frog.", "A hen.", None]),
        (Captions(repeated="drop_caption"), [None, "A hen.", None]),
        (template, ["x: A frog. (64 x 48)", "A hen.", None]),
    ):
        assert rewritten(captions, REPEATS, options, FACTS).to_pylist() == expected


def test_lists_of_captions_are_rewritten_too() -> None:
    captions = column([["A hen.", "a frog"], None, ["A FROG"]], pa.list_(pa.string()), 1)
    template = Captions(repeated="template", template="{caption} {width}")
    for options, expected in (
        (Captions(repeated="drop_caption"), [["A hen."], None, []]),
        (template, [["A hen.", "a frog 64"], None, ["A FROG 16"]]),
    ):
        found = rewritten(captions, REPEATS, options, FACTS)
        assert found.to_pylist() == expected
        assert found.type == captions.type


@pytest.mark.parametrize(
    "template", ["{caption}", "a picture", "{caption.x} {key}", "{key!r}", "{width:d}", "{", "{0}"]
)
def test_a_template_that_cannot_be_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"must hold|encountered|expected"):
        Captions(template=template)


def test_braces_in_captions_are_text() -> None:
    repeats = repeated_captions(column(["{key} {x}", "{key} {x}"]))
    options = Captions(repeated="template", template="{caption} {key}")
    assert rewritten(
        column(["{key} {x}"]), repeats, options, {name: each[:1] for name, each in FACTS.items()}
    ).to_pylist() == ["{key} {x} x"]
