"""Keep policies by hand."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from dedupkit.grouping.keep import COLUMNS, Candidate, ranks
from dedupkit.recipe import Keep
from dedupkit.sample import FINGERPRINTS

SCHEMA = pa.schema([FINGERPRINTS.field(name) for name in COLUMNS])


def member(position: int, **facts: Any) -> dict[str, Any]:
    usual = {"key": f"k{position}", "shard": "s", "caption": "a cat", "format": "jpeg", "position": position}
    usual |= {"width": 100, "height": 100, "trimmed_width": None, "trimmed_height": None, "byte_size": 5000}
    return usual | facts


def ranked(members: list[dict[str, Any]], policy: Any = "best") -> list[int]:
    return [int(rank) for rank in ranks(pa.Table.from_pylist(members, schema=SCHEMA), Keep(policy=policy))]


def test_first_and_last_rank_by_position() -> None:
    members = [member(3, width=1), member(7, width=9), member(8, width=5)]
    assert ranked(members, "first") == [0, 1, 2]
    assert ranked(members, "last") == [2, 1, 0]


def test_best_has_most_pixels() -> None:
    assert ranked([member(0, width=10), member(1, width=300), member(2, width=20)]) == [2, 0, 1]
    wide = [member(0, width=65_536, height=65_536), member(1, width=65_536, height=65_537), member(2)]
    assert ranked(wide) == [1, 0, 2]  # more pixels than 32 bits count
    side = 2**30
    wider = [member(0, width=side + 1, height=side - 1), member(1, width=side, height=side)]
    assert ranked(wider) == [1, 0]  # 2**60 - 1 against 2**60, which are one float


def test_pixels_of_a_frame_do_not_count() -> None:
    frame = {"width": 200, "height": 200, "trimmed_width": 90, "trimmed_height": 100}
    assert ranked([member(0, **frame, byte_size=99_999), member(1)]) == [1, 0]
    assert ranked([member(0, **frame, byte_size=99_999), member(1, width=80)]) == [0, 1]


def test_of_equal_size_best_has_most_bytes() -> None:
    assert ranked([member(0, byte_size=10), member(1, byte_size=30), member(2, byte_size=20)]) == [2, 0, 1]


def test_of_equal_size_within_frames_best_has_most_bytes_a_pixel() -> None:
    framed = {"width": 200, "height": 100, "trimmed_width": 100, "trimmed_height": 100}
    assert ranked([member(0, **framed, byte_size=8000), member(1, byte_size=5000)]) == [1, 0]  # 0.4 and 0.5 a pixel
    assert ranked([member(0, **framed, byte_size=12_000), member(1, byte_size=5000)]) == [0, 1]  # 0.6 and 0.5


def test_members_of_which_a_list_does_not_say_the_size_come_last() -> None:
    unknown = {"width": None, "height": None, "byte_size": None}
    assert ranked([member(0, **unknown), member(1, width=1, height=1, byte_size=1)]) == [1, 0]
    assert ranked([member(0, **unknown), member(1, **unknown, caption="a longer one"), member(2)]) == [2, 1, 0]


def test_of_equal_size_and_bytes_best_has_the_longest_caption() -> None:
    members = [member(0, caption=None), member(1, caption="cat"), member(2, caption="a cat"), member(3, caption="")]
    assert ranked(members) == [2, 1, 0, 3]
    assert ranked([member(0, caption="abcd"), member(1, caption="éèüøñ")]) == [1, 0]  # characters, not bytes
    assert ranked([member(0, caption="abcd"), member(1, caption="éèü")]) == [0, 1]


def test_of_equals_the_first_is_best() -> None:
    assert ranked([member(0), member(1), member(2)]) == [0, 1, 2]


def test_pixels_outweigh_bytes_and_bytes_outweigh_captions() -> None:
    members = [
        member(0, width=99, byte_size=99_999, caption="long " * 9),
        member(1, byte_size=6000, caption=None),
        member(2, caption="long " * 9),
    ]
    assert ranked(members) == [2, 0, 1]


def test_a_callable_sees_every_fact_and_its_highest_wins() -> None:
    seen: list[Candidate] = []

    def shortest_key(candidate: Candidate) -> int:
        seen.append(candidate)
        return -len(candidate.key)

    members = [member(0, key="longest"), member(1, key="ab", caption=None), member(2, key="abc")]
    assert ranked(members, shortest_key) == [2, 0, 1]
    assert seen == [Candidate(**{name: each[name] for name in COLUMNS}) for each in members]


def test_a_callables_equals_rank_in_the_order_of_positions() -> None:
    assert ranked([member(0), member(1, width=3), member(2), member(3)], lambda each: each.width > 50) == [0, 3, 1, 2]


@pytest.mark.parametrize("policy", ["best", "first", "last", lambda each: each.key])
def test_no_members_have_no_ranks(policy: Any) -> None:
    assert ranked([], policy) == []
