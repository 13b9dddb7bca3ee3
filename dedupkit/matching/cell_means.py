"""Means that the lists of an index are made around, trained at fixed numbers of entries: batches cannot matter.

Means and descriptors are float16, so that their cosines are exact in double precision, see `descriptor_tables`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.matching.means import Means
from dedupkit.scratch import Scratch, blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRules:
    """When descriptors are put into lists.

    Attributes
    ----------
    first_entries : int
        Entries before these are compared with all that came before them; later ones with those whose sketch is near.
    growth : int
        Lists are made anew whenever so many times as many entries are there.
    rows_a_cell : int
        On average, when means are trained.
    visited_cells : int
        That a query looks into; where there are no more, there are no lists.
    """

    first_entries: int = 32_768
    growth: int = 4
    rows_a_cell: int = 500
    visited_cells: int = 256

    @property
    def sampled_a_cell(self) -> int:
        """Rows that means are trained on, for each of them."""
        return 40

    def next_training(self, trained_at: int) -> int:
        """Number of entries at which means are trained next."""
        return max(self.first_entries, trained_at * self.growth)


@dataclass(frozen=True, slots=True)
class CellMeans:
    """The means that lists are made around.

    Attributes
    ----------
    means : ndarray of float16, shape (c, d)
        Rows of length 1; none where everything is compared.
    trained_at : int
        How many entries there were; 0 where nothing was looked at but all.
    visited : int
        Cells that a query looks into.
    """

    means: NDArray[np.float16]
    trained_at: int = 0
    visited: int = 1

    @classmethod
    def none(cls) -> CellMeans:
        """Everything is compared with everything."""
        return cls(np.empty((0, 0), np.float16))

    @classmethod
    def trained(cls, sample: NDArray[np.float16], cells: int, at: int, rules: ListRules) -> CellMeans:
        """Means of a sample of the descriptors of all entries before entry `at`."""
        if cells <= rules.visited_cells:
            return cls(np.empty((0, 0), np.float16), at)
        with ThreadPoolExecutor(1, "dedupkit") as pool:
            fine = Means.of(sample, np.arange(len(sample)), cells, 0, pool, Scratch()).fine
        unit = fine / np.maximum(np.linalg.norm(fine, axis=1, keepdims=True), 1e-12)
        return cls(np.unique(unit.astype(np.float16), axis=0), at, rules.visited_cells)

    def homes(self, rows: NDArray[np.float16]) -> NDArray[np.int64]:
        """The cell of each row: that of the nearest mean, of equally near ones the first."""
        if not len(self.means):
            return np.zeros(len(rows), np.int64)
        found = [self._cosines(rows[block]).argmax(axis=1) for block in blocks(len(rows), 2048)]
        return np.concatenate([np.empty(0, np.int64), *found])

    def visits(self, rows: NDArray[np.float16]) -> NDArray[np.int64] | None:
        """The cells that each row looks into, in any order; None for all."""
        if len(self.means) <= self.visited:
            return None
        found = [
            np.argpartition(self._cosines(rows[block]), -self.visited, axis=1)[:, -self.visited :]
            for block in blocks(len(rows), 2048)
        ]
        return np.concatenate([np.empty((0, self.visited), np.int64), *found])

    def _cosines(self, rows: NDArray[np.float16]) -> NDArray[np.float64]:
        return rows.astype(np.float64) @ self.means.astype(np.float64).T
