"""Marks on groups drawn by hand: who follows a representative that was dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from dedupkit.grouping.by_hand import PLACED, ByHand, Undone, counted, rows_of
from dedupkit.grouping.stage import decide
from dedupkit.recipe import Keep
from dedupkit.sample import FINGERPRINTS, PAIRS

if TYPE_CHECKING:
    from collections.abc import Sequence


def reviewed(
    pairs: Sequence[tuple[int, int]],
    count: int = 5,
    *,
    exact: Sequence[tuple[int, int]] = (),
    notes: dict[int, str] | None = None,
    faults: dict[int, str] | None = None,
    refused: Sequence[int] = (),
    **marks: Sequence[int],
) -> dict[str, dict[str, Any]]:
    """Decisions about samples "0", "1" ..., earlier ones rather kept, with marks at some of them."""
    rows: list[dict[str, Any]] = [
        dict.fromkeys(FINGERPRINTS.names) | {"position": number, "key": str(number), "shard": "s", "notes": []}
        for number in range(count)
    ]
    for number, fault in (faults or {}).items():
        rows[number] |= {"fault": fault, "fault_detail": f"said of {number}"}
    table = pa.Table.from_pylist(rows, schema=FINGERPRINTS)
    found = [{"a": a, "b": b, "tier": "exact"} for a, b in exact]
    found += [
        {"a": a, "b": b, "tier": "perceptual", "hamming_bits": b, "orientation": "as is", "trimmed": "none"}
        for a, b in pairs
    ]
    by_hand = marked(notes or {}, refused, **marks)

    def read(_: int, columns: Sequence[str]) -> pa.Table:
        return table.select(columns)

    decisions = decide(read, 1, pa.Table.from_pylist(found, schema=PAIRS), Keep(policy="first"), by_hand=by_hand)
    return {row["key"]: row for each in decisions for row in each.to_pylist()}


def marked(notes: dict[int, str], refused: Sequence[int] = (), **marks: Sequence[int]) -> ByHand:
    """Marks at some positions, with notes at some of these."""
    said = [
        {"position": number, **{name: number in marks.get(name, ()) for name in PLACED.names[1:4]}}
        | {"note": notes.get(number)}
        for number in sorted({each for group in marks.values() for each in group})
    ]
    return ByHand(pa.Table.from_pylist(said, schema=PLACED), np.array(refused, np.uint64))


def names(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The kept sample behind each; itself, of what stays."""
    return {key: row["kept_key"] or ("gone" if row["action"] == "drop" else key) for key, row in rows.items()}


STAR = [(0, 1), (0, 2), (0, 3)]  # 1, 2 and 3 are copies of 0 and were never compared with each other


def test_the_next_best_takes_the_place_and_says_through_whom_the_others_are_its_copies() -> None:
    rows = reviewed(STAR, drop=[0])
    assert names(rows) == {"0": "gone", "1": "1", "2": "1", "3": "1", "4": "4"}
    assert rows["1"]["reason"] == "representative"
    assert rows["2"]["detail"] == "as a copy of 0, which was dropped by hand"
    assert rows["2"]["evidence"]["hamming_bits"] == 2
    assert {row["group_size"] for key, row in rows.items() if key != "4"} == {4}


def test_a_successor_that_is_dropped_too_is_passed_over() -> None:
    assert names(reviewed(STAR, drop=[0, 1])) == {"0": "gone", "1": "gone", "2": "2", "3": "2", "4": "4"}
    assert set(names(reviewed(STAR, drop=[0, 1, 2, 3])).values()) == {"gone", "4"}


def test_what_is_kept_by_hand_is_the_successor_though_others_are_better() -> None:
    rows = reviewed(STAR, drop=[0], keep=[3])
    assert names(rows) == {"0": "gone", "1": "3", "2": "3", "3": "3", "4": "4"}
    assert (rows["3"]["reason"], rows["3"]["copies_kept"]) == ("kept_by_hand", 1)


def test_a_copy_of_two_names_the_one_that_is_left() -> None:
    chain = [(0, 1), (0, 2), (2, 3)]  # 3 shares no picture with 0 and stays for itself
    assert names(reviewed(chain))["3"] == "3"
    rows = reviewed(chain, drop=[0])
    assert names(rows) == {"0": "gone", "1": "1", "2": "3", "3": "3", "4": "4"}
    assert rows["2"]["detail"] is None


def test_another_sample_of_the_same_bytes_comes_first() -> None:
    rows = reviewed([(0, 1), (0, 2)], exact=[(0, 3)], drop=[0])
    assert names(rows) == {"0": "gone", "1": "3", "2": "3", "3": "3", "4": "4"}
    rows = reviewed([(0, 1), (0, 2)], exact=[(0, 3)], drop=[0], keep=[2])
    assert names(rows) == {"0": "gone", "1": "2", "2": "2", "3": "2", "4": "4"}


def test_a_whole_group_is_undone_also_by_the_mark_of_a_copy() -> None:
    for marked in (0, 2):
        rows = reviewed([*STAR, (3, 4)], keep_group=[marked])
        assert {row["reason"] for row in rows.values()} == {"kept_by_hand"}
        assert {(row["group"], row["copies_kept"]) for row in rows.values()} == {(None, 1)}


def details(rows: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    return {key: row["detail"] for key, row in rows.items()}


def test_what_a_person_wrote_stands_beside_what_was_done_for_it() -> None:
    rows = reviewed(STAR, keep=[1], drop=[2, 4], notes={1: "ours", 2: "bad crop"})
    assert details(rows) == {"0": None, "1": "ours", "2": "bad crop", "3": None, "4": None}
    assert [row["reason"] for row in rows.values()] == [
        "representative", "kept_by_hand", "dropped_by_hand", "perceptual_duplicate", "dropped_by_hand",
    ]  # fmt: skip


def test_notes_about_a_group_stand_at_all_of_it_but_where_there_is_one_of_its_own() -> None:
    notes = {0: "a series", 2: "not the same day", 1: "this one goes"}
    rows = reviewed(STAR, keep_group=[0, 2], drop=[1], notes=notes)
    assert details(rows) == {
        "0": "a series",
        "1": "this one goes",
        "2": "not the same day",
        "3": "a series; not the same day",  # all that was said of the group, sorted
        "4": None,
    }
    assert [row["action"] for row in rows.values()] == ["keep", "drop", "keep", "keep", "keep"]


def test_a_kept_sample_without_a_note_says_what_it_would_have_been() -> None:
    rows = reviewed([], keep=[0, 1, 2], faults={0: "too_small", 1: "blank"}, notes={1: "meant to be"})
    assert details(rows) == {"0": "instead of too small", "1": "meant to be", "2": None, "3": None, "4": None}
    assert {row["reason"] for key, row in rows.items() if key < "3"} == {"kept_by_hand"}


def test_what_cannot_stay_does_not_whoever_says_so() -> None:
    faults = {0: "corrupt_image", 1: "blocked", 2: "too_small"}
    rows = reviewed([], keep=[0, 1, 2], faults=faults, refused=[1])
    assert [row["reason"] for row in rows.values()][:3] == ["corrupt_image", "blocked", "kept_by_hand"]
    assert details(rows)["0"] == "said of 0"


def test_what_is_dropped_by_hand_has_neither_evidence_nor_a_kept_one() -> None:
    rows = reviewed(STAR, drop=[1])
    assert (rows["1"]["tier"], rows["1"]["evidence"], rows["1"]["kept_key"]) == (None, None, None)
    assert (rows["2"]["tier"], rows["2"]["evidence"]["hamming_bits"], rows["2"]["kept_key"]) == ("perceptual", 2, "0")
    assert (rows["1"]["copy"], rows["1"]["copies_kept"]) == (None, None)


def test_what_became_of_the_marks_is_counted() -> None:
    by_hand = marked({}, [3], keep=[0, 3, 5], drop=[1, 6], keep_group=[2, 4])
    reasons = [
        "kept_by_hand",
        "dropped_by_hand",
        "kept_by_hand",
        "blocked",
        "unique",
        "kept_by_hand",
        "dropped_by_hand",
    ]
    decided = pa.table({"position": pa.array(range(7), pa.uint64()), "reason": reasons})
    # 3 could not stay; 4 is in no group, 2 was in one
    assert counted(by_hand, decided) == {"placed": 7, "kept": 3, "dropped": 2, "refused": 1, "alone": 1}
    assert counted(by_hand, decided.slice(4)) == {"placed": 3, "kept": 1, "dropped": 1, "refused": 0, "alone": 1}


@pytest.mark.parametrize(("shard", "rows"), [(0, [0, 1]), (1, [1 << 32, (1 << 32) + 7]), (2, []), (3, [3 << 32])])
def test_rows_of_a_shard_are_those_of_its_positions(shard: int, rows: list[int]) -> None:
    positions = [0, 1, 1 << 32, (1 << 32) + 7, 3 << 32]
    assert rows_of(pa.table({"position": pa.array(positions, pa.uint64())}), shard)["position"].to_pylist() == rows


def test_what_is_undone_has_the_same_types_whether_there_are_marks_or_none() -> None:
    positions, label = np.array([3, 4, 9], np.uint64), np.array([0, 0, 2])
    nothing = Undone.of(None, positions, label)
    some = Undone.of(marked({4: "a series"}, keep_group=[4]), positions, label)
    assert (nothing.positions.tolist(), nothing.note.tolist(), nothing.notes) == ([], [], ())
    assert (some.positions.tolist(), some.note.tolist(), some.notes) == ([3, 4], [0, 0], ("a series",))
    for each in (nothing, some):
        assert each.positions.dtype == np.uint64
        assert each.note.dtype == np.int32
