"""Verdicts: what becomes of every sample that has a pair, and by which evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.grouping.groups import Graph, components, stars
from dedupkit.grouping.succession import Stars, with_successors
from dedupkit.matching.turns import INVERSE, ORIENTATIONS
from dedupkit.sample import EVIDENCE, Reason, Tier

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DROPS = {
    Tier.EXACT: Reason.EXACT_DUPLICATE,
    Tier.PERCEPTUAL: Reason.PERCEPTUAL_DUPLICATE,
    Tier.GEOMETRIC: Reason.GEOMETRIC_DUPLICATE,
    Tier.DESCRIPTOR: Reason.DESCRIPTOR_DUPLICATE,
    Tier.LOOK_ALIKE: Reason.LOOK_ALIKE,
}
_TIERS = tuple(_DROPS)
_REASONS = (Reason.REPRESENTATIVE, Reason.SPARE_COPY, *_DROPS.values())
_KEPT, _SPARE, _FIRST_DROP = 0, 1, 2
VERDICTS = pa.schema(
    {
        "position": pa.uint64(),
        "group": pa.uint64(),
        "group_size": pa.uint32(),
        "kept": pa.uint64(),
        "through": pa.uint64(),
        "reason": pa.string(),
        "copy": pa.uint32(),
        "copies_kept": pa.uint32(),
        "tier": pa.string(),
        "evidence": EVIDENCE,
    }
)
_INVERSE = {ORIENTATIONS[turn]: ORIENTATIONS[inverse] for turn, inverse in enumerate(INVERSE)}


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One row a sample of a duplicate group, in the order of positions.

    Attributes
    ----------
    positions : ndarray of uint64, shape (n,)
        The samples.
    group : ndarray of uint64, shape (n,)
        Least position of the group.
    group_size : ndarray of uint32, shape (n,)
        Samples in the group.
    kept : ndarray of uint64, shape (n,)
        Position of the representative that stands for the sample: its own, for a representative.
    through : pyarrow.UInt64Array
        Position of the sample that both this one and `kept` are copies of, where that was dropped by hand and the two
        share no pair of their own; else null.
    reason : ndarray of str, shape (n,)
        A `Reason` for keeping or dropping.
    copy : ndarray of uint32, shape (n,)
        Place among those that its representative stands for, itself the first, 0.
    copies_kept : ndarray of uint32, shape (n,)
        How many of those stay.
    tier : pyarrow.StringArray
        How a dropped sample or a spare copy was matched with its representative; null for a representative.
    evidence : pyarrow.StructArray
        In the type `dedupkit.sample.EVIDENCE`; `orientation` says how the representative is turned to give this
        sample, `trimmed` whose frame was trimmed: none, this, kept or both.
    """

    positions: NDArray[np.uint64]
    group: NDArray[np.uint64]
    group_size: NDArray[np.uint32]
    kept: NDArray[np.uint64]
    through: pa.UInt64Array
    reason: NDArray[np.str_]
    copy: NDArray[np.uint32]
    copies_kept: NDArray[np.uint32]
    tier: pa.StringArray
    evidence: pa.StructArray

    def table(self) -> pa.Table:
        """One row a sample, in the schema `VERDICTS`."""
        reason = pa.array(self.reason.astype(object), pa.string())
        columns = (
            *(self.positions, self.group, self.group_size, self.kept, self.through),
            *(reason, self.copy, self.copies_kept),
        )
        arrays = [pa.array(each) for each in columns]
        return pa.Table.from_arrays([*arrays, self.tier, self.evidence], schema=VERDICTS)


def grouped_positions(a: pa.ChunkedArray, b: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Positions of all samples that have a pair, ascending; `a` and `b` are the pairs' ends."""
    return np.union1d(a.to_numpy(), b.to_numpy()).astype(np.uint64)


@dataclass(frozen=True, slots=True)
class Marks:
    """What a person said of the samples that are judged.

    Attributes
    ----------
    kept, dropped : ndarray of bool, shape (n,)
        Which stay, and which go.
    """

    kept: NDArray[np.bool_]
    dropped: NDArray[np.bool_]


def judge(
    pairs: pa.Table,
    positions: NDArray[np.uint64],
    rank: NDArray[np.int64],
    max_copies: int | None,
    marks: Marks | None = None,
) -> Verdicts:
    """Decide about every sample that has a pair.

    Parameters
    ----------
    pairs : pyarrow.Table
        In the schema of `dedupkit.sample.PAIRS`.
    positions : ndarray of uint64, shape (n,)
        What `grouped_positions` gives.
    rank : ndarray of int64, shape (n,)
        What the keep policy makes of them; lower is rather kept.
    max_copies : int or None
        How many samples of a star stay: its representative and the best of those it stands for; None: all of them.
    marks : Marks, optional
        What is kept by hand stays besides those; what is dropped stands for nothing, and in the place of a
        representative comes a sample of the same bytes, else who `with_successors` names.

    Returns
    -------
    Verdicts
        No two representatives share a pair, unless they are kept by hand; every other sample shares one with its
        representative, or stands for bytes that do, or is a copy of what was dropped by hand as that is.
    """
    marks = marks or Marks(*np.zeros((2, len(positions)), dtype=bool))
    exact = pc.equal(pairs["tier"], Tier.EXACT.value)
    same, near = pairs.filter(exact), pairs.filter(pc.invert(exact))
    first = np.arange(len(positions))
    first[_rows(positions, same["b"])] = _rows(positions, same["a"])
    pictures, picture = np.unique(first, return_inverse=True)  # samples of the same bytes are one picture
    a, b = (picture[_rows(positions, near[end])] for end in ("a", "b"))
    graph = Graph.of(len(pictures), a, b)
    first_best = _best_member(picture, rank, len(pictures))
    found = Stars.of(stars(graph, rank[first_best], _distance(near)), a, b)
    best, found = _after_drops(found, graph, picture, first_best, rank, _distance(near), marks)
    pair, star, through = found.covering[picture], found.center[picture], found.through[picture]
    group = components(len(pictures), a, b)[picture]
    order = (rank, best[star] != np.arange(len(positions)), marks.dropped)  # last counts first
    place = _place_in_star(star, order)
    most = len(positions) if max_copies is None else max_copies
    stays = ~marks.dropped & ((place < most) | marks.kept)
    place = _place_in_star(star, (*order, ~stays))
    return Verdicts(
        positions=positions,
        group=positions[pictures[group]],
        group_size=np.bincount(group, minlength=len(pictures))[group].astype(np.uint32),
        kept=positions[best[star]],
        through=pa.array(positions[first_best[through]], mask=through < 0),
        reason=np.array(_REASONS)[_reasons(place, _tier_numbers(near, pair), stays)],
        copy=place.astype(np.uint32),
        copies_kept=np.bincount(star[stays], minlength=len(pictures))[star].astype(np.uint32),
        tier=_tiers(_tier_numbers(near, pair), best[star] == np.arange(len(positions))),
        evidence=_evidence(near, pair, a[pair] == picture if len(a) else pair >= 0),
    )


def _after_drops(
    found: Stars,
    graph: Graph,
    picture: NDArray[np.int64],
    best: NDArray[np.int64],
    rank: NDArray[np.int64],
    distance: NDArray[np.int64],
    marks: Marks,
) -> tuple[NDArray[np.int64], Stars]:
    """The best sample of each picture, and the stars, when those that were dropped by hand have successors."""
    lost = marks.dropped[best]
    if not lost.any():
        return best, found
    by_hand = _best_member(picture, rank + len(rank) * (~marks.kept + 2 * marks.dropped), len(best))
    after = with_successors(
        found,
        graph,
        rank[by_hand],
        distance,
        lost=lost,
        gone=marks.dropped[by_hand],
        marked=marks.kept[by_hand],
    )
    fresh = (after.covering < 0) & (lost | (found.covering >= 0))
    return np.where(fresh, by_hand, best), after


def _rows(positions: NDArray[np.uint64], column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(positions, column.to_numpy().astype(np.uint64)))


def _best_member(picture: NDArray[np.int64], rank: NDArray[np.int64], pictures: int) -> NDArray[np.int64]:
    """For each picture its best ranked sample."""
    best = np.empty(pictures, dtype=np.int64)
    worst_first = np.argsort(-rank, kind="stable")
    best[picture[worst_first]] = worst_first  # the last write is the best
    return best


def _distance(near: pa.Table) -> NDArray[np.int64]:
    """Lower is nearer: bits of hashes, and behind those, descriptors in steps of a thousandth."""
    far = 1_000 + 1_000 * (1 - pc.fill_null(near["cosine"], 0.0).to_numpy())
    return np.asarray(np.where(near["hamming_bits"].is_valid(), pc.fill_null(near["hamming_bits"], 0), far), np.int64)


def _tier_numbers(near: pa.Table, pair: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place in `_TIERS` of the pair of each sample; a sample without one has the bytes of one that is kept."""
    number = {tier.value: place for place, tier in enumerate(_TIERS)}
    tiers = np.array([number[tier] for tier in near["tier"].to_pylist()] + [number[Tier.EXACT.value]], dtype=np.int64)
    return tiers[pair]


def _place_in_star(star: NDArray[np.int64], keys: tuple[NDArray[Any], ...]) -> NDArray[np.int64]:
    """0, 1, 2 ... among those of one star, in the order of some keys, of which the last counts first."""
    order = np.lexsort((*keys, star))
    place = np.empty(len(order), dtype=np.int64)
    starts = np.flatnonzero(np.concatenate([[True], star[order][1:] != star[order][:-1]])[: len(order)])
    sizes = np.diff(np.append(starts, len(order)))
    place[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return place


def _reasons(place: NDArray[np.int64], tier: NDArray[np.int64], stays: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.where(place == 0, _KEPT, np.where(stays, _SPARE, _FIRST_DROP + tier))


def _tiers(tier: NDArray[np.int64], representative: NDArray[np.bool_]) -> pa.StringArray:
    return pa.array(np.array([each.value for each in _TIERS])[tier], pa.string(), mask=representative)


def _evidence(near: pa.Table, pair: NDArray[np.int64], is_a: NDArray[Any]) -> pa.StructArray:
    """What the covering pairs say, seen from the dropped sample."""
    rows = near.take(pa.array(pair, mask=pair < 0))
    orientation = [
        turn if turn is None or this_is_a else _INVERSE[turn]
        for turn, this_is_a in zip(rows["orientation"].to_pylist(), is_a.tolist(), strict=True)
    ]
    seen_from = ({"a": "this", "b": "kept"}, {"a": "kept", "b": "this"})
    trimmed = [
        None if end is None else seen_from[0 if this_is_a else 1].get(end, end)
        for end, this_is_a in zip(rows["trimmed"].to_pylist(), is_a.tolist(), strict=True)
    ]
    strings = [pa.array(values, pa.string()) for values in (orientation, trimmed)]
    rest = [rows[field.name].combine_chunks() for field in list(EVIDENCE)[3:]]
    columns = [rows["hamming_bits"].combine_chunks(), *strings, *rest]
    return pa.StructArray.from_arrays(columns, fields=list(EVIDENCE), mask=pa.array(pair < 0))
