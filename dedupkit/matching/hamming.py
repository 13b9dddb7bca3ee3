"""All pairs of hashes within a Hamming radius, complete, without comparing all pairs.

Multi-index hashing (Norouzi, Punjani and Fleet 2012, arXiv 1307.2982): if two hashes of m chunks differ in at most r
bits, then some chunk differs in at most floor(r / m).  Chunks of 16 bits that agree, with up to that many bits masked
out, are found by sorting; only hashes that share one are compared.  Each chunk lies in one word of one parity
(see `turns`), so that a chunk and its complement share a sorting key and the four mirror images cost one search.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dedupkit.matching.turns import mirrored_distances

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.matching.turns import HashLayout

_CHUNK_BITS = 16
_CANDIDATES = 1 << 18  # compared at a time: some 20 MB, and it stays in cache


@dataclass(frozen=True, slots=True)
class HammingPairs:
    """Pairs within a radius, each once, sorted by (a, b).

    Attributes
    ----------
    a, b : ndarray of int64, shape (n,)
        Row numbers, a < b.
    distance : ndarray of uint16, shape (n,)
        Hamming distance in bits, the least over the turns that were asked for.
    turn : ndarray of uint8, shape (n,)
        Number of the turn of b that gives it, as in `turns.ORIENTATIONS`; the lowest of equals.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    distance: NDArray[np.uint16]
    turn: NDArray[np.uint8]


def hamming_pairs(
    codes: NDArray[np.uint8], layout: HashLayout, max_hamming_bits: int, *, turned: bool = True
) -> HammingPairs:
    """Find every pair of hashes within a Hamming radius.

    Parameters
    ----------
    codes : ndarray of uint8, shape (n, bits / 8)
        Hashes.
    layout : HashLayout
        How their bits lie on the DCT grid.
    max_hamming_bits : int
        Radius.
    turned : bool
        Also match each hash with the other's seven flips and turns.

    Returns
    -------
    HammingPairs
        Complete: the same as comparing all pairs.

    Notes
    -----
    Time is that of ``m * C(16, floor(r / m))`` sorts of n keys (m = bits / 16 chunks, doubled by `turned`) and of one
    comparison, about 40 ns, for each pair that shares a masked chunk: for n random hashes n^2 / 2^17 each sort.
    """
    words = layout.words(codes)
    found = list(_search(words, words, max_hamming_bits, turned=turned))
    if turned:
        transposed = layout.words(layout.transposed(codes))
        found += [_Block(*block[:3], block.turn + 4) for block in _search(words, transposed, max_hamming_bits)]
    return _nearest_turn(found)


class _Block(NamedTuple):
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    distance: NDArray[np.uint16]
    turn: NDArray[np.uint8]


def _search(words: NDArray[Any], others: NDArray[Any], radius: int, *, turned: bool = True) -> Iterator[_Block]:
    """Each pair a < b of a row of `words` and one of `others` within the radius under some mirroring, once."""
    chunks, other_chunks = (np.ascontiguousarray(each).view(np.uint16) for each in (words, others))
    count = chunks.shape[1]
    masks = [sum(1 << bit for bit in bits) for bits in combinations(range(_CHUNK_BITS), radius // count)]
    owner = _owners(masks)
    for chunk in range(count):
        mirrored = turned and chunk >= count // 4  # the first word holds even frequencies only
        keys, other_keys = chunks[:, chunk], other_chunks[:, chunk]
        for number, mask in enumerate(masks):
            for a, b in _sharing(keys, other_keys, mask, mirrored=mirrored, same=others is words):
                mine = owner[_fewer_bits(keys[a] ^ other_keys[b], mirrored=mirrored)] == number
                a, b = a[mine], b[mine]
                difference = words[a] ^ others[b]
                distances = mirrored_distances(difference) if turned else _plain_distances(difference)
                near = distances.min(axis=0) <= radius
                near[near] &= _first_found_in(difference[near], chunk, owner, turned=turned)
                if near.any():
                    best = distances[:, near].argmin(axis=0)
                    distance = distances[:, near].min(axis=0)
                    yield _Block(a[near], b[near], distance, best.astype(np.uint8))


def _plain_distances(difference: NDArray[Any]) -> NDArray[np.uint16]:
    return np.bitwise_count(difference).sum(axis=1, dtype=np.uint16)[None]


def _owners(masks: list[int]) -> NDArray[np.int16]:
    """For each 16-bit difference the first mask that covers it, -1 where none does."""
    owner = np.full(1 << _CHUNK_BITS, -1, dtype=np.int16)
    for number, mask in reversed(list(enumerate(masks))):
        part = mask
        while True:
            owner[part] = number
            if part == 0:
                break
            part = (part - 1) & mask  # the next smaller subset of the mask's bits
    return owner


def _fewer_bits(difference: NDArray[np.uint16], *, mirrored: bool) -> NDArray[np.uint16]:
    """The difference or, where chunks count as equal to their complements, the one of both with fewer bits."""
    if not mirrored:
        return difference
    return np.asarray(np.where(np.bitwise_count(difference) > _CHUNK_BITS // 2, ~difference, difference))


def _first_found_in(
    difference: NDArray[Any], chunk: int, owner: NDArray[np.int16], *, turned: bool
) -> NDArray[np.bool_]:
    """Whether no earlier chunk finds the pair too."""
    earlier = difference.view(np.uint16)
    plain = earlier[:, : min(chunk, earlier.shape[1] // 4)]
    mirrored = _fewer_bits(earlier[:, plain.shape[1] : chunk], mirrored=turned)
    return np.asarray((owner[plain] < 0).all(axis=1) & (owner[mirrored] < 0).all(axis=1))


def _sharing(
    keys: NDArray[np.uint16], others: NDArray[np.uint16], mask: int, *, mirrored: bool, same: bool
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows a < b whose keys agree outside the mask, in bounded blocks."""
    masked = _masked(keys, mask, mirrored=mirrored)
    order = np.argsort(masked, kind="stable")
    ends = np.cumsum(np.bincount(masked, minlength=1 << _CHUNK_BITS))
    if same:
        rows, begin, end = order, np.arange(1, len(order) + 1), ends[masked[order]]
    else:
        wanted = _masked(others, mask, mirrored=mirrored)
        rows, end = np.arange(len(others)), ends[wanted]
        begin = np.where(wanted > 0, ends[wanted.astype(np.int64) - 1], 0)
    total = np.cumsum(end - begin)
    for start in range(0, int(total[-1]) if len(total) else 0, _CANDIDATES):
        number = np.arange(start, min(start + _CANDIDATES, total[-1]))
        row = np.searchsorted(total, number, side="right")
        partner = order[end[row] - (total[row] - number)]
        a, b = (rows[row], partner) if same else (partner, rows[row])
        if same:
            yield np.minimum(a, b), np.maximum(a, b)
        else:
            ahead = a < b
            yield a[ahead], b[ahead]


def _masked(keys: NDArray[np.uint16], mask: int, *, mirrored: bool) -> NDArray[np.uint16]:
    """Keys without the masked bits; of a key and its complement the smaller."""
    kept = np.uint16(0xFFFF & ~mask)
    return np.asarray(np.minimum(keys & kept, ~keys & kept) if mirrored else keys & kept)


def _nearest_turn(blocks: list[_Block]) -> HammingPairs:
    """Sorted by (a, b); of a pair that was found as is and transposed, the nearer."""
    if not blocks:
        nothing = np.empty(0, dtype=np.int64)
        return HammingPairs(nothing, nothing, nothing.astype(np.uint16), nothing.astype(np.uint8))
    a, b, distance, turn = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    order = np.lexsort((turn, distance, b, a))
    a, b, distance, turn = a[order], b[order], distance[order], turn[order]
    first = np.ones(len(a), dtype=bool)
    first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    return HammingPairs(a[first], b[first], distance[first], turn[first])
