"""Duplicate groups for a person to look at: the largest, some drawn at random, and which of their members are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.report.decided import decided_of
from dedupkit.sample import DECISIONS, Action, Reason, Tier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.report.decided import Decided

MAX_LARGEST = 100
MAX_DRAWN = 60
_COLUMNS = ["group", "action", "reason", "copy", "position", "key", "shard", "kept_key", "tier", "evidence"]
# What was taken down keeps its group's number.
_GONE = pa.array([Reason.BLOCKED.value, Reason.CONTAMINATED.value, Reason.DROPPED_BY_HAND.value])
_HELD = 1 << 16  # rows of groups that are held before those that are not shown are let go


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryMember:
    """A sample of a group as it is shown.

    Attributes
    ----------
    position : int
        Place of the sample, by which its thumbnail is looked up.
    key, shard : str
        Its names.
    kept : bool
        Whether it stays in the set.
    kept_key : str or None
        The kept sample that a dropped one was matched with.
    tier : str or None
        Which stage of matching proved it a copy.
    hamming_bits : int or None
        How many bits of the hashes differ.
    orientation, trimmed : str or None
        How the two had to be turned, and whether a frame was cut away, for the match.
    cosine : float or None
        Of the two descriptors.
    inliers, blocks, agreement, conflict, outline, off_tone, overlap, score : number or None
        What geometry found, as in `dedupkit.sample.EVIDENCE`.
    turn : str or None
        How geometry had to turn it, in words.
    """

    position: int
    key: str
    shard: str
    kept: bool
    kept_key: str | None
    tier: str | None
    hamming_bits: int | None = None
    orientation: str | None = None
    trimmed: str | None = None
    cosine: float | None = None
    inliers: int | None = None
    blocks: int | None = None
    agreement: float | None = None
    conflict: float | None = None
    outline: float | None = None
    off_tone: float | None = None
    overlap: float | None = None
    score: float | None = None
    turn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryGroup:
    """A duplicate group as it is shown.

    Attributes
    ----------
    group : int
        Its number in the decisions.
    members_total : int
        How many samples belong to it.
    members : tuple of GalleryMember
        Those that are shown: kept ones first, then by position, but copies of the same bytes last.
    drawn : bool
        Whether it was drawn at random, and not picked for its size.
    """

    group: int
    members_total: int
    members: tuple[GalleryMember, ...]
    drawn: bool = False

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions that thumbnails are wanted of."""
        return tuple(member.position for member in self.members)


def choose(
    decisions: pa.Table | Decided,
    max_groups: int = MAX_LARGEST,
    max_members: int = 8,
    *,
    max_drawn: int = MAX_DRAWN,
) -> list[GalleryGroup]:
    """Pick the largest groups, of equal ones those that begin first; then some of the others at random.

    Parameters
    ----------
    decisions : pyarrow.Table or callable
        In the schema of `dedupkit.sample.DECISIONS`; takes 24 bytes a sample that stands in a group.
    max_groups, max_members : int
        How many groups are picked for their size, and how many members are shown of each.
    max_drawn : int
        How many more are drawn, the same for the same decisions.
    """
    read = decided_of(decisions)
    group, counts = group_sizes(read)
    order = np.argsort(-counts, kind="stable")
    largest, others = order[:max_groups], order[max_groups:]
    lot = np.random.default_rng(0).permutation(len(others))[:max_drawn]
    shown = np.concatenate([largest, others[np.sort(lot)]])
    members = _members(read, group[shown], max_members)
    picked = zip(group[shown].tolist(), counts[shown].tolist(), range(len(shown)), strict=True)
    return [
        GalleryGroup(group=each, members_total=total, members=members[each], drawn=place >= len(largest))
        for each, total, place in picked
        if len(members.get(each, ())) > 1
    ]


def group_sizes(read: Decided) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The duplicate groups in the order of their first members, and how many samples are in each."""
    members = [table["group"].drop_null().to_numpy().astype(np.uint64) for table in read(["group"])]
    groups = np.concatenate([np.empty(0, np.uint64), *members])
    group, first, counts = np.unique(groups, return_index=True, return_counts=True)
    order = np.argsort(first)
    return group[order], counts[order]


def _members(read: Decided, groups: NDArray[np.uint64], max_members: int) -> dict[int, tuple[GalleryMember, ...]]:
    """The members that are shown of some groups; a group of millions takes no more memory than a small one."""
    wanted = pa.array(groups, pa.uint64())
    held = pa.schema([DECISIONS.field(name) for name in _COLUMNS]).empty_table()
    for table in read(_COLUMNS):
        shown = pc.and_not(pc.is_in(table["group"], value_set=wanted), pc.is_in(table["reason"], value_set=_GONE))
        held = pa.concat_tables([held, table.filter(shown).cast(held.schema)])
        if held.num_rows > _HELD:
            held = _first_of_each(held, max_members)
    found: dict[int, list[GalleryMember]] = {}
    for row in _first_of_each(held, max_members).to_pylist():
        group, action, _, _ = (row.pop(name) for name in ("group", "action", "reason", "copy"))
        member = GalleryMember(**(row.pop("evidence") or {}), **row, kept=action == Action.KEEP)
        found.setdefault(group, []).append(member)
    return {group: tuple(members) for group, members in found.items()}


def _first_of_each(rows: pa.Table, max_members: int) -> pa.Table:
    """Of each group the members that are shown, in the order in which they are."""
    kept = pc.equal(rows["action"], Action.KEEP.value)
    equal = pc.fill_null(pc.equal(rows["tier"], Tier.EXACT.value), False)
    order = ["ascending", "descending", "ascending", "ascending", "ascending"]
    names = ["group", "kept", "copy", "equal", "position"]
    ordered = (
        rows.append_column("kept", kept)
        .append_column("equal", equal)
        .sort_by(list(zip(names, order, strict=True)))
        .drop_columns(["kept", "equal"])
    )
    group = ordered["group"].to_numpy()
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(group) else np.empty(0, np.int64)
    place = np.arange(len(group)) - np.repeat(starts, np.diff(np.r_[starts, len(group)]))
    return ordered.filter(pa.array(place < max_members))
