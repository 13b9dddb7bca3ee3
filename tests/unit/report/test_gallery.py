"""Which groups are shown, and which of their members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedupkit.report import gallery
from dedupkit.report.gallery import choose
from dedupkit.sample import DECISIONS
from tests.unit.report.test_report import group, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    import pytest


def many_groups(count: int) -> pa.Table:
    return table(*(row for number in range(count) for row in group(number, 10 * number, 2 + number % 3)))


def test_besides_the_largest_others_are_drawn_the_same_each_time() -> None:
    decisions = many_groups(60)
    found = choose(decisions, max_groups=5, max_drawn=10)
    assert [each.members_total for each in found[:5]] == [4] * 5
    assert [each.drawn for each in found] == [False] * 5 + [True] * 10
    assert len({each.group for each in found}) == 15
    assert found == choose(decisions, max_groups=5, max_drawn=10)
    assert {each.members_total for each in found[5:]} > {2}  # not the next largest, which all have four


def test_few_groups_are_all_shown_and_none_is_drawn() -> None:
    found = choose(many_groups(4), max_groups=5)
    assert len(found) == 4
    assert not any(each.drawn for each in found)


def test_of_a_group_of_many_no_more_is_held_than_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    decisions, held = table(*group(7, 0, 500)), list[int]()
    whole = gallery._first_of_each

    def read(columns: Sequence[str] | None) -> list[pa.Table]:
        return [decisions.select(columns or DECISIONS.names).slice(at, 50) for at in range(0, 500, 50)]

    def counted(rows: pa.Table, most: int) -> pa.Table:
        held.append(rows.num_rows)
        return whole(rows, most)

    monkeypatch.setattr(gallery, "_HELD", 20)
    monkeypatch.setattr(gallery, "_first_of_each", counted)
    (found,) = choose(read, max_members=3)
    assert (found.members_total, found.positions) == (500, (0, 1, 2))
    assert max(held) <= 53


def test_edited_copies_are_shown_before_copies_of_the_same_bytes() -> None:
    rows = group(1, 0, 9)
    rows[8] |= {"tier": "geometric", "reason": "geometric_duplicate"}
    (found,) = choose(table(*rows), max_members=3)
    assert found.positions == (0, 8, 1)
