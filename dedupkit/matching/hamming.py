"""All pairs of hashes within a Hamming radius, complete, without comparing all pairs.

Multi-index hashing (Norouzi, Punjani and Fleet 2012, arXiv 1307.2982): if two hashes of m chunks differ in at most r
bits, then some chunk differs in at most floor(r / m).  Chunks of 16 bits that agree, with up to that many bits
changed, are looked up in buckets; only hashes that share one are compared.  Each chunk lies in one word of one parity
(see `turns`), so that a chunk and its complement share a bucket and the four mirror images cost one search.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dedupkit.matching.bit_sampling import sampled_pairs
from dedupkit.matching.equals import copies, first_of_equals, firsts
from dedupkit.matching.runs import Runs, pack, packed_once, unpack
from dedupkit.matching.turns import mirrored_distances
from dedupkit.scratch import Scratch, blocks, release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.engines import Spread
    from dedupkit.matching.turns import HashLayout

COMPLETE_BELOW = 100_000
_CHUNK_BITS = 16
_CANDIDATES = 1 << 18  # compared at a time: some 20 MB, and it stays in cache
_LOOKUPS = 1 << 18  # looked up at a time, which for few hashes are many changes of one chunk


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

    def rows(self, which: slice) -> HammingPairs:
        """Some of the pairs."""
        return HammingPairs(self.a[which], self.b[which], self.distance[which], self.turn[which])

    @classmethod
    def joined(cls, parts: list[HammingPairs]) -> HammingPairs:
        """Several parts as one."""
        kinds = {"a": np.int64, "b": np.int64, "distance": np.uint16, "turn": np.uint8}
        empty = {name: np.empty(0, kind) for name, kind in kinds.items()}
        return cls(*(np.concatenate([empty[name], *(getattr(part, name) for part in parts)]) for name in kinds))


def hamming_pairs(
    codes: NDArray[np.uint8],
    layout: HashLayout,
    max_hamming_bits: int,
    *,
    turned: bool = True,
    threads: int = 1,
    complete_below: int = COMPLETE_BELOW,
) -> HammingPairs:
    """Find every pair of hashes within a Hamming radius, or most pairs of a large set.

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
    threads : int
        Threads that search, a chunk each.
    complete_below : int
        Larger sets are searched by sampling bits.

    Returns
    -------
    HammingPairs
        Below `complete_below` complete: the same as comparing all pairs.  From there on equal hashes are paired with
        the first of them, and only that one is searched further; of the pairs found distance and turn are exact.

    Notes
    -----
    Below `complete_below`, time is that of n look-ups for each of m chunks (m = bits / 16) and each change of up to
    ``floor(r / m)`` bits in one, doubled by `turned`, and of one comparison, about 40 ns, for each pair that shares a
    bucket: with n random hashes n^2 / 2^16 a look-up.  Memory is 100 bytes a hash, and about 100 a pair found:
    a picture that stands a thousand times in as many encodings is half a million pairs.

    From there on see `bit_sampling.sampled_pairs` for time, memory, and the share of pairs that is found.
    """
    parts = hamming_parts(
        codes, layout, max_hamming_bits, turned=turned, threads=threads, complete_below=complete_below
    )
    return HammingPairs.joined(list(parts))


def hamming_parts(
    codes: NDArray[np.uint8],
    layout: HashLayout,
    max_hamming_bits: int,
    *,
    turned: bool = True,
    threads: int = 1,
    complete_below: int | None = None,
    memory: int | None = None,
    scratch: Scratch | None = None,
    spread: Spread | None = None,
) -> Iterator[HammingPairs]:
    """The pairs of `hamming_pairs` in parts of disjoint and ascending ranges of a.

    Parameters
    ----------
    codes, layout, max_hamming_bits, turned, threads, complete_below
        As there; codes may be a memory map.
    memory : int, optional
        Bytes that the search of a large set may take; the result does not depend on it.
    scratch : Scratch, optional
        Where pairs and what is made of hashes lie; in memory if left out.
    spread : callable, optional
        Runs tasks in other processes, which see the scratch files.
    """
    if len(codes) < (COMPLETE_BELOW if complete_below is None else complete_below):
        yield _complete(np.asarray(codes), layout, max_hamming_bits, turned, threads)
        return
    scratch = scratch or Scratch()
    words = _words(codes, layout, scratch)
    first = first_of_equals(words, memory=memory, scratch=scratch)
    rows = firsts(first, scratch)
    distinct = words if len(rows) == len(words) else _taken(words, rows, scratch)
    transposed = _words(codes, layout, scratch, rows=rows) if turned else None
    found = Runs(scratch, np.uint64, packed_once)
    for again in copies(first):
        found.add(pack(first[again], again))
    near = Runs(scratch, np.uint64, packed_once)
    sampled_pairs(distinct, transposed, max_hamming_bits, threads=threads, memory=memory, into=near, spread=spread)
    for packed in near.merged():
        a, b = unpack(packed)
        found.add(pack(rows[a], rows[b]))
    near.remove()
    for packed in found.merged():
        yield _measured(*unpack(packed), words, codes, layout, turned=turned)


def _complete(codes: NDArray[np.uint8], layout: HashLayout, radius: int, turned: bool, threads: int) -> HammingPairs:
    words = layout.words(codes)
    searches = [_Search(words, words, radius, turned, 0)]
    if turned:
        searches.append(_Search(words, layout.words(layout.transposed(codes)), radius, turned, 4))
    chunks = range(layout.bits // _CHUNK_BITS)
    with ThreadPoolExecutor(threads, thread_name_prefix="dedupkit") as pool:
        found = list(pool.map(_Search.in_chunk, *zip(*product(searches, chunks), strict=True)))
    return _nearest_turn([block for each in found for block in each])


def _measured(
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    words: NDArray[Any],
    codes: NDArray[np.uint8],
    layout: HashLayout,
    *,
    turned: bool,
) -> HammingPairs:
    """Pairs with their distance and turn."""
    distance, turn = np.empty(len(a), dtype=np.uint16), np.empty(len(a), dtype=np.uint8)
    for block in blocks(len(a), _CANDIDATES):
        distance[block], turn[block] = _nearest(words[a[block]], codes[b[block]], layout, turned)
        release(words)
        release(codes)
    return HammingPairs(a, b, distance, turn)


def _words(
    codes: NDArray[np.uint8], layout: HashLayout, scratch: Scratch, *, rows: NDArray[np.int64] | None = None
) -> NDArray[Any]:
    """Words of the parities, of some rows transposed; in blocks, as bit by bit a hash takes eight times its size."""
    count = len(codes) if rows is None else len(rows)
    words = scratch.array((count, 4), layout.word)
    for block in blocks(count, _CANDIDATES):
        chosen = codes[block] if rows is None else layout.transposed(codes[rows[block]])
        words[block] = layout.words(chosen)
        release(codes)
        release(words)
    return words


def _taken(values: NDArray[Any], rows: NDArray[np.int64], scratch: Scratch) -> NDArray[Any]:
    taken = scratch.array((len(rows), *values.shape[1:]), values.dtype)
    for block in blocks(len(rows), _CANDIDATES):
        taken[block] = values[rows[block]]
        release(values)
        release(taken)
    return taken


def _nearest(
    words: NDArray[Any], codes: NDArray[np.uint8], layout: HashLayout, turned: bool
) -> tuple[NDArray[np.uint16], NDArray[np.intp]]:
    """Least distance of each pair over the turns of the second one, and the lowest turn that gives it."""
    others = layout.words(codes)
    if not turned:
        return _plain_distances(words ^ others)[0], np.zeros(len(words), dtype=np.intp)
    transposed = layout.words(layout.transposed(codes))
    distances = np.concatenate([mirrored_distances(words ^ each) for each in (others, transposed)])
    return distances.min(axis=0), distances.argmin(axis=0)


class _Block(NamedTuple):
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    distance: NDArray[np.uint16]
    turn: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Search:
    """Pairs a < b of a row of `words` and one of `others`, under any of four mirrorings or none, found once each."""

    words: NDArray[Any]
    others: NDArray[Any]
    radius: int
    turned: bool
    first_turn: int

    def in_chunk(self, chunk: int) -> list[_Block]:
        """The pairs that are near in one chunk, and in none before."""
        keys, other_keys = (each.view(np.uint16)[:, chunk] for each in (self.words, self.others))
        count = self.words.view(np.uint16).shape[1]
        mirrored = self.turned and chunk >= count // 4  # the first word holds even frequencies only
        near_bits = self.radius // count
        buckets = _Buckets.of(_smaller(keys, mirrored=mirrored))
        found = []
        for differences in _in_batches(_differences(near_bits), max(1, _LOOKUPS // max(1, len(keys)))):
            wanted = _smaller(other_keys ^ differences[:, None], mirrored=mirrored)
            for a, b in buckets.partners(wanted):
                found.append(self._compared(a, b, chunk, near_bits))
        return [block for block in found if len(block.a)]

    def _compared(self, a: NDArray[np.int64], b: NDArray[np.int64], chunk: int, near_bits: int) -> _Block:
        difference = self.words[a] ^ self.others[b]
        distances = mirrored_distances(difference) if self.turned else _plain_distances(difference)
        near = distances.min(axis=0) <= self.radius
        near[near] &= ~_found_before(difference[near], chunk, near_bits, turned=self.turned)
        distances = distances[:, near]
        turn = distances.argmin(axis=0).astype(np.uint8) + np.uint8(self.first_turn)
        return _Block(a[near], b[near], distances.min(axis=0), turn)


def _plain_distances(difference: NDArray[Any]) -> NDArray[np.uint16]:
    return np.asarray(np.bitwise_count(difference).sum(axis=1, dtype=np.uint16)[None])


def _differences(bits: int) -> NDArray[np.uint16]:
    """All 16-bit values of at most so many bits."""
    places = range(_CHUNK_BITS)
    chosen = (each for count in range(bits + 1) for each in combinations(places, count))
    return np.array([sum(1 << bit for bit in each) for each in chosen], dtype=np.uint16)


def _in_batches(values: NDArray[np.uint16], size: int) -> list[NDArray[np.uint16]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _smaller(keys: NDArray[np.uint16], *, mirrored: bool) -> NDArray[np.uint16]:
    """Of each key and its complement the smaller, where mirroring makes them equal."""
    return np.asarray(np.minimum(keys, ~keys)) if mirrored else keys


def _found_before(difference: NDArray[Any], chunk: int, bits: int, *, turned: bool) -> NDArray[np.bool_]:
    """Whether an earlier chunk finds the pair too."""
    differing = np.bitwise_count(difference.view(np.uint16)[:, :chunk])
    if turned:
        mirrored = differing[:, difference.view(np.uint16).shape[1] // 4 :]
        np.minimum(mirrored, _CHUNK_BITS - mirrored, out=mirrored)
    return np.asarray((differing <= bits).any(axis=1))


@dataclass(frozen=True, slots=True)
class _Buckets:
    """Rows by their key: those of key k are ``order[starts[k] : starts[k + 1]]``."""

    order: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, keys: NDArray[np.uint16]) -> _Buckets:
        counts = np.bincount(keys, minlength=1 << _CHUNK_BITS)
        return cls(np.argsort(keys, kind="stable"), np.concatenate([[0], np.cumsum(counts)]))

    def partners(self, keys: NDArray[np.uint16]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Pairs a < b where row a is in the bucket of a key in column b, in bounded blocks.

        Keys are of shape (m, n).
        """
        width = keys.shape[1]
        wanted = keys.ravel().astype(np.int64)
        filled = np.flatnonzero(self.starts[wanted + 1] > self.starts[wanted])
        begins, ends = self.starts[wanted[filled]], self.starts[wanted[filled] + 1]
        total = np.cumsum(ends - begins)
        cuts = np.searchsorted(total, np.arange(_CANDIDATES, total[-1] if len(total) else 0, _CANDIDATES))
        for rows in np.split(np.arange(len(filled)), cuts):
            counts = ends[rows] - begins[rows]
            b = np.repeat(filled[rows] % width, counts)
            within = np.arange(len(b)) - np.repeat(np.cumsum(counts) - counts, counts)
            a = self.order[np.repeat(begins[rows], counts) + within]
            ahead = a < b
            if ahead.any():
                yield a[ahead], b[ahead]


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
