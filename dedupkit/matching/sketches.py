"""Sketches of descriptors: 256 signs each, of which the more differ the wider the angle between two descriptors.

Signs of random projections (Charikar 2002, doi:10.1145/509907.509965).  Looking through them costs a thirtieth of
looking through the descriptors, so that many lists can be looked into.  The projections add and subtract numbers of
float16 in double precision, which is exact: a sketch does not depend on what was computed beside it.
"""

from __future__ import annotations

from functools import lru_cache
from math import acos, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.scratch import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

SKETCH_BITS = 256
_SPREAD = 1.3  # standard deviations of the bits that differ: nine in ten pairs at the floor pass, and nearly all above
_PAIRS = 1 << 17  # at a time, so that they stay in cache


def sketches_of(rows: NDArray[np.float16]) -> NDArray[np.uint64]:
    """Sketches of descriptors, shape (4, n)."""
    words = np.empty((SKETCH_BITS // 64, len(rows)), np.uint64)
    signs = _signs(rows.shape[1])
    for block in blocks(len(rows), 2048):
        projected = rows[block].astype(np.float64) @ signs
        words[:, block] = np.packbits(projected >= 0, axis=1).view(np.uint64).T
    return words


@lru_cache(maxsize=4)
def _signs(numbers: int) -> NDArray[np.float64]:
    return np.where(np.random.default_rng(7).random((numbers, SKETCH_BITS)) < 0.5, -1.0, 1.0)


def max_sketch_bits(min_cosine: float) -> int:
    """How many bits may differ between the sketches of two descriptors that are looked at.

    Examples
    --------
    >>> max_sketch_bits(0.5), max_sketch_bits(1.0)
    (95, 0)
    """
    share = acos(min(1.0, min_cosine)) / pi
    return int(SKETCH_BITS * share + _SPREAD * sqrt(SKETCH_BITS * share * (1 - share)))


def near_sketches(
    one: NDArray[np.uint64], other: NDArray[np.uint64], max_bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns of one and columns of the other that differ in so many bits or fewer."""
    found = []
    step = max(1, _PAIRS // max(1, one.shape[1]))
    for start in range(0, other.shape[1], step):
        part = other[:, start : start + step]
        bits = np.bitwise_count(one[0][:, None] ^ part[0])  # below 256 for all pairs but opposite ones
        for word in range(1, len(one)):
            bits += np.bitwise_count(one[word][:, None] ^ part[word])
        at, column = np.divmod(np.flatnonzero(bits.ravel() <= max_bits), part.shape[1])
        found.append((at, column + start))
    nothing = np.empty(0, np.int64)
    return np.concatenate([nothing, *(at for at, _ in found)]), np.concatenate([nothing, *(each for _, each in found)])
