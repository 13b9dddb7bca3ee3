"""Bundles: within the memory that is given, no group cut, and the same verdicts as all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.grouping import bundles
from dedupkit.grouping.bundles import Grouped, verdicts_of
from dedupkit.grouping.by_hand import PLACED, ByHand
from dedupkit.grouping.verdicts import VERDICTS
from dedupkit.sample import PAIRS
from dedupkit.scratch import scratch_files
from dedupkit.scratch_tables import rows_between

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

FAR = 5 << 32
Ends = list[tuple[int, int]]


def table_of(ends: Iterable[tuple[int, int]]) -> pa.Table:
    rows = [{"a": a, "b": b, "tier": "perceptual", "hamming_bits": 3, "orientation": "as is", "trimmed": "none"}
            for a, b in ends]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=PAIRS)


def bundles_of(ends: Ends, memory: int | None) -> list[list[int]]:
    """The labels of each bundle's groups."""
    with scratch_files(None) as scratch:
        grouped = Grouped.of(lambda: [table_of(ends)], scratch)
        ranges = list(grouped.bundles(lambda: [table_of(ends)], memory))
        labels = np.unique(grouped.label)
    return [labels[(labels >= low) & (labels < high)].tolist() for low, high in ranges]


def judged(ends: Ends, memory: int | None, marks: Sequence[tuple[int, str]] = ()) -> tuple[list[Any], list[int]]:
    """Verdicts by position, earlier samples rather kept; and who is in a group that is none."""
    rows = [{"position": place, "keep": mark == "keep", "drop": mark == "drop", "keep_group": mark == "keep_group",
             "note": None} for place, mark in sorted(marks)]  # fmt: skip
    by_hand = ByHand(pa.Table.from_pylist(rows, schema=PLACED), np.empty(0, np.uint64)) if marks else None

    def rank(positions: NDArray[np.uint64]) -> NDArray[np.int64]:
        return np.arange(len(positions))

    with scratch_files(None) as scratch:
        halves = [table_of(ends[::2]), table_of(ends[1::2])]
        found, undone = verdicts_of(lambda: halves, rank, 1, scratch, memory, by_hand)
        shown = ["position", "group", "group_size", "kept", "reason"]
        return rows_between(found, 0, 1 << 60, VERDICTS).select(shown).to_pylist(), undone.positions.tolist()


def test_without_a_limit_there_is_one_bundle() -> None:
    assert bundles_of([(1, 2), (5, FAR)], None) == [[0, 2]]
    assert bundles_of([], None) == [[]]
    assert bundles_of([], 1) == [[]]


def test_groups_are_those_of_all_pairs_where_they_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "_BLOCK", 2)
    ends = [(1, 2), (3, 4), (5, FAR), (2, 3), (FAR, 6), (7, 8), (8, 9)]
    with scratch_files(None) as scratch:
        grouped = Grouped.of(lambda: [table_of(ends[:3]), table_of(ends[3:])], scratch)
    first = dict(zip(grouped.positions.tolist(), grouped.positions[grouped.label].tolist(), strict=True))
    assert first == {1: 1, 2: 1, 3: 1, 4: 1, 5: 5, 6: 5, 7: 7, 8: 7, 9: 7, FAR: 5}


def test_a_bundle_weighs_600_bytes_for_each_member_and_pair() -> None:
    ends = [(0, 1), (2, 3), (4, 5), (6, 7)]  # two members and a pair: 1,800 bytes each
    assert bundles_of(ends, 1) == [[0], [2], [4], [6]]
    assert [len(each) for each in bundles_of(ends, 4 * 3 * 600 + 600)] == [4]
    for memory in (2000, 3600, 4000):
        assert all(len(each) <= max(1, memory // 1800) + 1 for each in bundles_of(ends, memory))
        assert [label for bundle in bundles_of(ends, memory) for label in bundle] == [0, 2, 4, 6]


places = st.integers(0, 25).map(lambda number: number + FAR * (number > 12))
pairs = st.lists(st.tuples(places, places), max_size=25).map(
    lambda found: sorted({(min(ends), max(ends)) for ends in found if ends[0] != ends[1]})
)
marks_made = st.lists(
    st.tuples(places, st.sampled_from(["keep", "drop", "keep_group"])),
    max_size=4,
    unique_by=lambda mark: mark[0],
)


@settings(deadline=None, max_examples=40)
@given(pairs, st.integers(1, 9000), marks_made)
def test_what_is_judged_bundle_by_bundle_is_judged_as_all_at_once(
    ends: Ends, memory: int, marks: list[tuple[int, str]]
) -> None:
    assert judged(ends, memory, marks) == judged(ends, None, marks)


def test_a_group_that_is_none_has_no_verdict_and_its_members_are_told() -> None:
    verdicts, undone = judged([(1, 2), (2, 3), (7, FAR)], None, [(3, "keep_group"), (99, "keep_group")])
    assert undone == [1, 2, 3]
    assert [(each["position"], each["kept"]) for each in verdicts] == [(7, 7), (FAR, 7)]


@pytest.mark.parametrize("memory", [None, 1])
def test_verdicts_name_positions_beyond_32_bits(memory: int | None) -> None:
    verdicts, _ = judged([(FAR, FAR + 1), (1, FAR + 2)], memory)
    assert verdicts == [
        {"position": 1, "group": 1, "group_size": 2, "kept": 1, "reason": "representative"},
        {"position": FAR, "group": FAR, "group_size": 2, "kept": FAR, "reason": "representative"},
        {"position": FAR + 1, "group": FAR, "group_size": 2, "kept": FAR, "reason": "perceptual_duplicate"},
        {"position": FAR + 2, "group": 1, "group_size": 2, "kept": 1, "reason": "perceptual_duplicate"},
    ]
