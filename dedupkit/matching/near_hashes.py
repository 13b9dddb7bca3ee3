"""Pairs of samples whose hashes are near, whole or inside their frames: each with its nearest match, in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.matching.hamming import HammingPairs, hamming_parts
from dedupkit.matching.radius import layout_of
from dedupkit.matching.signatures import comparable, differ_inside
from dedupkit.scratch import blocks, release

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from dedupkit.engines import Spread
    from dedupkit.matching.signatures import Fingerprints
    from dedupkit.recipe import Matching
    from dedupkit.scratch import Scratch

NEAR = np.dtype([("a", np.int64), ("b", np.int64), ("bits", np.uint16), ("turn", np.uint8), ("trimmed", np.uint8)])
"""A pair of rows, a < b; `trimmed`: whose frame was trimmed, 1 of a, 2 of b, 3 of both."""
TRIMMED = ("none", "a", "b", "both")
"""Names of the numbers in `trimmed`."""
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class _Entries:
    """All hashes that are compared, in the order of their samples, a whole one before the trimmed one.

    Attributes
    ----------
    codes : ndarray of uint8, shape (m, bits / 8)
    owners : ndarray of int64, shape (m,)
        Row of the sample each belongs to, ascending.
    trimmed : ndarray of bool, shape (m,)
    """

    codes: NDArray[np.uint8]
    owners: NDArray[np.int64]
    trimmed: NDArray[np.bool_]

    @classmethod
    def of(cls, prints: Fingerprints, first: NDArray[np.int64], scratch: Scratch) -> _Entries:
        """Those of the samples that are the `first` of their bytes."""
        codes = scratch.growing(np.uint8, prints.whole.codes.shape[1:])
        owners, trimmed = scratch.growing(np.int64), scratch.growing(np.bool_)
        for block in blocks(len(prints), _BLOCK):
            rows = np.arange(block.start, block.stop)
            both = np.stack(comparable(prints.whole.rows(block), prints.trimmed.rows(block)), axis=1)
            both &= (first[block] == rows)[:, None]
            place, kind = np.nonzero(both)
            stacked = np.stack([prints.whole.codes[block], prints.trimmed.codes[block]], axis=1)
            codes.append(stacked[place, kind])
            owners.append(rows[place])
            trimmed.append(kind == 1)
            prints.release()
        return cls(codes.whole(), owners.whole(), trimmed.whole())


def near_hashes(
    prints: Fingerprints,
    first: NDArray[np.int64],
    matching: Matching,
    radius: int,
    *,
    threads: int,
    scratch: Scratch,
    memory: int | None = None,
    spread: Spread | None = None,
) -> NDArray[Any]:
    """Find the pairs of different bytes whose hashes are near.

    Parameters
    ----------
    prints : Fingerprints
        Of all samples.
    first : ndarray of int64, shape (n,)
        The first row of the same bytes: only those are compared.
    matching : Matching
        Which hash, and whether turned.
    radius : int
        Largest Hamming distance, in bits.
    threads : int
        That search.
    scratch : Scratch
        Where the pairs lie.
    memory : int, optional
        Bytes that a large search may take.
    spread : callable, optional
        Runs tasks in other processes, which see the scratch files.

    Returns
    -------
    ndarray of `NEAR`, shape (m,)
        Sorted by (a, b), each pair once, with the least distance.
    """
    layout = layout_of(matching)
    entries = _Entries.of(prints, first, scratch)
    parts = hamming_parts(
        entries.codes,
        layout,
        radius,
        turned=matching.turned,
        threads=threads,
        memory=memory,
        scratch=scratch,
        spread=spread,
    )
    found = scratch.growing(NEAR)
    for pairs in _by_owner(parts, entries.owners):
        a, b = entries.owners[pairs.a], entries.owners[pairs.b]
        trimmed = entries.trimmed[pairs.a] + 2 * entries.trimmed[pairs.b].astype(np.uint8)
        sound = a != b
        whole = np.flatnonzero(sound & (trimmed == 0))
        sound[whole] = ~differ_inside(prints.trimmed, a[whole], b[whole], layout)
        found.append(_nearest(a, b, pairs, trimmed, sound))
        prints.release()
        for values in (entries.owners, entries.trimmed):
            release(values)
    return found.whole()


def _by_owner(parts: Iterable[HammingPairs], owners: NDArray[np.int64]) -> Iterator[HammingPairs]:
    """The same pairs in parts that hold all of a sample."""
    kept = HammingPairs.joined([])
    for part in parts:
        whole = HammingPairs.joined([kept, part])
        last = owners[whole.a[-1]] if len(whole.a) else 0
        cut = int(np.searchsorted(owners[whole.a], last))
        yield whole.rows(slice(0, cut))
        kept = whole.rows(slice(cut, None))
    yield kept


def _nearest(
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    pairs: HammingPairs,
    trimmed: NDArray[np.uint8],
    sound: NDArray[np.bool_],
) -> NDArray[Any]:
    """Of each pair of samples the nearest match."""
    order = np.lexsort((trimmed, pairs.distance, b, a))
    order = order[sound[order]]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (a[order[1:]] != a[order[:-1]]) | (b[order[1:]] != b[order[:-1]])
    best = order[fresh]
    near = np.empty(len(best), NEAR)
    near["a"], near["b"], near["trimmed"] = a[best], b[best], trimmed[best]
    near["bits"], near["turn"] = pairs.distance[best], pairs.turn[best]
    return near
