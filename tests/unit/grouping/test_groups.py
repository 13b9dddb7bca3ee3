"""Groups and stars: by hand, against a search of the graph, and on random graphs."""

from __future__ import annotations

from itertools import permutations
from random import Random  # noqa: TC003 - Hypothesis reads the annotation

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.grouping.groups import Graph, components, stars

Pairs = list[tuple[int, int]]


def star_of(nodes: int, pairs: Pairs, rank: list[int], distance: list[int] | None = None) -> list[int]:
    a, b = (np.array([pair[end] for pair in pairs], dtype=np.int64) for end in (0, 1))
    far = np.array(distance or [0] * len(pairs), dtype=np.int64)
    return [int(pair) for pair in stars(Graph.of(nodes, a, b), np.array(rank, dtype=np.int64), far)]


def groups_of(nodes: int, pairs: Pairs) -> list[int]:
    a, b = (np.array([pair[end] for pair in pairs], dtype=np.int64) for end in (0, 1))
    return [int(group) for group in components(nodes, a, b)]


def reachable(nodes: int, pairs: Pairs) -> list[int]:
    """For each node the least number among all that can be reached from it: breadth first."""
    near: dict[int, set[int]] = {node: set() for node in range(nodes)}
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)
    least = []
    for node in range(nodes):
        seen, fringe = {node}, {node}
        while fringe:
            fringe = {other for each in fringe for other in near[each]} - seen
            seen |= fringe
        least.append(min(seen))
    return least


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, Pairs, list[int], list[int]]:
    nodes = draw(st.integers(2, 14))
    possible = [(a, b) for a in range(nodes) for b in range(a + 1, nodes)]
    pairs = draw(st.lists(st.sampled_from(possible), unique=True, max_size=30))
    rank = draw(st.permutations(range(nodes)))
    distance = draw(st.lists(st.integers(0, 5), min_size=len(pairs), max_size=len(pairs)))
    return nodes, pairs, list(rank), distance


@pytest.mark.parametrize("rank", list(permutations(range(3))))
def test_in_a_chain_nobody_loses_his_only_match(rank: tuple[int, int, int]) -> None:
    covering = star_of(3, [(0, 1), (1, 2)], list(rank))
    if rank[1] == 0:  # the middle one is the best: it stands for both
        assert covering == [0, -1, 1]
    else:  # an end is the best: the other end has no pair with it and stays
        assert [covering[0], covering[2]] == [-1, -1]
        assert covering[1] in (0, 1)


def test_a_node_between_two_kept_ones_goes_to_the_nearer_then_to_the_better() -> None:
    chain = [(0, 1), (1, 2)]
    assert star_of(3, chain, [0, 2, 1], [9, 3]) == [-1, 1, -1]
    assert star_of(3, chain, [0, 2, 1], [3, 9]) == [-1, 0, -1]
    assert star_of(3, chain, [0, 2, 1], [5, 5]) == [-1, 0, -1]
    assert star_of(3, chain, [1, 2, 0], [5, 5]) == [-1, 1, -1]
    assert star_of(3, chain, [0, 1, 2], [9, 3]) == [-1, 0, -1]  # one that ranks lower stands for nobody above it


def test_a_long_chain_keeps_every_second_one() -> None:
    chain = [(node, node + 1) for node in range(6)]
    assert [pair < 0 for pair in star_of(7, chain, list(range(7)))] == [True, False] * 3 + [True]


def test_of_a_clique_the_best_stays() -> None:
    clique = [(a, b) for a in range(5) for b in range(a + 1, 5)]
    covering = star_of(5, clique, [3, 1, 4, 0, 2])
    assert [node for node, pair in enumerate(covering) if pair < 0] == [3]


def test_no_pairs_leave_every_node_alone() -> None:
    assert star_of(4, [], [2, 0, 1, 3]) == [-1] * 4
    assert groups_of(4, []) == [0, 1, 2, 3]
    assert star_of(0, [], []) == groups_of(0, []) == []


@settings(deadline=None)
@given(graphs())
def test_no_two_kept_share_a_pair_and_every_dropped_one_has_one_with_the_nearest_better_kept_one(
    graph: tuple[int, Pairs, list[int], list[int]],
) -> None:
    nodes, pairs, rank, distance = graph
    covering = star_of(nodes, pairs, rank, distance)
    kept = {node for node in range(nodes) if covering[node] < 0}
    assert not any(a in kept and b in kept for a, b in pairs)
    for node in set(range(nodes)) - kept:
        ends = set(pairs[covering[node]])
        assert node in ends
        (partner,) = ends - {node}
        assert partner in kept
        rivals = [
            (distance[number], rank[other])
            for number, pair in enumerate(pairs)
            if node in pair and (other := sum(pair) - node) in kept and rank[other] < rank[node]
        ]
        assert (distance[covering[node]], rank[partner]) == min(rivals)


@settings(deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_the_order_of_pairs_and_of_their_ends_changes_nothing(
    graph: tuple[int, Pairs, list[int], list[int]], random: Random
) -> None:
    nodes, pairs, rank, distance = graph
    order = list(range(len(pairs)))
    random.shuffle(order)
    shuffled = [pairs[number] if number % 2 else (pairs[number][1], pairs[number][0]) for number in order]
    before = star_of(nodes, pairs, rank, distance)
    after = star_of(nodes, shuffled, rank, [distance[number] for number in order])
    assert [pair if pair < 0 else order[pair] for pair in after] == before
    assert groups_of(nodes, shuffled) == groups_of(nodes, pairs)


@settings(deadline=None)
@given(graphs())
def test_components_are_what_a_walk_reaches(graph: tuple[int, Pairs, list[int], list[int]]) -> None:
    nodes, pairs, *_ = graph
    assert groups_of(nodes, pairs) == reachable(nodes, pairs)
