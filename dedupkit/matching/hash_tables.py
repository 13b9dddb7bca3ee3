"""Hashes in look-up tables that stay: which of them are near a new one, complete, without comparing all.

Multi-index hashing as in `dedupkit.matching.hamming`, for hashes that come later than the table was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dedupkit.matching.hamming import _differences, _plain_distances, _smaller
from dedupkit.matching.turns import mirrored_distances

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.matching.turns import HashLayout

_BUCKETS = 1 << 16
_COMPARED = 1 << 18  # pairs at a time: some 20 MB
_QUERIES = 256  # looked up at a time
_TABLED_FROM = 4096  # rows; fewer are compared one by one, as the buckets alone take 4 MB
_HELD = 1 << 21  # matches, 80 MB, before those that are not among the nearest are let go
MOST_NEAR = 1024
"""Near hashes of one picture that are looked at, the nearest ones."""


class NearHashes(NamedTuple):
    """Pairs of a query and an earlier entry whose hashes are near, each once.

    `query` is the row of the query; `turn` is how it has to be turned to match; `trimmed` says whose frame was trimmed
    for that: 1 the entry's, 2 the query's, 3 both.
    """

    query: NDArray[np.int64]
    entry: NDArray[np.int64]
    bits: NDArray[np.int64]
    turn: NDArray[np.int64]
    trimmed: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: list[NearHashes]) -> NearHashes:
        """All of several."""
        nothing = np.empty(0, np.int64)
        return (
            cls(*(np.concatenate([nothing, *columns]) for columns in zip(*parts, strict=True)))
            if parts
            else cls(*[nothing] * 5)
        )

    def nearest(self) -> NearHashes:
        """Of each pair the nearest match, of each query the nearest pairs, `MOST_NEAR` of them."""
        order = np.lexsort((self.trimmed, self.bits, self.entry, self.query))
        fresh = np.ones(len(order), dtype=bool)
        query, entry = self.query[order], self.entry[order]
        fresh[1:] = (query[1:] != query[:-1]) | (entry[1:] != entry[:-1])
        order = order[fresh]
        order = order[np.lexsort((self.entry[order], self.bits[order], self.query[order]))]
        query = self.query[order]
        order = order[np.arange(len(order)) - np.searchsorted(query, query) < MOST_NEAR]
        return self.rows(order)

    def rows(self, which: NDArray[np.int64]) -> NearHashes:
        """Some of the pairs."""
        return NearHashes(*(column[which] for column in self))


@dataclass(frozen=True, slots=True)
class HashRule:
    """Which hashes are near: so many bits apart, of a layout, as they are or in any of eight turns."""

    radius: int
    layout: HashLayout
    turned: bool


@dataclass(frozen=True, slots=True)
class QueryHashes:
    """Hashes that are looked for, whole and trimmed ones.

    Attributes
    ----------
    query : ndarray of int64, shape (m,)
        Row of the query that each belongs to, ascending within whole and within trimmed ones.
    trimmed : ndarray of bool, shape (m,)
        Whether it is the hash of what is inside the frame.
    words, transposed : ndarray, shape (m, 4)
        Bits by parity, as `HashLayout.words` sorts them, of the picture and of the picture transposed.
    before : ndarray of int64, shape (q,)
        Of each query: only entries before this one count.
    gone : ndarray of int64
        Entries that do not count, ascending.
    rule : HashRule
        How near they have to be.
    """

    query: NDArray[np.int64]
    trimmed: NDArray[np.bool_]
    words: NDArray[Any]
    transposed: NDArray[Any]
    before: NDArray[np.int64]
    gone: NDArray[np.int64]
    rule: HashRule


@dataclass(frozen=True, slots=True)
class HashTable:
    """Hashes of a stretch of entries, in buckets of their 16-bit chunks.

    Attributes
    ----------
    owners : ndarray of int64, shape (n,)
        Ascending: twice the entry's number, and 1 more for the hash of what is inside its frame.
    words : ndarray, shape (n, 4)
        Bits by parity.
    order : ndarray of uint32, shape (chunks * n,)
        For each chunk the rows by bucket; empty where there are few rows.
    starts : ndarray of uint32, shape (chunks * 65536 + 1,)
        Where each bucket begins in `order`.
    """

    owners: NDArray[np.int64]
    words: NDArray[Any]
    order: NDArray[np.uint32]
    starts: NDArray[np.uint32]

    @classmethod
    def of(cls, owners: NDArray[np.int64], words: NDArray[Any], *, turned: bool) -> HashTable:
        """Make the buckets: 64 bytes a hash of 256 bits, and 4 MB."""
        nothing = np.empty(0, np.uint32)
        if len(owners) < _TABLED_FROM:
            return cls(owners, words, nothing, nothing)
        chunks = words.view(np.uint16)
        orders, counts = [], []
        for chunk in range(chunks.shape[1]):
            keys = _smaller(np.ascontiguousarray(chunks[:, chunk]), mirrored=_mirrors(chunk, chunks.shape[1], turned))
            orders.append(np.argsort(keys, kind="stable").astype(np.uint32))
            counts.append(np.bincount(keys, minlength=_BUCKETS))
        starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.uint32)
        return cls(owners, words, np.concatenate(orders), starts)

    @classmethod
    def merged(cls, tables: list[HashTable], *, turned: bool) -> HashTable:
        """The hashes of several stretches, in their order."""
        owners, words = (np.concatenate([getattr(each, name) for each in tables]) for name in ("owners", "words"))
        return cls.of(owners, words, turned=turned)

    def near(self, queries: QueryHashes) -> NearHashes:
        """Earlier entries with a near hash, by the nearest match of each, `MOST_NEAR` a query.

        Two pictures in frames that show unrelated things inside are no match of whole pictures: the frames made it.
        """
        found, held, most = [NearHashes.joined([])], 0, _HELD
        for start in range(0, len(queries.query), _QUERIES):
            for first_turn in (0, 4)[: 2 if queries.rule.turned else 1]:
                words = (queries.transposed if first_turn else queries.words)[start : start + _QUERIES]
                for row, at in self._likely(words, queries.rule):
                    near = self._compared(queries, row, at + start, self.words[row] ^ words[at])
                    found.append(self._sound(queries, near._replace(turn=near.turn + first_turn)))
                    held += len(found[-1].query)
                    if held > most:  # a crowd: of each query no more are kept than will be looked at
                        found = [NearHashes.joined(found).nearest()]
                        held = len(found[0].query)
                        most = held + _HELD
        return NearHashes.joined(found).nearest()

    def _sound(self, queries: QueryHashes, near: NearHashes) -> NearHashes:
        """Those with earlier entries that count, and of which not only the frames are alike."""
        near = near.rows(np.flatnonzero(near.entry < queries.before[near.query]))
        near = near.rows(np.flatnonzero(~np.isin(near.entry, queries.gone)))
        return near.rows(np.flatnonzero((near.trimmed != 0) | ~self._differ_inside(queries, near)))

    def _compared(
        self, queries: QueryHashes, row: NDArray[np.int64], at: NDArray[np.int64], difference: NDArray[Any]
    ) -> NearHashes:
        distances = mirrored_distances(difference) if queries.rule.turned else _plain_distances(difference)
        near = np.flatnonzero(distances.min(axis=0) <= queries.rule.radius)
        owner, at, distances = self.owners[row[near]], at[near], distances[:, near]
        bits, turn = distances.min(axis=0).astype(np.int64), distances.argmin(axis=0)
        return NearHashes(queries.query[at], owner >> 1, bits, turn, (owner & 1) + 2 * queries.trimmed[at])

    def _likely(self, words: NDArray[Any], rule: HashRule) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Rows, and the queries that they may be near to, in bounded blocks."""
        if not len(self.starts):
            step = max(1, _COMPARED // max(1, len(words)))
            for start in range(0, len(self.owners), step):
                rows = np.arange(start, min(start + step, len(self.owners)))
                yield np.repeat(rows, len(words)), np.tile(np.arange(len(words)), len(rows))
            return
        buckets = _buckets(words, rule)
        begins, ends = (self.starts[buckets + end].astype(np.int64) for end in (0, 1))
        at, bucket = np.nonzero(ends > begins)
        begins, counts = begins[at, bucket], (ends - begins)[at, bucket]
        total = np.cumsum(counts)
        cuts = np.searchsorted(total, np.arange(_COMPARED, total[-1] if len(total) else 0, _COMPARED))
        for part in np.split(np.arange(len(at)), cuts):
            some = counts[part]
            within = np.arange(some.sum()) - np.repeat(np.cumsum(some) - some, some)
            yield self.order[np.repeat(begins[part], some) + within].astype(np.int64), np.repeat(at[part], some)

    def _differ_inside(self, queries: QueryHashes, near: NearHashes) -> NDArray[np.bool_]:
        """As `dedupkit.matching.stage.differ_inside`, of pictures that are both in frames."""
        differ = np.zeros(len(near.query), dtype=bool)
        inside = np.flatnonzero(queries.trimmed)
        if not len(inside) or not len(near.query):
            return differ
        mine = np.minimum(np.searchsorted(queries.query[inside], near.query), len(inside) - 1)
        theirs = np.minimum(np.searchsorted(self.owners, 2 * near.entry + 1), len(self.owners) - 1)
        framed = np.flatnonzero(
            (queries.query[inside[mine]] == near.query) & (self.owners[theirs] == 2 * near.entry + 1)
        )
        mine, words = inside[mine[framed]], self.words[theirs[framed]]
        nearest = np.minimum(
            mirrored_distances(words ^ queries.words[mine]).min(axis=0),
            mirrored_distances(words ^ queries.transposed[mine]).min(axis=0),
        )
        differ[framed] = nearest > queries.rule.layout.bits * 3 // 8
        return differ


def _buckets(words: NDArray[Any], rule: HashRule) -> NDArray[np.int64]:
    """The buckets that each query looks into, shape (queries, chunks * changes)."""
    keys = np.ascontiguousarray(words).view(np.uint16)
    count = keys.shape[1]
    differences = _differences(rule.radius // count)
    wanted = [
        _smaller(keys[:, chunk, None] ^ differences, mirrored=_mirrors(chunk, count, rule.turned)).astype(np.int64)
        + chunk * _BUCKETS
        for chunk in range(count)
    ]
    return np.concatenate(wanted, axis=1)


def _mirrors(chunk: int, count: int, turned: bool) -> bool:
    """Whether mirroring complements a chunk; the first word holds even frequencies only."""
    return turned and chunk >= count // 4
