"""Cells of near descriptors (inverted lists, Jégou, Douze and Schmid 2011, doi:10.1109/TPAMI.2010.57).

A set is cut around the means of a sample.  However large it is, a cell has some 250 rows, so that the time per row
hardly grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.matching.means import Means, unpacked
from dedupkit.scratch import Mapped, blocks, release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor

    from numpy.typing import NDArray

    from dedupkit.scratch import Scratch

_CELL_ROWS = 250  # on average; fewer, and more cells visited, find more for the same products and cost more in means
_VISITED_CELLS = 64


@dataclass(frozen=True, slots=True)
class Cells:
    """Different descriptors in the order of their cells.

    Row ``rows[p]`` stands at place p; cell c takes the places ``starts[c]`` to ``starts[c + 1]``; the row at place p
    looks into the cells ``visits[p]`` (-1: none), or into all.
    """

    rows: NDArray[np.int64]
    descriptors: NDArray[Any]
    starts: NDArray[np.int64]
    visits: NDArray[np.int32] | None

    def places_of_visits(self, visitors: int) -> int:
        """How many places have to be looked up together, so that a cell has so many visitors on average."""
        if self.visits is None:
            return 0
        return visitors * (len(self.starts) - 1) // int(self.visits.shape[1])

    def visited(self, places: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each cell that some of these places look into, and which of them do."""
        if self.visits is None:
            yield from ((cell, np.arange(len(places))) for cell in range(len(self.starts) - 1))
            return
        visits = self.visits[places]
        order = np.argsort(visits, axis=None, kind="stable")
        cells, begins = np.unique(visits.ravel()[order], return_index=True)
        for cell, visitors in zip(cells.tolist(), np.split(order // visits.shape[1], begins[1:]), strict=True):
            if cell >= 0:
                yield cell, visitors


@dataclass(frozen=True, slots=True)
class CellFiles:
    """Where cells lie, for tasks of other processes, which need not know the rows."""

    descriptors: Mapped
    visits: Mapped | None
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, cells: Cells) -> CellFiles | None:
        """Of cells in files; None of others."""
        descriptors = Mapped.of(cells.descriptors)
        visits = None if cells.visits is None else Mapped.of(cells.visits)
        if descriptors is None or (cells.visits is not None and visits is None):
            return None
        return cls(descriptors, visits, cells.starts)

    def opened(self) -> Cells:
        """The cells, without their rows."""
        visits = None if self.visits is None else self.visits.opened()
        return Cells(np.empty(0, np.int64), self.descriptors.opened(), self.starts, visits)


def one_after_another(descriptors: NDArray[Any], rows: NDArray[np.int64]) -> Cells:
    """Rows in their order, each compared with all."""
    chosen = descriptors if len(rows) == len(descriptors) else descriptors[rows]
    return Cells(rows, chosen, even_cells(len(rows)), None)


def even_cells(count: int) -> NDArray[np.int64]:
    return np.append(np.arange(0, count, _CELL_ROWS), count)


def around_means(
    descriptors: NDArray[Any], rows: NDArray[np.int64], seed: int, pool: ThreadPoolExecutor, scratch: Scratch
) -> Cells:
    """Rows by the nearest of many means, each compared with the cells of the nearest few."""
    means = Means.of(descriptors, rows, max(1, len(rows) // _CELL_ROWS), seed, pool, scratch)
    visits = scratch.array((len(rows), min(_VISITED_CELLS, len(means.fine))), np.int32)

    def assign(block: slice) -> NDArray[np.int64]:
        visits[block] = means.nearest(unpacked(descriptors, rows[block]), visits.shape[1])
        release(descriptors)
        release(visits)
        return np.asarray(np.maximum(visits[block][:, 0], 0))  # -1 where all parts that were looked into have no cell

    home = np.concatenate(list(pool.map(assign, blocks(len(rows)))))
    order = np.argsort(home, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(home, minlength=len(means.fine)))])
    ordered = _in_order(descriptors, rows, order, scratch)
    return Cells(rows[order], ordered, starts, _in_order(visits, np.arange(len(rows)), order, scratch))


def _in_order(
    values: NDArray[Any], rows: NDArray[np.int64], order: NDArray[np.int64], scratch: Scratch
) -> NDArray[Any]:
    """The values of the rows in another order; they are read in theirs."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    ordered = scratch.array((len(rows), values.shape[1]), values.dtype)
    for block in blocks(len(rows)):
        ordered[place[block]] = values[rows[block]]
        release(values)
        release(ordered)
    return ordered
