"""Hits of a search for neighbours: two numbers and their cosine, in lists and as pairs of rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.matching.scratch import release

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.matching.scratch import Scratch

_MERGED = 1 << 23  # pairs sorted at a time
HIT = np.dtype([("a", np.int32), ("b", np.int32), ("cosine", np.float32)])


def hits_of(a: NDArray[Any], b: NDArray[Any], cosine: NDArray[np.float32]) -> NDArray[Any]:
    hits = np.empty(len(a), dtype=HIT)
    hits["a"], hits["b"], hits["cosine"] = a, b, np.minimum(cosine, 1)
    return hits


def joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=HIT), *parts])


def nearest_hits(hits: NDArray[Any], limit: int) -> NDArray[Any]:
    """Of each a the nearest, so many; of equally near ones the first places."""
    order = np.lexsort((hits["b"], -hits["cosine"], hits["a"]))
    owner = hits["a"][order]
    begins = np.searchsorted(owner, owner, side="left")
    return hits[order[np.arange(len(owner)) - begins < limit]]


def each_once(hits: NDArray[Any]) -> NDArray[Any]:
    """Sorted by (a, b), of equal pairs the one of the larger cosine, which rounding may have made."""
    order = np.lexsort((-hits["cosine"], hits["a"].astype(np.int64) << 32 | hits["b"]))
    ordered = hits[order]
    fresh = np.ones(len(ordered), dtype=bool)
    fresh[1:] = (ordered["a"][1:] != ordered["a"][:-1]) | (ordered["b"][1:] != ordered["b"][:-1])
    return ordered[fresh]


@dataclass(slots=True)
class PairStore:
    """Pairs of rows, which are added in any order; a pair may be added twice."""

    scratch: Scratch
    parts: list[NDArray[Any]] = field(default_factory=list)
    fresh: list[NDArray[Any]] = field(default_factory=list)

    def add(self, pairs: NDArray[Any]) -> None:
        self.fresh.append(pairs)
        if sum(map(len, self.fresh)) >= _MERGED:
            self._put_away()

    def _put_away(self) -> None:
        pairs = each_once(joined(self.fresh))
        self.parts.append(self.scratch.array(pairs.shape, pairs.dtype))
        self.parts[-1][:] = pairs
        release(self.parts[-1])
        self.fresh.clear()

    def merged(self, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """All sorted, each once: a range of a at a time."""
        self._put_away()
        total, end = sum(map(len, self.parts)), 0
        a, b, cosine = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.float32)
        bounds = np.linspace(0, rows, total // _MERGED + 2).astype(np.int64)
        for low, high in pairwise(bounds):
            cuts = [slice(*np.searchsorted(part["a"], [low, high])) for part in self.parts]
            pairs = each_once(joined([part[cut] for part, cut in zip(self.parts, cuts, strict=True)]))
            into = slice(end, end := end + len(pairs))
            a[into], b[into], cosine[into] = pairs["a"], pairs["b"], pairs["cosine"]
            for part in self.parts:
                release(part)
        return a[:end], b[:end], cosine[:end]
