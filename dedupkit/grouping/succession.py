"""Who stands for a star when its representative was dropped by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.grouping.groups import Graph


@dataclass(frozen=True, slots=True)
class Stars:
    """Pictures by what covers them.

    Attributes
    ----------
    covering : ndarray of int64, shape (pictures,)
        The pair by which each is a copy; -1 for a representative.
    center : ndarray of int64, shape (pictures,)
        The representative that stands for each.
    through : ndarray of int64, shape (pictures,)
        Where that is no end of the pair: the picture that both are copies of, whose best was dropped; else -1.
    """

    covering: NDArray[np.int64]
    center: NDArray[np.int64]
    through: NDArray[np.int64]

    @classmethod
    def of(cls, covering: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]) -> Stars:
        """Those that `dedupkit.grouping.groups.stars` made of pairs (a, b)."""
        own = np.arange(len(covering))
        other = np.where(a[covering] == own, b[covering], a[covering]) if len(a) else own
        return cls(covering, np.where(covering < 0, own, other), np.full(len(covering), -1))


def with_successors(
    stars: Stars,
    graph: Graph,
    rank: NDArray[np.int64],
    distance: NDArray[np.int64],
    *,
    lost: NDArray[np.bool_],
    gone: NDArray[np.bool_],
    marked: NDArray[np.bool_],
) -> Stars:
    """Stars in which another takes the place of a representative that was dropped.

    Who represents already goes on.  Successor is what a person keeps anyway, the best of it; else other samples of the
    same bytes; else the best member that shares no pair with what is kept.  The others name what they share a pair
    with; where that is the picture that lost its place alone, they stand behind its successor, for both are its copies.

    Parameters
    ----------
    stars : Stars
        As they are without marks.
    graph, rank, distance
        As of `dedupkit.grouping.groups.stars`; ranks are those of the best that is left.
    lost, gone, marked : ndarray of bool, shape (pictures,)
        Pictures whose best sample was dropped, those of which nothing is left, and those of which something is kept by
        hand.
    """
    kept = (stars.covering < 0) & ~lost
    members = _members(stars, rank, lost=lost, gone=gone, marked=marked)
    heirs: dict[int, int | None] = {}
    for star, others in members.items():
        if others and (marked[others[0]] or others[0] == star):
            heirs[star] = others[0]
            kept[others[0]] = True
    for star in sorted(members.keys() - heirs.keys(), key=lambda each: int(rank[each])):
        heirs[star] = next((each for each in members[star] if not kept[_pairs(graph, each)[1]].any()), None)
        if (heir := heirs[star]) is not None:
            kept[heir] = True
    covering, center, through = (each.copy() for each in (stars.covering, stars.center, stars.through))
    for star, heir in heirs.items():
        for each in members[star]:
            pairs, paired = _pairs(graph, each)
            near = kept[paired]
            if each == heir:
                covering[each], center[each] = -1, each
            elif near.any():
                nearest = np.lexsort((rank[paired[near]], distance[pairs[near]]))[0]
                covering[each], center[each] = pairs[near][nearest], paired[near][nearest]
            elif heir is not None:
                center[each], through[each] = heir, star
    return Stars(covering, center, through)


def _members(
    stars: Stars,
    rank: NDArray[np.int64],
    *,
    lost: NDArray[np.bool_],
    gone: NDArray[np.bool_],
    marked: NDArray[np.bool_],
) -> dict[int, list[int]]:
    """What is left of each star whose representative was dropped: kept by hand, of the same bytes, the best first."""
    own = stars.center == np.arange(len(stars.center))
    order = np.lexsort((rank, ~own, ~marked, stars.center))
    left = np.flatnonzero(lost & (stars.covering < 0))
    starts, stops = (np.searchsorted(stars.center[order], left, side=side) for side in ("left", "right"))
    return {
        star: [each for each in order[start:stop].tolist() if not gone[each]]
        for star, start, stop in zip(left.tolist(), starts.tolist(), stops.tolist(), strict=True)
    }


def _pairs(graph: Graph, node: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of a node, and what they pair it with."""
    span = slice(graph.starts[node], graph.starts[node + 1])
    return graph.pair[span], graph.neighbours[span]
