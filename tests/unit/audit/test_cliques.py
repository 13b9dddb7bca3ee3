"""The largest clique against brute force over all subsets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from dedupkit.audit import cliques
from dedupkit.audit.cliques import largest_clique


def distances(count: int, seed: int) -> np.ndarray:
    apart = np.random.default_rng(seed).random((count, count))
    apart = (apart + apart.T) / 2
    np.fill_diagonal(apart, 0)
    return apart


@pytest.mark.parametrize("seed", range(20))
def test_no_subset_is_a_larger_clique_or_as_large_and_closer(seed: int) -> None:
    apart = distances(9, seed)
    found = largest_clique(apart, 0.55)
    best = (0, 0.0)
    for size in range(1, 10):
        for subset in combinations(range(9), size):
            pairs = [apart[a, b] for a, b in combinations(subset, 2)]
            if all(each <= 0.55 for each in pairs):
                best = max(best, (size, -float(np.mean(pairs)) if pairs else 0.0))
    assert len(found.members) == best[0]
    assert found.mean_distance == pytest.approx(-best[1])
    assert found.complete
    part = apart[np.ix_(found.members, found.members)]
    assert found.middle == found.members[int(part.sum(axis=1).argmin())]


def test_a_picture_drawn_again_and_again_is_one_clique() -> None:
    apart = np.ones((60, 60))
    apart[10:50, 10:50] = 0.05
    np.fill_diagonal(apart, 0)
    assert largest_clique(apart, 0.1).members == tuple(range(10, 50))


def test_a_search_that_is_cut_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cliques, "_LOOKED_AT", 3)
    assert not largest_clique(distances(12, 1), 0.5).complete
