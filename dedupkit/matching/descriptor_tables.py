"""Descriptors in lists that stay: the nearest of those that came before, the same however they were batched.

A descriptor is float16, so that the product of two of its numbers is a multiple of 2^-48; rows have length 1, so that
every partial sum of a cosine stays below 32 and is exact in double precision, in whatever order it is added up.  What
single precision finds is only what may be near; which is near, and in which order, double precision says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dedupkit.matching.sketches import max_sketch_bits, near_sketches, sketches_of
from dedupkit.scratch import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.matching.cell_means import CellMeans

_MARGIN = np.float32(1e-4)  # of single precision; its error is some 1e-6
_PRODUCTS = 1 << 21  # pairs at a time: some 60 MB
_DENSE = 8  # where more than one in so many pairs is looked at, all are multiplied
_ALONE = 4  # queries that gather the rows of their cells, each for itself
_FEW_ROWS = 8192  # are all compared, and what no list would have shown is left out afterwards


class Near(NamedTuple):
    """Pairs of a query, by its row, and an earlier entry, with their exact cosine."""

    query: NDArray[np.int64]
    entry: NDArray[np.int64]
    cosine: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: list[Near]) -> Near:
        """All of several."""
        nothing = np.empty(0, np.int64)
        return cls(
            np.concatenate([nothing, *(part.query for part in parts)]),
            np.concatenate([nothing, *(part.entry for part in parts)]),
            np.concatenate([np.empty(0), *(part.cosine for part in parts)]),
        )

    def nearest(self, limit: int) -> Near:
        """Of each query the nearest entries, so many; of equally near ones the first."""
        order = np.lexsort((self.entry, -self.cosine, self.query))
        query = self.query[order]
        return self.rows(order[np.arange(len(order)) - np.searchsorted(query, query) < limit])

    def rows(self, which: NDArray[np.int64]) -> Near:
        """Some of the pairs."""
        return Near(self.query[which], self.entry[which], self.cosine[which])


@dataclass(frozen=True)
class DescriptorQueries:
    """Descriptors whose earlier neighbours are looked for.

    Attributes
    ----------
    rows : ndarray of float16, shape (q, d)
        The descriptors; zeros have no neighbours.
    before : ndarray of int64, shape (q,)
        Only entries before this one count.
    visits : ndarray of int64, shape (q, v), or None
        The cells that each looks into; None for all.
    sketches : ndarray of uint64, shape (4, q), or None
        Only rows with a near sketch are looked at; None for all.
    limit : int
        How many neighbours each has at most.
    min_cosine : float
        How near they have to be.
    gone : ndarray of int64
        Entries that do not count, ascending.
    """

    rows: NDArray[np.float16]
    before: NDArray[np.int64]
    visits: NDArray[np.int64] | None
    sketches: NDArray[np.uint64] | None
    limit: int
    min_cosine: float
    gone: NDArray[np.int64]

    @cached_property
    def single(self) -> NDArray[np.float32]:
        """The rows in single precision."""
        return self.rows.astype(np.float32)

    @property
    def max_sketch_bits(self) -> int:
        """How far sketches may differ."""
        return max_sketch_bits(self.min_cosine)


def exact_cosines(
    one: NDArray[np.float16], other: NDArray[np.float16], a: NDArray[np.int64], b: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Cosine of rows `a` of one and `b` of the other, exact."""
    cosine = np.empty(len(a))
    for block in blocks(len(a)):
        pair = one[a[block]].astype(np.float64), other[b[block]].astype(np.float64)
        cosine[block] = np.einsum("nd,nd->n", *pair)
    return cosine


@dataclass(frozen=True, slots=True)
class DescriptorTable:
    """Descriptors of a stretch of entries, cell by cell.

    Attributes
    ----------
    entries : ndarray of int64, shape (n,)
        The entry of each row; ascending within a cell.
    rows : ndarray of float16, shape (n, d)
        Descriptors.
    sketches : ndarray of uint64, shape (4, n)
        What is looked through first.
    starts : ndarray of int64, shape (cells + 1,)
        Where each cell begins.
    ascending : ndarray of int64, shape (n,)
        The rows in the order of entries.
    """

    entries: NDArray[np.int64]
    rows: NDArray[np.float16]
    sketches: NDArray[np.uint64]
    starts: NDArray[np.int64]
    ascending: NDArray[np.int64]

    @classmethod
    def of(cls, entries: NDArray[np.int64], rows: NDArray[np.float16], means: CellMeans) -> DescriptorTable:
        """Put rows into the cells of some means; rows of zeros have no place."""
        kept = np.flatnonzero(rows.any(axis=1)) if rows.shape[1] else np.empty(0, np.int64)
        entries, rows = (entries, rows) if len(kept) == len(rows) else (entries[kept], rows[kept])
        home = means.homes(rows)
        order = np.lexsort((entries, home))
        counts = np.bincount(home, minlength=max(1, len(means.means)))
        entries = entries[order]
        starts, ascending = np.concatenate([[0], np.cumsum(counts)]), np.argsort(entries, kind="stable")
        return cls(entries, rows[order], sketches_of(rows[order]), starts, ascending)

    @classmethod
    def merged(cls, tables: list[DescriptorTable]) -> DescriptorTable:
        """The rows of several stretches that stand in cells of the same means, cell by cell."""
        tables = [table for table in tables if len(table.entries)] or tables[:1]
        entries = np.concatenate([table.entries for table in tables])
        home = np.concatenate([table.homes() for table in tables])
        order = np.lexsort((entries, home))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        rows = np.empty((len(order), tables[0].rows.shape[1]), np.float16)
        sketches = np.concatenate([table.sketches for table in tables], axis=1)[:, order]
        end = 0
        for table in tables:  # one after the other, so that not all are in memory twice
            rows[place[end : end + len(table.rows)]] = table.rows
            end += len(table.rows)
        entries = entries[order]
        starts = np.sum([table.starts for table in tables], axis=0)
        return cls(entries, rows, sketches, starts, np.argsort(entries, kind="stable"))

    def homes(self) -> NDArray[np.int64]:
        """The cell of each row."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def place(self, entries: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each entry; -1 where it has none here."""
        if not len(self.entries):
            return np.full(len(entries), -1)
        at = np.searchsorted(self.entries, entries, sorter=self.ascending)
        row = self.ascending[np.minimum(at, len(self.ascending) - 1)]
        return np.where(self.entries[row] == entries, row, -1)

    def near(self, queries: DescriptorQueries) -> Near:
        """The nearest earlier entries of each query, of those that it looks at."""
        if not len(self.entries) or not len(queries.rows):
            return Near.joined([])
        found = [self._in_range(queries, visitors, rows) for visitors, rows in self._ranges(queries)]
        return Near.joined(found).nearest(queries.limit)

    def _ranges(self, queries: DescriptorQueries) -> Iterator[tuple[NDArray[np.int64], slice | NDArray[np.int64]]]:
        """Rows, and the queries that look at some of them."""
        everyone, visits = np.arange(len(queries.rows)), queries.visits
        if visits is None or len(self.entries) <= _FEW_ROWS:
            step = max(1, _PRODUCTS // len(everyone))
            yield from ((everyone, block) for block in blocks(len(self.entries), step))
        elif len(everyone) <= _ALONE:
            for query in everyone.tolist():
                yield everyone[query : query + 1], self._rows_in(np.sort(visits[query]))
        else:
            order = np.argsort(visits, axis=None, kind="stable")
            cells, begins = np.unique(visits.ravel()[order], return_index=True)
            for cell, visitors in zip(cells.tolist(), np.split(order // visits.shape[1], begins[1:]), strict=True):
                yield visitors, slice(*self.starts[cell : cell + 2].tolist())

    def _rows_in(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of some cells."""
        begins, counts = self.starts[cells], np.diff(self.starts)[cells]
        return np.repeat(begins - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())

    def _in_range(
        self, queries: DescriptorQueries, visitors: NDArray[np.int64], rows: slice | NDArray[np.int64]
    ) -> Near:
        at, row, likely = self._likely(queries, visitors, rows)
        query, entries = visitors[at], self.entries[row]
        counts = entries < queries.before[query]
        if len(queries.gone):
            counts &= ~np.isin(entries, queries.gone)
        if queries.visits is not None and len(self.entries) <= _FEW_ROWS:
            counts &= self._in_sight(queries, visitors)[at, row]
        query, row, likely = query[counts], row[counts], likely[counts]
        likeliest = _likeliest(query, likely, queries)
        query, row = query[likeliest], row[likeliest]
        cosine = exact_cosines(queries.rows, self.rows, query, row)
        near = cosine >= queries.min_cosine
        return Near(query[near], self.entries[row[near]], cosine[near]).nearest(queries.limit)

    def _likely(
        self, queries: DescriptorQueries, visitors: NDArray[np.int64], rows: slice | NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Places among the visitors, rows that they look at, and their cosine in single precision if it may be near."""
        single = queries.single[visitors]
        if queries.sketches is None:
            products = self._products(single, rows)
            likely = np.flatnonzero(products.ravel() >= np.float32(queries.min_cosine) - _MARGIN)
            at, place = np.divmod(likely, products.shape[1])
            return at, _numbers(rows, place), products[at, place]
        at, place = near_sketches(queries.sketches[:, visitors], self.sketches[:, rows], queries.max_sketch_bits)
        row = _numbers(rows, place)
        if isinstance(rows, slice) and len(at) * _DENSE > len(single) * (rows.stop - rows.start):
            return at, row, self._products(single, rows)[at, place]
        return at, row, self._one_by_one(single, at, row)

    def _products(self, single: NDArray[np.float32], rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Cosines of all pairs."""
        return np.asarray(single @ self.rows[rows].astype(np.float32).T)

    def _one_by_one(
        self, single: NDArray[np.float32], at: NDArray[np.int64], row: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Cosines of single pairs."""
        likely = np.empty(len(at), np.float32)
        for block in blocks(len(at)):
            likely[block] = np.einsum("nd,nd->n", single[at[block]], self.rows[row[block]].astype(np.float32))
        return likely

    def _in_sight(self, queries: DescriptorQueries, visitors: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each query looks into the cell of each row."""
        seen = np.zeros((len(visitors), len(self.starts) - 1), dtype=bool)
        if queries.visits is not None:
            seen[np.arange(len(visitors))[:, None], queries.visits[visitors]] = True
        return np.asarray(seen[:, self.homes()])


def _numbers(rows: slice | NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows at some places of a range."""
    return np.asarray(place + rows.start if isinstance(rows, slice) else rows[place])


def _likeliest(query: NDArray[np.int64], likely: NDArray[np.float32], queries: DescriptorQueries) -> NDArray[np.int64]:
    """Pairs that may be among the nearest of their query."""
    near = np.flatnonzero(likely >= np.float32(queries.min_cosine) - _MARGIN)
    order = near[np.lexsort((-likely[near], query[near]))]
    query = query[order]
    last = np.searchsorted(query, query) + queries.limit - 1  # place of the last one that counts
    enough = last < np.searchsorted(query, query, side="right")
    floor = (
        np.where(enough, likely[order[np.minimum(last, len(order) - 1)]] - _MARGIN, -1) if len(order) else likely[:0]
    )
    return order[likely[order] >= floor]


def rows_of(tables: list[DescriptorTable], entries: NDArray[np.int64]) -> NDArray[np.float16]:
    """The descriptors of some entries, wherever they stand; zeros where there is none."""
    width = max((table.rows.shape[1] for table in tables), default=0)
    rows = np.zeros((len(entries), width), np.float16)
    for table in tables:
        place = table.place(entries)
        here = np.flatnonzero(place >= 0)
        if len(here):
            rows[here] = table.rows[place[here]]
    return rows
