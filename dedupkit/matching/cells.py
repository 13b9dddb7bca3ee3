"""Cells of near descriptors (inverted lists, Jégou, Douze and Schmid 2011, doi:10.1109/TPAMI.2010.57).

A set is cut around the means of a sample, which are found in two steps: a rough division into few parts, and the means
of each part.  However large the set, a cell has some 250 rows, so that the time per row hardly grows.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import UsageError
from dedupkit.matching.scratch import blocks, release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor

    from numpy.typing import NDArray

    from dedupkit.matching.scratch import Scratch

_CELL_ROWS = 250  # on average; fewer, and more cells visited, find more for the same products and cost more in means
_VISITED_CELLS = 64
_SAMPLED_A_CELL = 20
_ROUGH_SAMPLED_A_CELL = 256
_VISITED_ROUGH_CELLS = 28
_MOST_MEANS = 4096  # of one part: only a crowd has more, which has no clusters that were worth the time to find
_ROUNDS = 10  # of k-means


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
    index = _index_of_means(descriptors, rows, seed, pool)
    visits = scratch.array((len(rows), min(_VISITED_CELLS, index.ntotal)), np.int32)

    def assign(block: slice) -> NDArray[np.int64]:
        _faiss().omp_set_num_threads(1)
        visits[block] = index.search(unpacked(descriptors, rows[block]), visits.shape[1])[1]
        release(descriptors)
        release(visits)
        return np.asarray(np.maximum(visits[block][:, 0], 0))  # -1 where all parts that were looked into have no cell

    home = np.concatenate(list(pool.map(assign, blocks(len(rows)))))
    order = np.argsort(home, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(home, minlength=index.ntotal))])
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


def _index_of_means(descriptors: NDArray[Any], rows: NDArray[np.int64], seed: int, pool: ThreadPoolExecutor) -> Any:
    """FAISS index of the means of all cells, which are those of parts of a rough division into few parts."""
    faiss = _faiss()
    rng = np.random.default_rng([seed, 0])
    cells = max(1, len(rows) // _CELL_ROWS)
    sample = rng.choice(len(rows), min(len(rows), cells * _SAMPLED_A_CELL), replace=False)
    rough = max(1, round(cells**0.5))
    rough_means = _means(unpacked(descriptors, rows[sample[: rough * _ROUGH_SAMPLED_A_CELL]]), rough, seed)
    sample.sort()
    points = unpacked(descriptors, rows[sample])
    release(descriptors)
    quantizer = faiss.IndexFlatIP(descriptors.shape[1])
    quantizer.add(rough_means)
    part = np.concatenate(list(pool.map(lambda block: _nearest(points[block], rough_means), blocks(len(points)))))
    parts = [np.flatnonzero(part == each) for each in range(rough)]
    fine = pool.map(lambda each: _means(points[each], max(1, len(each) // _SAMPLED_A_CELL), seed), parts)
    index = faiss.IndexIVFFlat(quantizer, descriptors.shape[1], rough, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = _VISITED_ROUGH_CELLS
    index.add(np.concatenate(list(fine)))
    return index


def _means(points: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """Directions of the clusters of points."""
    faiss = _faiss()
    faiss.omp_set_num_threads(1)
    if len(points) <= count or count > _MOST_MEANS:
        return np.ascontiguousarray(points[:: max(1, len(points) // count)][:count])
    options = {"min_points_per_centroid": 1, "max_points_per_centroid": len(points)}
    clustering = faiss.Kmeans(points.shape[1], count, niter=_ROUNDS, seed=seed, spherical=True, **options)
    clustering.train(points)
    return np.asarray(clustering.centroids)


def _nearest(points: NDArray[np.float32], means: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray((points @ means.T).argmax(axis=1))


def unpacked(descriptors: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.ascontiguousarray(descriptors[rows], dtype=np.float32)


def _faiss() -> Any:
    with warnings.catch_warnings():
        # Types that SWIG makes have no __module__, which Python 3.12 and later object to.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import faiss
        except ImportError as error:
            raise UsageError(f"descriptors need FAISS ({error}): pip install faiss-cpu") from error
    return faiss
