"""Many means of a set of descriptors, found in two steps and looked up in two: rough ones first, then those near them.

Finding the nearest means is a product of matrices for each part of them, with all rows at once that look into it, as
each mean is then read once for many rows and not once for each.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import UsageError
from dedupkit.scratch import blocks, release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor

    from numpy.typing import NDArray

    from dedupkit.scratch import Scratch

_SAMPLED_A_CELL = 20
_ROUGH_SAMPLED_A_CELL = 256
_VISITED_PARTS = 28
_MOST_MEANS = 4096  # of one part: only a crowd has more, which has no clusters that were worth the time to find
_ROUNDS = 10  # of k-means
_ROWS_AT_A_TIME = 2048  # that look for their means: 60 MB


@dataclass(frozen=True, slots=True)
class Means:
    """Means of cells, part after part.

    Attributes
    ----------
    rough : ndarray of float32, shape (p, d)
        The mean of each part.
    fine : ndarray of float32, shape (c, d)
        Means of cells.
    starts : ndarray of int64, shape (p + 1,)
        Those of part i are ``fine[starts[i]:starts[i + 1]]``.
    """

    rough: NDArray[np.float32]
    fine: NDArray[np.float32]
    starts: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        descriptors: NDArray[Any],
        rows: NDArray[np.int64],
        cells: int,
        seed: int,
        pool: ThreadPoolExecutor,
        scratch: Scratch,
    ) -> Means:
        """About so many means, out of a sample of some rows."""
        rng = np.random.default_rng([seed, 0])
        sample = rng.choice(len(rows), min(len(rows), cells * _SAMPLED_A_CELL), replace=False)
        parts = max(1, round(cells**0.5))
        rough = _clustered(unpacked(descriptors, rows[sample[: parts * _ROUGH_SAMPLED_A_CELL]]), parts, seed)
        sample.sort()
        points = scratch.array((len(sample), descriptors.shape[1]), np.float32)
        for block in blocks(len(sample)):
            points[block] = unpacked(descriptors, rows[sample[block]])
            release(descriptors)
            release(points)
        part = np.concatenate(list(pool.map(lambda block: _nearest_one(points[block], rough), blocks(len(points)))))
        order = np.argsort(part, kind="stable")
        members = np.split(order, np.searchsorted(part[order], np.arange(1, len(rough))))

        def clustered(each: NDArray[np.int64]) -> NDArray[np.float32]:
            found = _clustered(points[each], max(1, len(each) // _SAMPLED_A_CELL) if len(each) else 0, seed)
            release(points)
            return found

        fine = list(pool.map(clustered, members))
        scratch.remove(points)
        return cls(rough, np.concatenate(fine), np.cumsum([0, *map(len, fine)]))

    def nearest(self, points: NDArray[np.float32], count: int) -> NDArray[np.int32]:
        """Numbers of the nearest means of each point, the nearest first; -1 where the parts it looks into have fewer.

        Parameters
        ----------
        points : ndarray of float32, shape (n, d)
        count : int

        Returns
        -------
        ndarray of int32, shape (n, count)

        Notes
        -----
        Takes ``2 d (p + 28 c / p)`` floating point operations a point.
        """
        found = [self._nearest(points[block], count) for block in blocks(len(points), _ROWS_AT_A_TIME)]
        return np.concatenate([np.empty((0, count), np.int32), *found])

    def _nearest(self, points: NDArray[np.float32], count: int) -> NDArray[np.int32]:
        visits = _largest(points @ self.rough.T, _VISITED_PARTS)
        products = list(self._products(points, visits))
        least = _least_of_the_largest([(row, values) for row, _, values in products], len(points), count)
        rows, numbers, likeness = [], [], []
        for row, start, values in products:
            near, column = np.divmod(np.flatnonzero(values >= least[row][:, None]), values.shape[1])
            rows.append(row[near])
            numbers.append(start + column)
            likeness.append(values[near, column])
        owner, number = np.concatenate(rows), np.concatenate(numbers)
        order = np.lexsort((number, -np.concatenate(likeness), owner))
        owner, number = owner[order], number[order]
        place = np.arange(len(owner)) - np.searchsorted(owner, owner, side="left")
        found = np.full((len(points), count), -1, np.int32)
        chosen = place < count
        found[owner[chosen], place[chosen]] = number[chosen]
        return found

    def _products(
        self, points: NDArray[np.float32], visits: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], int, NDArray[np.float32]]]:
        """Of each part: who looks into it, its first mean, and the cosines of all of those with all of these."""
        order = np.argsort(visits, axis=None, kind="stable")
        ends = np.searchsorted(visits.ravel()[order], np.arange(len(self.rough) + 1))
        rows = order // visits.shape[1]
        for part, (begin, end) in enumerate(pairwise(ends.tolist())):
            start, stop = self.starts[part : part + 2].tolist()
            if begin < end and start < stop:
                visitors = rows[begin:end]
                yield visitors, start, points[visitors] @ self.fine[start:stop].T


def unpacked(descriptors: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Some rows in single precision."""
    return np.ascontiguousarray(descriptors[rows], dtype=np.float32)


def _largest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Columns of the largest values of each row, in any order; all where there are no more."""
    if values.shape[1] <= count:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, -count, axis=1)[:, -count:]


def _least_of_the_largest(
    products: list[tuple[NDArray[np.int64], NDArray[np.float32]]], points: int, count: int
) -> NDArray[np.float32]:
    """For each point the so manieth largest of its values; minus infinity where it has fewer."""
    most = np.full((points, _VISITED_PARTS * count), -np.inf, np.float32)
    filled = np.zeros(points, np.int64)
    for row, values in products:
        width = min(count, values.shape[1])
        most[row[:, None], filled[row][:, None] + np.arange(width)] = np.partition(values, -width, axis=1)[:, -width:]
        filled[row] += width
    return np.asarray(np.partition(most, -count, axis=1)[:, -count])


def _nearest_one(points: NDArray[np.float32], means: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray((points @ means.T).argmax(axis=1))


def _clustered(points: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """Directions of the clusters of points."""
    faiss = _faiss()
    faiss.omp_set_num_threads(1)
    if len(points) <= count or count > _MOST_MEANS:
        return np.ascontiguousarray(points[:: max(1, len(points) // max(1, count))][:count])
    options = {"min_points_per_centroid": 1, "max_points_per_centroid": len(points)}
    clustering = faiss.Kmeans(points.shape[1], count, niter=_ROUNDS, seed=seed, spherical=True, **options)
    clustering.train(points)
    return np.asarray(clustering.centroids)


def _faiss() -> Any:
    with warnings.catch_warnings():
        # Types that SWIG makes have no __module__, which Python 3.12 and later object to.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import faiss
        except ImportError as error:
            raise UsageError(f"descriptors need FAISS ({error}): pip install faiss-cpu") from error
    return faiss
