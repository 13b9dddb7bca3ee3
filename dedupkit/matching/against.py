"""Fingerprints against those of a few given pictures: which samples may show one of them, and by which evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.matching.radius import layout_of
from dedupkit.matching.signatures import comparable, differ_inside, joined_hashes, load, worth_describing
from dedupkit.matching.stage import cosines
from dedupkit.matching.turns import mirrored_distances

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from dedupkit.matching.signatures import Fingerprints
    from dedupkit.recipe import Matching

_PRODUCTS = 1 << 22  # cosines computed at a time, 16 MB
FAR = 0xFFFF
"""Bits of a pair whose hashes are not near."""


@dataclass(frozen=True, slots=True)
class Suspicions:
    """Pairs of a sample and a given picture that it may show, sorted by sample, the nearest picture first.

    Attributes
    ----------
    position : ndarray of uint64, shape (n,)
        The samples.
    given : ndarray of int64, shape (n,)
        Rows of the given pictures.
    exact : ndarray of bool, shape (n,)
        Whether the bytes are equal.
    bits : ndarray of uint16, shape (n,)
        Hamming distance of the hashes, `FAR` where they are not near.
    turn : ndarray of uint8, shape (n,)
        How the sample has to be turned to match, as in `dedupkit.matching.turns.ORIENTATIONS`.
    trimmed : ndarray of uint8, shape (n,)
        Whose frame was trimmed for that: 1 the sample's, 2 the given picture's, 3 both.
    cosine : ndarray of float32, shape (n,)
        Of the descriptors; NaN where there are none.
    """

    position: NDArray[np.uint64]
    given: NDArray[np.int64]
    exact: NDArray[np.bool_]
    bits: NDArray[np.uint16]
    turn: NDArray[np.uint8]
    trimmed: NDArray[np.uint8]
    cosine: NDArray[np.float32]

    def sure(self, matching: Matching) -> NDArray[np.bool_]:
        """Pairs that need no proof: equal bytes, or near hashes whose descriptors, if there are any, agree."""
        return np.asarray(self.exact | ((self.bits != FAR) & ~(self.cosine < matching.sure_cosine)))


def suspicions(table: pa.Table, given: pa.Table, matching: Matching, radius: int) -> Suspicions:
    """Compare the fingerprints of one shard with those of given pictures.

    Parameters
    ----------
    table : pyarrow.Table
        Fingerprints of the shard, at least `dedupkit.matching.stage.COLUMNS`; descriptors are compared where both
        tables have them.
    given : pyarrow.Table
        Fingerprints of the given pictures, none of them faulty; `position` numbers them in their order.
    matching : Matching
        When two pictures are candidates.
    radius : int
        Largest Hamming distance of near hashes, in bits.

    Returns
    -------
    Suspicions

    Notes
    -----
    Every sample is compared with every given picture: some 0.3 microseconds a pair for hashes and descriptors, and
    16 MB beyond the tables.
    """
    mine, theirs = (load([each], matching) for each in (given, table))
    both = _together(mine, theirs)
    count = len(mine.positions)
    exact = _equal_bytes(mine, theirs)
    near = np.concatenate([np.empty((0, 5), np.int64), *_near_hashes(both, count, matching, radius)])
    pairs = [exact, (near[:, 0], near[:, 1])]
    if both.descriptors.shape[1]:
        both.descriptors[~worth_describing(both.whole, both.trimmed)] = 0
        pairs += _alike(both.descriptors, count, matching.min_cosine)
    a, b = (np.concatenate([pair[end] for pair in pairs]) for end in (0, 1))
    return _merged(both, a, b, exact, near)


def _together(given: Fingerprints, rows: Fingerprints) -> Fingerprints:
    """Given pictures first, so that a pair is two row numbers."""
    described = given.descriptors.shape[1] and given.descriptors.shape[1] == rows.descriptors.shape[1]
    parts = [given, rows]
    empty = np.empty((len(given.positions) + len(rows.positions), 0), np.float16)
    return replace(
        given,
        positions=np.concatenate([each.positions for each in parts]),
        digests=np.concatenate([each.digests for each in parts]),
        whole=joined_hashes([each.whole for each in parts]),
        trimmed=joined_hashes([each.trimmed for each in parts]),
        descriptors=np.concatenate([each.descriptors for each in parts]) if described else empty,
    )


def _equal_bytes(given: Fingerprints, rows: Fingerprints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first: dict[bytes, int] = {}
    for number, each in enumerate(given.digests):
        first.setdefault(each.tobytes(), number)
    known = np.fromiter((first.get(each.tobytes(), -1) for each in rows.digests), np.int64, len(rows.digests))
    equal = np.flatnonzero(known >= 0)
    return known[equal], equal + len(given.digests)


def _near_hashes(both: Fingerprints, count: int, matching: Matching, radius: int) -> Iterator[NDArray[np.int64]]:
    """Rows of given picture, sample, bits, turn and trimmed, of whole and trimmed hashes against each other."""
    layout = layout_of(matching)
    kinds = tuple(zip((both.whole, both.trimmed), comparable(both.whole, both.trimmed), strict=True))
    for theirs_trimmed, (hashes, usable) in enumerate(kinds):
        rows = np.flatnonzero(usable[count:]) + count
        words = layout.words(hashes.codes[rows])
        transposed = layout.words(layout.transposed(hashes.codes[rows]))
        for mine_trimmed, (others, informative) in enumerate(kinds):
            for number in np.flatnonzero(informative[:count]).tolist():
                word = layout.words(others.codes[number : number + 1])
                bits, turn = _distances(word, words, transposed, turned=matching.turned)
                near = np.flatnonzero(bits <= radius)
                a, b = np.full(len(near), number), rows[near]
                sound = np.ones(len(near), dtype=bool)
                if not (mine_trimmed or theirs_trimmed):
                    sound = ~differ_inside(both.trimmed, a, b, layout)
                trimmed = np.full(len(near), theirs_trimmed + 2 * mine_trimmed)
                yield np.stack([a, b, bits[near], turn[near], trimmed], axis=1)[sound].astype(np.int64)


def _distances(
    word: NDArray[Any], words: NDArray[Any], transposed: NDArray[Any], *, turned: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if not turned:
        bits = np.bitwise_count(word ^ words).sum(axis=1, dtype=np.int64)
        return bits, np.zeros(len(bits), np.int64)
    distances = np.concatenate([mirrored_distances(word ^ each) for each in (words, transposed)])
    return distances.min(axis=0).astype(np.int64), distances.argmin(axis=0)


def _alike(
    rows: NDArray[np.float16], count: int, min_cosine: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    mine = rows[:count].astype(np.float32).T
    step = max(1, _PRODUCTS // max(1, count))
    for start in range(count, len(rows), step):
        b, a = np.nonzero(rows[start : start + step].astype(np.float32) @ mine >= np.float32(min_cosine))
        yield a, b + start


def _merged(
    both: Fingerprints,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    exact: tuple[NDArray[np.int64], NDArray[np.int64]],
    near: NDArray[np.int64],
) -> Suspicions:
    """Each pair once, with all that is known of it."""
    total = len(both.positions)
    keys = np.unique(b * total + a)
    b, a = np.divmod(keys, max(1, total))
    bits, turn, trimmed = np.full(len(keys), FAR), np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    farthest_first = near[np.argsort(-near[:, 2], kind="stable")]
    place = np.searchsorted(keys, farthest_first[:, 1] * total + farthest_first[:, 0])
    bits[place], turn[place], trimmed[place] = farthest_first[:, 2:].T  # the last write is the nearest
    same = np.isin(keys, exact[1] * total + exact[0])
    cosine = np.full(len(keys), np.nan, np.float32)
    if both.descriptors.shape[1]:
        cosine = cosines(both.descriptors, a, b)
    order = np.lexsort((a, -np.nan_to_num(cosine), bits, ~same, b))
    return Suspicions(
        both.positions[b[order]], a[order], same[order], bits[order].astype(np.uint16),
        turn[order].astype(np.uint8), trimmed[order].astype(np.uint8), cosine[order],
    )  # fmt: skip
