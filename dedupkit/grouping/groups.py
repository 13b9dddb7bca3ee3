"""Duplicate groups and the stars that decisions come from.

A chain A~B~C with A!~C is one group, but dropping B and C for A would cost C its only copy.  So groups are cut into
stars: from the best member down, what has a pair with a kept one is covered by it, and what has none is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Graph:
    """Pictures and the pairs between them, as rows of one adjacency list.

    Attributes
    ----------
    starts : ndarray of int64, shape (nodes + 1,)
        Where each node's neighbours begin and end in `neighbours`.
    neighbours : ndarray of int64, shape (2 * pairs,)
        Their numbers.
    pair : ndarray of int64, shape (2 * pairs,)
        The pair each comes from.
    """

    starts: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    pair: NDArray[np.int64]

    @classmethod
    def of(cls, nodes: int, a: NDArray[np.int64], b: NDArray[np.int64]) -> Graph:
        """The graph of pairs (a, b) over a number of nodes."""
        ends, others = np.concatenate([a, b]), np.concatenate([b, a])
        order = np.argsort(ends, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=nodes))])
        return cls(starts, others[order], np.tile(np.arange(len(a)), 2)[order])


def components(nodes: int, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each node the least number among all that pairs (a, b) connect it with, directly or not."""
    return components_of(nodes, lambda: [(a, b)])


def components_of(
    nodes: int, pairs: Callable[[], Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]]
) -> NDArray[np.int64]:
    """For each node the least number among all that pairs connect it with, directly or not.

    Least labels are passed along all pairs and then followed to their ends, until no pair joins two labels: a few
    rounds of work in proportion to the pairs, and 16 bytes a node.

    Parameters
    ----------
    nodes : int
        How many there are.
    pairs : callable
        Gives both ends of all pairs, some at a time; asked once a round.
    """
    label = np.arange(nodes)
    joined = True
    while joined:
        joined = False
        for a, b in pairs():
            mine, theirs = label[a], label[b]
            if np.array_equal(mine, theirs):
                continue
            joined = True
            np.minimum.at(label, np.maximum(mine, theirs), np.minimum(mine, theirs))
        while joined and not np.array_equal(label, further := label[label]):
            label = further
    return label


def stars(graph: Graph, rank: NDArray[np.int64], distance: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which pair covers each node.

    Parameters
    ----------
    graph : Graph
        Nodes and pairs.
    rank : ndarray of int64, shape (nodes,)
        Lower is rather kept; all different.
    distance : ndarray of int64, shape (pairs,)
        Lower is nearer.

    Returns
    -------
    ndarray of int64, shape (nodes,)
        Number of the pair with the kept node that covers it: of those ranked before it the nearest, then the best
        ranked; -1 for a kept node.
        No two kept nodes share a pair, and every other one shares one with a kept node.
    """
    covering = np.full(len(rank), -1, dtype=np.int64)
    degree = np.diff(graph.starts)
    kept = np.zeros(len(rank), dtype=bool)
    paired = np.flatnonzero(degree)
    for node in paired[np.argsort(rank[paired], kind="stable")].tolist():
        span = slice(graph.starts[node], graph.starts[node + 1])
        near = kept[graph.neighbours[span]]
        if not near.any():
            kept[node] = True
            continue
        pairs, others = graph.pair[span][near], graph.neighbours[span][near]
        covering[node] = pairs[np.lexsort((rank[others], distance[pairs]))[0]]
    return covering
