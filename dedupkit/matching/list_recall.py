"""What lists of descriptors find of what there is, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dedupkit.matching.descriptor_tables import DescriptorQueries, Near, rows_of
from dedupkit.matching.sketches import sketches_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.matching.cell_means import CellMeans
    from dedupkit.matching.descriptor_tables import DescriptorTable
    from dedupkit.recipe import Matching

_QUERIES = 256


def list_recall(tables: list[DescriptorTable], means: CellMeans, matching: Matching) -> float | None:
    """Share of the nearest earlier neighbours of some entries that their lists hold.

    Parameters
    ----------
    tables : list of DescriptorTable
        All entries, in the cells of the means.
    means : CellMeans
        What the lists are made around.
    matching : Matching
        How near and how many neighbours are.

    Returns
    -------
    float or None
        None where no entry of the sample has a neighbour.

    Notes
    -----
    Compares 256 entries with all: 130,000 floating point operations an entry.
    """
    entries = np.sort(np.concatenate([np.empty(0, np.int64), *(table.entries for table in tables)]))
    rng = np.random.default_rng([len(entries), 3])
    chosen = np.sort(rng.choice(entries, min(len(entries), _QUERIES), replace=False))
    rows = rows_of(tables, chosen)
    wanted = _pairs(tables, chosen, matching, rows, None, None)
    found = _pairs(tables, chosen, matching, rows, means.visits(rows), sketches_of(rows))
    return len(wanted & found) / len(wanted) if wanted else None


def _pairs(
    tables: list[DescriptorTable],
    entries: NDArray[np.int64],
    matching: Matching,
    rows: NDArray[np.float16],
    visits: NDArray[np.int64] | None,
    sketches: NDArray[np.uint64] | None,
) -> set[tuple[int, int]]:
    gone, limit = np.empty(0, np.int64), matching.max_neighbours
    queries = DescriptorQueries(rows, entries, visits, sketches, limit, matching.min_cosine, gone)
    near = Near.joined([table.near(queries) for table in tables]).nearest(matching.max_neighbours)
    return set(zip(near.query.tolist(), near.entry.tolist(), strict=True))
