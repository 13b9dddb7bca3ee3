"""What holds for marks made by hand, on whatever set, groups and marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.grouping.by_hand import PLACED, UNUSABLE, ByHand
from dedupkit.grouping.stage import decide
from dedupkit.matching.stage import match
from dedupkit.recipe import Keep, Matching
from dedupkit.review.overrides import Overrides
from tests.property.test_decisions import Rows, cuts, decided, seeds, set_of, shards_of

if TYPE_CHECKING:
    from collections.abc import Sequence

ACTIONS = ("keep", "drop", "keep_group")
actions = st.lists(st.sampled_from([None, None, None, *ACTIONS]), min_size=48, max_size=48)


def marks_of(rows: Rows, chosen: Sequence[str | None]) -> list[dict[str, str]]:
    pairs = zip(rows, chosen, strict=False)
    return [{"key": row["key"], "action": action, "note": f"n {row['key']}"} for row, action in pairs if action]


def reviewed(shards: list[pa.Table], marks: list[dict[str, str]], keep: Keep) -> Rows:
    """Decisions with marks; keys of these sets are unique, so that places are looked up by hand."""

    def read(number: int, columns: Sequence[str]) -> pa.Table:
        return shards[number].select(columns)

    said = {row["key"]: row for row in Overrides.of(marks).marks.to_pylist()}
    rows = [row for shard in shards for row in shard.select(["position", "key"]).to_pylist()]
    placed = [said[row["key"]] | {"position": row["position"]} for row in rows if row["key"] in said]
    table = pa.Table.from_pylist([{name: row[name] for name in PLACED.names} for row in placed], schema=PLACED)
    by_hand = ByHand(table, table["position"].to_numpy()[:0])
    pairs = match(shards, Matching())
    return [row for each in decide(read, len(shards), pairs, keep, by_hand=by_hand) for row in each.to_pylist()]


@settings(max_examples=15, deadline=None)
@given(seeds, cuts, actions, st.sampled_from([1, 2, "all"]), st.randoms(use_true_random=False))
def test_marks_are_obeyed_counts_add_up_and_every_drop_names_a_kept_one_or_is_by_hand(
    seed: int, edges: list[int], chosen: list[str | None], max_copies: Any, shuffled: Any
) -> None:
    rows, keep = set_of(seed, 8), Keep(max_copies=max_copies)
    shards, marks = shards_of(rows, edges), marks_of(rows, chosen)
    before = {row["key"]: row for row in decided(shards, Matching(), keep)}
    found = reviewed(shards, marks, keep)
    after = {row["key"]: row for row in found}
    assert list(after) == [row["key"] for row in rows]
    said = {row["key"]: row["action"] for row in marks}
    undone = {before[key]["group"] for key, action in said.items() if action == "keep_group"} - {None}
    kept = {key for key, row in after.items() if row["action"] == "keep"}
    for key, row in after.items():
        fault, wanted = before[key]["reason"] if before[key]["action"] == "quarantine" else None, said.get(key)
        if wanted == "drop":
            assert (row["reason"], row["kept_key"], row["detail"]) == ("dropped_by_hand", None, f"n {key}")
        elif fault in UNUSABLE:
            assert row["reason"] == fault
        elif wanted == "keep" or before[key]["group"] in undone:
            assert row["reason"] == "kept_by_hand"
            assert wanted != "keep" or row["detail"] == f"n {key}"
        if row["action"] == "drop" and wanted != "drop":
            assert row["kept_key"] in kept
        assert (row["copies_kept"] is None) == (row["action"] != "keep")
    stars: dict[tuple[int, int], list[int]] = {}
    for row in found:
        if row["action"] == "keep" and row["group"] is not None:
            stars.setdefault((row["group"], row["copies_kept"]), []).append(row["copy"])
    for (_, size), copies in stars.items():  # each picture's copies are numbered from 0, so weights add up to one
        assert sorted(copies) == sorted(list(range(size)) * (len(copies) // size))
    shuffled.shuffle(marks)
    assert reviewed(shards, marks, keep) == found


@settings(max_examples=12, deadline=None)
@given(seeds, cuts, actions)
def test_a_group_keeps_somebody_unless_all_of_it_is_dropped_and_no_copy_appears_twice(
    seed: int, edges: list[int], chosen: list[str | None]
) -> None:
    rows = set_of(seed, 8)
    shards = shards_of(rows, edges)
    marks = [row for row in marks_of(rows, chosen) if row["action"] == "drop"]
    before, found = decided(shards, Matching(), Keep()), reviewed(shards, marks, Keep())
    dropped = {row["key"] for row in marks}
    names = {row["key"]: row for row in found}
    for row in before:  # who was dropped for a representative that is left names it or another that it has a pair with
        star = [each["key"] for each in before if each["kept_key"] == row["key"]] + [row["key"]]
        if row["reason"] != "representative":
            continue
        left = [key for key in star if key not in dropped]
        stand = {names[key]["kept_key"] or key for key in left}
        assert all(names[key]["action"] == "keep" for key in stand)
        fresh = [key for key in left if names[key]["action"] == "keep"]
        assert len(fresh) <= 1
        assert fresh == [row["key"]] or row["key"] in dropped
    unmarked = [row for row in before if row["action"] == "keep" and row["key"] not in dropped]
    assert all(names[row["key"]]["action"] == "keep" for row in unmarked)


@settings(max_examples=5, deadline=None)
@given(seeds, cuts)
def test_without_marks_nothing_changes(seed: int, edges: list[int]) -> None:
    shards = shards_of(set_of(seed, 8), edges)
    assert reviewed(shards, [], Keep()) == decided(shards, Matching(), Keep())
