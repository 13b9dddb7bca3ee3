"""Hits of a search for neighbours: two numbers and their cosine, in lists and as pairs of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
