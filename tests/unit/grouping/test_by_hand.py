"""Marks on groups drawn by hand: who follows a representative that was dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.grouping.by_hand import PLACED, ByHand
from dedupkit.grouping.stage import decide
from dedupkit.recipe import Keep
from dedupkit.sample import FINGERPRINTS, PAIRS

if TYPE_CHECKING:
    from collections.abc import Sequence


def reviewed(
    pairs: Sequence[tuple[int, int]], count: int = 5, *, exact: Sequence[tuple[int, int]] = (), **marks: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Decisions about samples "0", "1" ..., earlier ones rather kept, with marks at some of them."""
    rows: list[dict[str, Any]] = [
        dict.fromkeys(FINGERPRINTS.names) | {"position": number, "key": str(number), "shard": "s", "notes": []}
        for number in range(count)
    ]
    table = pa.Table.from_pylist(rows, schema=FINGERPRINTS)
    found = [{"a": a, "b": b, "tier": "exact"} for a, b in exact]
    found += [
        {"a": a, "b": b, "tier": "perceptual", "hamming_bits": b, "orientation": "as is", "trimmed": "none"}
        for a, b in pairs
    ]
    said = [{"position": number, **{name: number in marks.get(name, ()) for name in PLACED.names[1:4]}, "note": None}
            for number in sorted({each for group in marks.values() for each in group})]  # fmt: skip
    by_hand = ByHand(pa.Table.from_pylist(said, schema=PLACED), np.empty(0, np.uint64))

    def read(_: int, columns: Sequence[str]) -> pa.Table:
        return table.select(columns)

    decisions = decide(read, 1, pa.Table.from_pylist(found, schema=PAIRS), Keep(policy="first"), by_hand=by_hand)
    return {row["key"]: row for each in decisions for row in each.to_pylist()}


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
