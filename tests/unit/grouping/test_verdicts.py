"""Verdicts about hand-made pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.grouping.verdicts import VERDICTS, Marks, Verdicts, grouped_positions, judge
from dedupkit.sample import PAIRS

if TYPE_CHECKING:
    from collections.abc import Sequence

Pair = tuple[int, int, str, int | None, str | None, str | None]


def same(a: int, b: int) -> Pair:
    return (a, b, "exact", None, None, None)


def near(a: int, b: int, bits: int = 5, orientation: str = "as is", trimmed: str = "none") -> Pair:
    return (a, b, "perceptual", bits, orientation, trimmed)


def judged(
    pairs: list[Pair],
    best: list[int],
    max_copies: int | None = 1,
    *,
    cosines: Sequence[float | None] = (),
    kept: Sequence[int] = (),
    dropped: Sequence[int] = (),
) -> Verdicts:
    """Verdicts where samples rank in the order of `best`, a list of positions, with marks at some."""
    given = [[pair[place] for pair in pairs] for place in range(6)]
    columns = dict(zip(PAIRS.names, given, strict=False))
    columns |= {name: [None] * len(pairs) for name in PAIRS.names[6:]} | ({"cosine": cosines} if cosines else {})
    table = pa.table([pa.array(columns[field.name], field.type) for field in PAIRS], schema=PAIRS)
    positions = grouped_positions(table["a"], table["b"])
    assert positions.tolist() == sorted(best)
    marks = Marks(np.isin(positions, kept), np.isin(positions, dropped)) if len(kept) + len(dropped) else None
    rank = np.array([best.index(position) for position in positions.tolist()], np.int64)
    return judge(table, positions, rank, max_copies, marks)


def by_descriptor(a: int, b: int, tier: str = "descriptor") -> Pair:
    return (a, b, tier, None, None, None)


def reasons(verdicts: Verdicts) -> dict[int, str]:
    return dict(zip(verdicts.positions.tolist(), map(str, verdicts.reason.tolist()), strict=True))


def kept_of(verdicts: Verdicts) -> dict[int, int]:
    return dict(zip(verdicts.positions.tolist(), verdicts.kept.tolist(), strict=True))


def evidence_of(verdicts: Verdicts, position: int) -> Any:
    return verdicts.evidence.to_pylist()[verdicts.positions.tolist().index(position)]


def test_of_equal_bytes_one_stays() -> None:
    verdicts = judged([same(2, 5), same(2, 9)], best=[9, 2, 5])
    assert reasons(verdicts) == {2: "exact_duplicate", 5: "exact_duplicate", 9: "representative"}
    assert set(verdicts.kept.tolist()) == {9}
    assert verdicts.tier.to_pylist() == ["exact", "exact", None]
    assert verdicts.evidence.to_pylist() == [None, None, None]
    assert (verdicts.group.tolist(), verdicts.group_size.tolist()) == ([2, 2, 2], [3, 3, 3])


def test_a_chain_keeps_both_ends_that_do_not_match_each_other() -> None:
    verdicts = judged([near(0, 1, 8), near(1, 2, 3)], best=[0, 2, 1])
    assert reasons(verdicts) == {0: "representative", 1: "perceptual_duplicate", 2: "representative"}
    assert kept_of(verdicts) == {0: 0, 1: 2, 2: 2}  # 2 is nearer
    assert verdicts.group.tolist() == [0, 0, 0]
    assert verdicts.group_size.tolist() == [3, 3, 3]


def test_a_chain_with_the_best_in_the_middle_keeps_it_alone() -> None:
    verdicts = judged([near(0, 1), near(1, 2)], best=[1, 0, 2])
    assert reasons(verdicts) == {0: "perceptual_duplicate", 1: "representative", 2: "perceptual_duplicate"}


def test_copies_of_what_is_dropped_name_the_same_kept_one() -> None:
    verdicts = judged([same(1, 3), near(0, 1, 7, "turned 90°", "b")], best=[0, 1, 3])
    assert reasons(verdicts) == {0: "representative", 1: "perceptual_duplicate", 3: "perceptual_duplicate"}
    assert kept_of(verdicts) == {0: 0, 1: 0, 3: 0}
    assert evidence_of(verdicts, 1) == evidence_of(verdicts, 3)
    assert verdicts.group_size.tolist() == [3, 3, 3]


def test_the_best_copy_of_a_picture_stands_for_it() -> None:
    verdicts = judged([same(1, 3), near(0, 1)], best=[3, 0, 1])
    assert reasons(verdicts) == {0: "perceptual_duplicate", 1: "exact_duplicate", 3: "representative"}
    assert kept_of(verdicts) == {0: 3, 1: 3, 3: 3}


@pytest.mark.parametrize(
    ("max_copies", "expected"),
    [
        (1, ["representative", "exact_duplicate", "perceptual_duplicate", "exact_duplicate"]),
        (2, ["representative", "spare_copy", "perceptual_duplicate", "exact_duplicate"]),
        (3, ["representative", "spare_copy", "spare_copy", "exact_duplicate"]),
        (4, ["representative", "spare_copy", "spare_copy", "spare_copy"]),
        (9, ["representative", "spare_copy", "spare_copy", "spare_copy"]),
    ],
)
def test_max_copies_keeps_the_best_of_a_star(max_copies: int, expected: list[str]) -> None:
    pairs = [same(0, 1), same(0, 3), near(0, 2)]
    verdicts = judged(pairs, best=[0, 1, 2, 3], max_copies=max_copies)
    assert list(reasons(verdicts).values()) == expected
    assert verdicts.tier.to_pylist() == [None, "exact", "perceptual", "exact"]


def test_max_copies_counts_each_star_of_a_group_for_itself() -> None:
    pairs = [near(0, 1), near(1, 2), near(2, 3), near(3, 4)]  # stars of 0, 2 and 4
    verdicts = judged(pairs, best=[0, 2, 4, 1, 3], max_copies=2)
    assert reasons(verdicts) == {
        0: "representative",
        1: "spare_copy",
        2: "representative",
        3: "spare_copy",
        4: "representative",
    }


@pytest.mark.parametrize(
    ("stored", "seen_from_a", "seen_from_b"),
    [
        ("as is", "as is", "as is"),
        ("mirrored left-right", "mirrored left-right", "mirrored left-right"),
        ("turned 180°", "turned 180°", "turned 180°"),
        ("turned 90°", "turned 90°", "turned 270°"),
        ("turned 270°", "turned 270°", "turned 90°"),
        ("transverse", "transverse", "transverse"),
    ],
)
def test_orientation_says_how_the_kept_one_gives_the_dropped_one(
    stored: str, seen_from_a: str, seen_from_b: str
) -> None:
    """The pair says how b is turned to give a: so it stands where a is dropped, and is undone where b is."""
    pair = near(0, 1, 4, stored)
    assert evidence_of(judged([pair], best=[1, 0]), 0)["orientation"] == seen_from_a
    assert evidence_of(judged([pair], best=[0, 1]), 1)["orientation"] == seen_from_b


@pytest.mark.parametrize(
    ("stored", "seen_from_a", "seen_from_b"),
    [("none", "none", "none"), ("both", "both", "both"), ("a", "this", "kept"), ("b", "kept", "this")],
)
def test_trimmed_says_whose_frame_it_was(stored: str, seen_from_a: str, seen_from_b: str) -> None:
    pair = near(0, 1, 4, trimmed=stored)
    assert evidence_of(judged([pair], best=[1, 0]), 0)["trimmed"] == seen_from_a
    assert evidence_of(judged([pair], best=[0, 1]), 1)["trimmed"] == seen_from_b


def test_a_representative_has_neither_tier_nor_evidence() -> None:
    verdicts = judged([near(0, 1)], best=[0, 1])
    assert (verdicts.tier[0].as_py(), verdicts.evidence[0].as_py()) == (None, None)
    said = {name: value for name, value in verdicts.evidence[1].as_py().items() if value is not None}
    assert said == {"hamming_bits": 5, "orientation": "as is", "trimmed": "none"}


def test_separate_groups_are_named_by_their_first_samples() -> None:
    far = 3 << 32
    verdicts = judged([same(7, far + 1), near(2, far)], best=[7, 2, far, far + 1])
    assert verdicts.positions.tolist() == [2, 7, far, far + 1]
    assert verdicts.group.tolist() == [2, 7, 2, 7]
    assert verdicts.group_size.tolist() == [2, 2, 2, 2]


def test_no_pairs_give_no_verdicts() -> None:
    verdicts = judged([], best=[])
    assert len(verdicts.positions) == len(verdicts.reason) == len(verdicts.tier) == len(verdicts.evidence) == 0


@st.composite
def sets_of_pairs(draw: st.DrawFn) -> tuple[list[Pair], list[int]]:
    """Pictures, some in several copies, and pairs between the first copies."""
    copies = draw(st.lists(st.integers(1, 3), min_size=2, max_size=8))
    order = iter(draw(st.permutations(range(sum(copies)))))
    pictures = [sorted(next(order) for _ in range(count)) for count in copies]
    firsts = sorted(picture[0] for picture in pictures)
    possible = [(a, b) for a in firsts for b in firsts if a < b]
    pairs = [same(picture[0], other) for picture in pictures for other in picture[1:]]
    chosen = draw(st.lists(st.sampled_from(possible), unique=True, max_size=12))
    pairs += [near(a, b, draw(st.integers(0, 31))) for a, b in chosen]
    members = sorted({end for pair in pairs for end in pair[:2]})
    return pairs, list(draw(st.permutations(members)))


@settings(deadline=None)
@given(sets_of_pairs(), st.integers(1, 4))
def test_every_dropped_sample_names_a_kept_one_that_it_or_its_equal_is_paired_with(
    made: tuple[list[Pair], list[int]], max_copies: int
) -> None:
    pairs, best = made
    verdicts = judged(pairs, best, max_copies)
    first = {position: position for position in best}
    first |= {pair[1]: pair[0] for pair in pairs if pair[2] == "exact"}
    linked = {frozenset(pair[:2]) for pair in pairs if pair[2] == "perceptual"}
    why, kept = reasons(verdicts), kept_of(verdicts)
    chosen = {position for position, reason in why.items() if reason == "representative"}
    for position in best:
        ends = frozenset((first[position], first[kept[position]]))
        assert kept[position] in chosen
        assert len(ends) == 1 or ends in linked
        if why[position].endswith("duplicate"):
            assert why[position] == ("exact_duplicate" if len(ends) == 1 else "perceptual_duplicate")
    for one in chosen:
        assert kept[one] == one
        assert not any(frozenset((first[one], first[other])) in linked for other in chosen - {one})
        star = [position for position in best if kept[position] == one]  # the best first
        assert star[0] == one
        stay = [position for position in star if not why[position].endswith("duplicate")]
        assert stay == star[:max_copies]


@pytest.mark.parametrize(
    ("tier", "reason"),
    [
        ("perceptual", "perceptual_duplicate"),
        ("geometric", "geometric_duplicate"),
        ("descriptor", "descriptor_duplicate"),
        ("look_alike", "look_alike"),
    ],
)
def test_each_tier_has_its_reason(tier: str, reason: str) -> None:
    verdicts = judged([by_descriptor(0, 1, tier)], best=[0, 1])
    assert reasons(verdicts) == {0: "representative", 1: reason}
    assert verdicts.tier.to_pylist() == [None, tier]


def test_of_two_kept_ones_the_nearer_is_named_by_descriptor_too() -> None:
    pairs = [by_descriptor(0, 1), by_descriptor(1, 2)]
    assert kept_of(judged(pairs, best=[0, 2, 1], cosines=[0.95, 0.96]))[1] == 2
    assert kept_of(judged(pairs, best=[0, 2, 1], cosines=[0.96, 0.95]))[1] == 0
    assert kept_of(judged(pairs, best=[0, 2, 1], cosines=[0.95, None]))[1] == 0  # of one that is not known least
    assert kept_of(judged(pairs, best=[2, 0, 1], cosines=[0.95, 0.95]))[1] == 2  # as near: the better one


def test_a_pair_by_hash_is_nearer_than_any_by_descriptor() -> None:
    pairs = [near(0, 1, 256), by_descriptor(1, 2)]
    assert kept_of(judged(pairs, best=[2, 0, 1], cosines=[None, 1.0]))[1] == 0
    assert kept_of(judged([near(1, 2, 256), by_descriptor(0, 1)], best=[0, 2, 1], cosines=[None, 1.0]))[1] == 2


def test_what_is_known_of_a_pair_stands_in_the_evidence() -> None:
    verdicts = judged([near(0, 1, 7), near(0, 2, 9)], best=[0, 1, 2], cosines=[0.5, 0.25])
    found = [evidence_of(verdicts, position) for position in (1, 2)]
    assert [each["cosine"] for each in found] == [0.5, 0.25]
    assert [each["hamming_bits"] for each in found] == [7, 9]


def test_without_a_limit_all_copies_stay() -> None:
    verdicts = judged([same(0, 1), near(0, 2), near(0, 3)], best=[0, 1, 2, 3], max_copies=None)
    assert list(reasons(verdicts).values()) == ["representative", "spare_copy", "spare_copy", "spare_copy"]
    assert verdicts.copy.tolist() == [0, 1, 2, 3]
    assert verdicts.copies_kept.tolist() == [4, 4, 4, 4]


def test_copies_are_numbered_from_the_best_on_kept_ones_first() -> None:
    pairs = [near(5, each) for each in (1, 2, 3, 4)]
    verdicts = judged(
        [(min(a), max(a), *rest) for a, rest in ((each[:2], each[2:]) for each in pairs)],
        best=[5, 3, 1, 4, 2],
        max_copies=2,
    )
    assert dict(zip(verdicts.positions.tolist(), verdicts.copy.tolist(), strict=True)) == {5: 0, 3: 1, 1: 2, 4: 3, 2: 4}
    assert set(verdicts.copies_kept.tolist()) == {2}
    kept = judged(
        [(min(a), max(a), *rest) for a, rest in ((each[:2], each[2:]) for each in pairs)],
        best=[5, 3, 1, 4, 2],
        kept=[2, 4],
    )
    assert dict(zip(kept.positions.tolist(), kept.copy.tolist(), strict=True)) == {5: 0, 4: 1, 2: 2, 3: 3, 1: 4}
    assert set(kept.copies_kept.tolist()) == {3}
    assert reasons(kept)[4] == "spare_copy"


def test_a_dropped_copy_takes_no_place_among_those_that_stay() -> None:
    verdicts = judged([near(0, 1), near(0, 2), near(0, 3)], best=[0, 1, 2, 3], max_copies=2, dropped=[1])
    assert reasons(verdicts) == {
        0: "representative", 1: "perceptual_duplicate", 2: "spare_copy", 3: "perceptual_duplicate",
    }  # fmt: skip
    assert verdicts.through.to_pylist() == [None] * 4


def test_who_is_a_copy_through_another_says_so() -> None:
    verdicts = judged([near(0, 1), near(0, 2, 9)], best=[0, 1, 2], dropped=[0])
    assert reasons(verdicts)[1] == "representative"
    assert kept_of(verdicts)[2] == 1
    assert verdicts.through.to_pylist() == [None, None, 0]
    assert evidence_of(verdicts, 2)["hamming_bits"] == 9  # of the pair with the one that both are copies of


def test_another_copy_of_the_same_bytes_follows_one_that_was_dropped() -> None:
    verdicts = judged([same(0, 4), near(0, 1), near(0, 2)], best=[0, 1, 2, 4], dropped=[0])
    assert kept_of(verdicts) == {0: 4, 1: 4, 2: 4, 4: 4}
    assert verdicts.through.to_pylist() == [None] * 4
    assert reasons(verdicts)[0] == "exact_duplicate"


def test_the_table_has_a_row_for_each_sample_in_its_schema() -> None:
    verdicts = judged([near(0, 1), same(3, 4)], best=[0, 1, 3, 4])
    table = verdicts.table()
    assert table.schema.equals(VERDICTS)
    assert table["position"].to_pylist() == [0, 1, 3, 4]
    assert table["reason"].to_pylist() == [
        "representative", "perceptual_duplicate", "representative", "exact_duplicate",
    ]  # fmt: skip
    assert table["group_size"].to_pylist() == [2, 2, 2, 2]


@pytest.mark.parametrize(("best", "heir"), [([0, 1, 2, 3], 2), ([1, 0, 2, 3], 3)])
def test_of_two_stars_without_a_representative_the_better_ones_has_its_successor_first(
    best: list[int], heir: int
) -> None:
    """0 stood for 2 and 1 for 3; 2 and 3 are copies of each other, so that one of them is enough."""
    verdicts = judged([near(0, 2), near(1, 3), near(2, 3, 9)], best=best, dropped=[0, 1])
    assert (kept_of(verdicts)[2], kept_of(verdicts)[3]) == (heir, heir)
    assert verdicts.through.to_pylist() == [None] * 4
    assert evidence_of(verdicts, 5 - heir)["hamming_bits"] == 9


def test_who_shares_a_pair_with_the_successor_is_its_copy_by_that() -> None:
    verdicts = judged([near(0, 1, 5), near(0, 2, 5), near(1, 2, 8)], best=[0, 1, 2], dropped=[0])
    assert kept_of(verdicts)[2] == 1
    assert verdicts.through.to_pylist() == [None] * 3
    assert evidence_of(verdicts, 2)["hamming_bits"] == 8


def test_of_several_samples_of_the_same_bytes_the_one_that_is_kept_by_hand_follows() -> None:
    pairs = [same(0, 1), same(0, 2), near(0, 3)]
    verdicts = judged(pairs, best=[0, 1, 2, 3], dropped=[0], kept=[2])
    assert kept_of(verdicts) == {0: 2, 1: 2, 2: 2, 3: 2}
    assert reasons(verdicts)[2] == "representative"
    assert kept_of(judged(pairs, best=[0, 1, 2, 3], dropped=[0, 1])) == {0: 2, 1: 2, 2: 2, 3: 2}
    assert kept_of(judged(pairs, best=[0, 3, 2, 1], dropped=[0])) == {0: 2, 1: 2, 2: 2, 3: 2}
