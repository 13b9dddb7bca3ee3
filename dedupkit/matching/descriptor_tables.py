"""Descriptors in lists that stay: the nearest of those that came before, the same however they were batched.

A descriptor is float16, so that the product of two of its numbers is a multiple of 2^-48; rows have length 1, so that
every partial sum of a cosine stays below 32 and is exact in double precision, in whatever order it is added up.  What
single precision finds is only what may be near; which is near, and in which order, double precision says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dedupkit.matching.scratch import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.matching.cell_means import CellMeans

_MARGIN = np.float32(1e-4)  # of single precision; its error is some 1e-6
_PRODUCTS = 1 << 22  # cosines at a time: 16 MB
_NEVER = np.float32(-2)
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


@dataclass(frozen=True, slots=True)
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
    limit : int
        How many neighbours each has at most.
    min_cosine : float
        How near they have to be.
    gone : ndarray of int64
        Entries that do not count, ascending.
    single : ndarray of float32, shape (q, d)
        The rows in single precision.
    """

    rows: NDArray[np.float16]
    before: NDArray[np.int64]
    visits: NDArray[np.int64] | None
    limit: int
    min_cosine: float
    gone: NDArray[np.int64]
    single: NDArray[np.float32]


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
    starts : ndarray of int64, shape (cells + 1,)
        Where each cell begins.
    ascending : ndarray of int64, shape (n,)
        The rows in the order of entries.
    """

    entries: NDArray[np.int64]
    rows: NDArray[np.float16]
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
        return cls(entries, rows[order], np.concatenate([[0], np.cumsum(counts)]), np.argsort(entries, kind="stable"))

    @classmethod
    def merged(cls, tables: list[DescriptorTable]) -> DescriptorTable:
        """The rows of several stretches that stand in cells of the same means, cell by cell."""
        tables = [table for table in tables if len(table.entries)] or tables[:1]
        homes = [np.repeat(np.arange(len(table.starts) - 1), np.diff(table.starts)) for table in tables]
        entries, home = np.concatenate([table.entries for table in tables]), np.concatenate(homes)
        order = np.lexsort((entries, home))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        rows = np.empty((len(order), tables[0].rows.shape[1]), np.float16)
        end = 0
        for table in tables:  # one after the other, so that not all are in memory twice
            rows[place[end : end + len(table.rows)]] = table.rows
            end += len(table.rows)
        entries = entries[order]
        starts = np.sum([table.starts for table in tables], axis=0)
        return cls(entries, rows, starts, np.argsort(entries, kind="stable"))

    def place(self, entries: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each entry; -1 where it has none here."""
        if not len(self.entries):
            return np.full(len(entries), -1)
        at = np.searchsorted(self.entries, entries, sorter=self.ascending)
        row = self.ascending[np.minimum(at, len(self.ascending) - 1)]
        return np.where(self.entries[row] == entries, row, -1)

    def near(self, queries: DescriptorQueries) -> Near:
        """The nearest earlier entries of each query, in the cells that it looks into."""
        if not len(self.entries) or not len(queries.rows):
            return Near.joined([])
        found = [self._in_range(queries, visitors, rows) for visitors, rows in self._ranges(queries)]
        return Near.joined(found).nearest(queries.limit)

    def _ranges(self, queries: DescriptorQueries) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Rows, and the queries that look at some of them."""
        everyone, visits = np.arange(len(queries.rows)), queries.visits
        if visits is None or len(self.entries) <= _FEW_ROWS:
            step = max(1, min(1 << 14, _PRODUCTS // len(everyone)))
            for start in range(0, len(self.entries), step):
                yield everyone, np.arange(start, min(start + step, len(self.entries)))
        elif len(everyone) <= _ALONE:
            for query in everyone.tolist():
                cells = np.sort(visits[query]).tolist()
                yield (
                    everyone[query : query + 1],
                    np.concatenate([np.arange(self.starts[cell], self.starts[cell + 1]) for cell in cells]),
                )
        else:
            order = np.argsort(visits, axis=None, kind="stable")
            cells, begins = np.unique(visits.ravel()[order], return_index=True)
            for cell, visitors in zip(cells.tolist(), np.split(order // visits.shape[1], begins[1:]), strict=True):
                yield visitors, np.arange(self.starts[cell], self.starts[cell + 1])

    def _in_range(self, queries: DescriptorQueries, visitors: NDArray[np.int64], rows: NDArray[np.int64]) -> Near:
        entries = self.entries[rows]
        if not len(entries):
            return Near.joined([])
        likely = queries.single[visitors] @ self.rows[rows].astype(np.float32).T
        if entries.max() >= queries.before[visitors].min():
            likely[entries[None, :] >= queries.before[visitors][:, None]] = _NEVER
        if len(queries.gone):
            likely[:, np.isin(entries, queries.gone)] = _NEVER
        if queries.visits is not None and len(self.entries) <= _FEW_ROWS:
            likely[~self._in_sight(queries, visitors, rows)] = _NEVER
        floor = np.full(len(visitors), np.float32(queries.min_cosine) - _MARGIN)
        if likely.shape[1] > queries.limit:
            floor = np.maximum(floor, np.partition(likely, -queries.limit, axis=1)[:, -queries.limit] - _MARGIN)
        at, place = np.divmod(np.flatnonzero(likely >= floor[:, None]), likely.shape[1])
        cosine = exact_cosines(queries.rows, self.rows, visitors[at], rows[place])
        near = cosine >= queries.min_cosine
        return Near(visitors[at][near], entries[place[near]], cosine[near]).nearest(queries.limit)

    def _in_sight(
        self, queries: DescriptorQueries, visitors: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether each query looks into the cell of each row."""
        seen = np.zeros((len(visitors), len(self.starts) - 1), dtype=bool)
        if queries.visits is not None:
            seen[np.arange(len(visitors))[:, None], queries.visits[visitors]] = True
        return np.asarray(seen[:, np.searchsorted(self.starts, rows, side="right") - 1])


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
