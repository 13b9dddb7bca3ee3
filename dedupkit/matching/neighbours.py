"""Pairs of near descriptors: each row's nearest ones, without comparing all pairs of a large set.

A large set is cut into cells around the means of a sample (inverted lists, Jégou, Douze and Schmid 2011,
doi:10.1109/TPAMI.2010.57), some 250 rows each however large the set, so that the time per row hardly grows.
Every row looks into the several cells that are nearest to it, and a pair is found if either of its rows looks into the
other's: a pair that stands across the border of two cells is not lost.  What is lost is measured.
"""

from __future__ import annotations

import mmap
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

_CELL_ROWS = 250  # on average; fewer, and more cells visited, find more for the same products and cost more in means
_VISITED_CELLS = 64
_SAMPLED_A_CELL = 20
_ROUGH_SAMPLED_A_CELL = 256
_VISITED_ROUGH_CELLS = 28
_MOST_MEANS = 4096  # of one part: only a crowd has more, which has no clusters that were worth the time to find
_ROUNDS = 10  # of k-means
_RECALL_QUERIES = 512
_BLOCK_ROWS = 1 << 14  # read at a time
_PRODUCTS = 1 << 21  # cosines computed at a time: 8 MB
_LISTED = 1 << 18  # places in the lists of the rows that are searched together; 200 MB if every cell fills them
_FEW_PAIRS = 1 << 22  # lists may hold so many altogether, in however few rows
_HELD_CELLS = 256  # of a memory map, before its pages are let go of
_MERGED = 1 << 23  # pairs sorted at a time
_HIT = np.dtype([("a", np.int32), ("b", np.int32), ("cosine", np.float32)])


@dataclass(frozen=True, slots=True)
class NeighbourPairs:
    """Pairs of near descriptors, each once, sorted by (a, b).

    Attributes
    ----------
    a, b : ndarray of int64, shape (n,)
        Row numbers, a < b.
    cosine : ndarray of float32, shape (n,)
        Cosine similarity.
    capped : ndarray of int64, shape (m,)
        Rows with more neighbours than their lists could take: some of their pairs may be missing.
    recall : float or None
        Share of the pairs that the lists of an exact search hold that was found, for a sample of rows; None where the
        search was exact, NaN where the sample has no neighbours.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    cosine: NDArray[np.float32]
    capped: NDArray[np.int64]
    recall: float | None


def neighbour_pairs(
    descriptors: NDArray[Any],
    min_cosine: float,
    *,
    max_neighbours: int = 32,
    hard_limit: int = 1024,
    threads: int = 1,
    exact_below: int = 32_768,
    seed: int = 0,
    work: str | Path | None = None,
) -> NeighbourPairs:
    """Find each row's nearest neighbours.

    Parameters
    ----------
    descriptors : ndarray of float16 or float32, shape (n, d)
        Rows of unit length; a row of zeros or with a NaN has no descriptor and no pairs.  May be a memory map.
    min_cosine : float
        Least similarity of a pair, in (0, 1].
    max_neighbours : int
        Length of a row's list of neighbours.  A list that is too short is made again, up to `hard_limit` long, as long
        as all lists together stay below `max_neighbours` a row on average (or 4 million in all).
    hard_limit : int
        Length that no list exceeds.
    threads : int
        Threads that search; the result does not depend on them.
    exact_below : int
        Sets of fewer different rows are searched exactly, by comparing all pairs.
    seed : int
        For the samples of rows that the cells and the recall are taken from.
    work : str, Path or None
        Folder for scratch files, made if it does not exist; they are removed at the end.  None keeps all in memory.

    Returns
    -------
    NeighbourPairs
        A pair stands there if one row is in the other's list.  Of equal rows each is paired with the first, and only
        that one is searched for further neighbours.

    Raises
    ------
    UsageError
        If an argument is out of its range.

    Notes
    -----
    With n different rows of d numbers, the exact search takes ``2 d n`` floating point operations a row, the other
    about ``2 d (64 * 250 + 29 * sqrt(n / 250))``, and one more pass for rows with more than `max_neighbours`.

    Memory with `work`: 80 bytes and a third of a float32 row for each row, 1 GB, and 20 bytes a pair and list it
    stands in; the scratch files take the size of the descriptors, 512 bytes a row and 12 bytes a pair and list.  All of
    that is memory without `work`.  A memory map is let go of as it is read.  There are no more than `max_neighbours`
    pairs a row on average, or 4 million in all.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[1, 0], [0, 1], [0.8, 0.6]], dtype=np.float32)
    >>> pairs = neighbour_pairs(rows, 0.7)
    >>> pairs.a, pairs.b, pairs.cosine
    (array([0]), array([2]), array([0.8], dtype=float32))
    """
    _check(descriptors, min_cosine, max_neighbours, hard_limit)
    with _scratch(work) as scratch, threadpool_limits(1), ThreadPoolExecutor(threads, "dedupkit") as pool:
        first = _first_of_equals(descriptors)
        rows = np.flatnonzero(first == np.arange(len(first)))
        exact = len(rows) < max(2, exact_below)
        cells = (
            _one_after_another(descriptors, rows) if exact else _around_means(descriptors, rows, seed, pool, scratch)
        )
        search = _Search(cells, min_cosine, pool)
        pairs = _Pairs(scratch)
        pairs.add(_copies(first))
        capped, limit = search.all_lists(max_neighbours, hard_limit, pairs)
        a, b, cosine = pairs.merged(len(first))
        recall = None if exact else search.recall(a, b, limit, np.random.default_rng([seed, 1]))
    return NeighbourPairs(a, b, cosine, np.sort(capped), recall)


def _check(descriptors: NDArray[Any], min_cosine: float, max_neighbours: int, hard_limit: int) -> None:
    if descriptors.ndim != 2 or descriptors.dtype not in (np.float16, np.float32):
        got = f"{descriptors.dtype} of shape {descriptors.shape}"
        raise UsageError(f"descriptors must be float16 or float32 of shape (n, d), got {got}; convert them")
    if len(descriptors) > np.iinfo(np.int32).max:
        raise UsageError(f"descriptors must be fewer than 2^31 rows, got {len(descriptors)}; search them in parts")
    if not 0 < min_cosine <= 1:
        raise UsageError(f"min_cosine must be in (0, 1], got {min_cosine}; 0.5 is usual")
    if not 1 <= max_neighbours <= hard_limit:
        raise UsageError(f"max_neighbours must be in [1, hard_limit], got {max_neighbours} and {hard_limit}")


@dataclass(slots=True)
class _Scratch:
    """Large arrays, in files of one folder or in memory."""

    folder: Path | None
    files: list[Path]

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        if self.folder is None or 0 in shape:
            return np.empty(shape, dtype)
        self.files.append(self.folder / f"neighbours-{len(self.files)}.tmp")
        return np.memmap(self.files[-1], dtype, "w+", shape=shape)


@contextmanager
def _scratch(work: str | Path | None) -> Iterator[_Scratch]:
    scratch = _Scratch(None if work is None else Path(work), [])
    if scratch.folder:
        scratch.folder.mkdir(parents=True, exist_ok=True)
    try:
        yield scratch
    finally:
        for file in scratch.files:
            file.unlink(missing_ok=True)


def _release(values: NDArray[Any]) -> None:
    """Take a memory map's pages out of this process; they stay in the system's cache, also those just written."""
    mapped = getattr(values, "_mmap", None)
    if mapped is not None and getattr(values, "mode", None) != "c" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _blocks(count: int, size: int = _BLOCK_ROWS) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _first_of_equals(descriptors: NDArray[Any]) -> NDArray[np.int64]:
    """For each row the number of the first row that equals it; -1 where there is no descriptor."""
    present, keys = np.empty(len(descriptors), dtype=bool), np.empty(len(descriptors), dtype=np.uint64)
    for block in _blocks(len(descriptors)):
        values = np.ascontiguousarray(descriptors[block])
        present[block] = np.einsum("ij,ij->i", values, values, dtype=np.float32) > 0  # also false for NaN
        keys[block] = _digests(values)
        _release(descriptors)
    first = np.full(len(descriptors), -1)
    order = np.flatnonzero(present)
    order = order[np.argsort(keys[order], kind="stable")]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = keys[order[1:]] != keys[order[:-1]]
    first[order] = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    copies = np.flatnonzero(present & (first != np.arange(len(first))))
    for block in _blocks(len(copies)):
        rows = copies[block]
        differ = (descriptors[rows] != descriptors[first[rows]]).any(axis=1)
        first[rows[differ]] = rows[differ]
        _release(descriptors)
    return first


def _digests(values: NDArray[Any]) -> NDArray[np.uint64]:
    """64 bits of each row; what has equal ones is compared afterwards."""
    width = values.shape[1] * values.itemsize
    padded = np.zeros((len(values), -(-width // 8) * 8), dtype=np.uint8)
    padded[:, :width] = values.view(np.uint8)
    words = padded.view(np.uint64)
    factors = np.random.default_rng(0).integers(1 << 64, size=words.shape[1], dtype=np.uint64) | np.uint64(1)
    return np.asarray(((words ^ (words >> np.uint64(32))) * factors).sum(axis=1, dtype=np.uint64))


@dataclass(frozen=True, slots=True)
class _Cells:
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


def _one_after_another(descriptors: NDArray[Any], rows: NDArray[np.int64]) -> _Cells:
    """Rows in their order, each compared with all."""
    chosen = descriptors if len(rows) == len(descriptors) else descriptors[rows]
    return _Cells(rows, chosen, _even_cells(len(rows)), None)


def _even_cells(count: int) -> NDArray[np.int64]:
    return np.append(np.arange(0, count, _CELL_ROWS), count)


def _around_means(
    descriptors: NDArray[Any], rows: NDArray[np.int64], seed: int, pool: ThreadPoolExecutor, scratch: _Scratch
) -> _Cells:
    """Rows by the nearest of many means, each compared with the cells of the nearest few."""
    index = _index_of_means(descriptors, rows, seed, pool)
    visits = scratch.array((len(rows), min(_VISITED_CELLS, index.ntotal)), np.int32)

    def assign(block: slice) -> NDArray[np.int64]:
        _faiss().omp_set_num_threads(1)
        visits[block] = index.search(_unpacked(descriptors, rows[block]), visits.shape[1])[1]
        _release(descriptors)
        _release(visits)
        return np.asarray(np.maximum(visits[block][:, 0], 0))  # -1 where all parts that were looked into have no cell

    home = np.concatenate(list(pool.map(assign, _blocks(len(rows)))))
    order = np.argsort(home, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(home, minlength=index.ntotal))])
    ordered = _in_order(descriptors, rows, order, scratch)
    return _Cells(rows[order], ordered, starts, _in_order(visits, np.arange(len(rows)), order, scratch))


def _in_order(
    values: NDArray[Any], rows: NDArray[np.int64], order: NDArray[np.int64], scratch: _Scratch
) -> NDArray[Any]:
    """The values of the rows in another order; they are read in theirs."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    ordered = scratch.array((len(rows), values.shape[1]), values.dtype)
    for block in _blocks(len(rows)):
        ordered[place[block]] = values[rows[block]]
        _release(values)
        _release(ordered)
    return ordered


def _index_of_means(descriptors: NDArray[Any], rows: NDArray[np.int64], seed: int, pool: ThreadPoolExecutor) -> Any:
    """FAISS index of the means of all cells, which are those of parts of a rough division into few parts."""
    faiss = _faiss()
    rng = np.random.default_rng([seed, 0])
    cells = max(1, len(rows) // _CELL_ROWS)
    sample = rng.choice(len(rows), min(len(rows), cells * _SAMPLED_A_CELL), replace=False)
    rough = max(1, round(cells**0.5))
    rough_means = _means(_unpacked(descriptors, rows[sample[: rough * _ROUGH_SAMPLED_A_CELL]]), rough, seed)
    sample.sort()
    points = _unpacked(descriptors, rows[sample])
    _release(descriptors)
    quantizer = faiss.IndexFlatIP(descriptors.shape[1])
    quantizer.add(rough_means)
    part = np.concatenate(list(pool.map(lambda block: _nearest(points[block], rough_means), _blocks(len(points)))))
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


def _unpacked(descriptors: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float32]:
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


@dataclass(frozen=True, slots=True)
class _Search:
    cells: _Cells
    min_cosine: float
    pool: ThreadPoolExecutor

    def all_lists(self, max_neighbours: int, hard_limit: int, pairs: _Pairs) -> tuple[NDArray[np.int64], int]:
        """Collect the pairs; rows whose lists are still too short, and how long lists became."""
        neighbours = np.zeros(len(self.cells.rows), dtype=np.int32)
        for places, counts, hits in self.lists(np.arange(len(neighbours)), max_neighbours):
            neighbours[places] = counts
            pairs.add(self.pairs(hits, places))
        limit = _affordable(neighbours, max_neighbours, hard_limit)
        again = np.flatnonzero(neighbours > max_neighbours)
        for places, _, hits in self.lists(again, limit) if limit > max_neighbours else ():
            pairs.add(self.pairs(hits, places))
        return self.cells.rows[neighbours > limit], limit

    def lists(
        self, places: NDArray[np.int64], limit: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]]:
        """Groups of places, the number of neighbours of each, and its nearest ones (a: place in the group)."""
        for group in _blocks(len(places), max(1, _LISTED // limit)):
            chosen = places[group]
            queries = _unpacked(self.cells.descriptors, chosen)
            in_cell = partial(self.in_cell, queries, chosen, limit)
            found = self.pool.map(in_cell, self.cells.visited(chosen))
            counts, hits = np.zeros(len(chosen), dtype=np.int64), []
            for number, (hit, visitors, count) in enumerate(found):
                counts[visitors] += count
                hits.append(hit)
                if number % _HELD_CELLS == 0:
                    _release(self.cells.descriptors)
            yield chosen, counts, _nearest_hits(_joined(hits), limit)

    def in_cell(
        self, queries: NDArray[np.float32], places: NDArray[np.int64], limit: int, visit: tuple[int, NDArray[np.int64]]
    ) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
        """The nearest neighbours in one cell of those that visit it, and how many there are of each."""
        cell, visitors = visit
        start, stop = self.cells.starts[cell : cell + 2]
        others = self.cells.descriptors[start:stop].astype(np.float32)
        hits, counts = [], np.empty(len(visitors), dtype=np.int64)
        for block in _blocks(len(visitors), max(1, _PRODUCTS // max(1, len(others)))):
            cosines = queries[visitors[block]] @ others.T
            itself = places[visitors[block]] - start
            inside = np.flatnonzero((itself >= 0) & (itself < len(others)))
            cosines[inside, itself[inside]] = -1
            query, other, counts[block] = _near(cosines, self.min_cosine, limit)
            hits.append(_hits(visitors[block][query], start + other, cosines[query, other]))
        return _joined(hits), visitors, counts

    def pairs(self, hits: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
        """Hits as pairs of rows, the smaller first, each once."""
        one, other = self.cells.rows[places[hits["a"]]], self.cells.rows[hits["b"]]
        return _each_once(_hits(np.minimum(one, other), np.maximum(one, other), hits["cosine"]))

    def recall(self, a: NDArray[np.int64], b: NDArray[np.int64], limit: int, rng: np.random.Generator) -> float:
        """Share found of the pairs that an exact search for some rows finds."""
        rows = self.cells.rows
        places = np.sort(rng.choice(len(rows), min(_RECALL_QUERIES, len(rows)), replace=False))
        exact = replace(self, cells=replace(self.cells, starts=_even_cells(len(rows)), visits=None))
        wanted = _joined([exact.pairs(hits, group) for group, _, hits in exact.lists(places, limit)])
        sampled = np.zeros(max(rows.max(), b.max(initial=0)) + 1, dtype=bool)
        sampled[rows[places]] = True
        near = np.flatnonzero(sampled[a] | sampled[b])
        keys = a[near] << 32 | b[near]
        missing = np.setdiff1d(wanted["a"].astype(np.int64) << 32 | wanted["b"], keys, assume_unique=False)
        return 1 - len(missing) / len(wanted) if len(wanted) else float("nan")


def _affordable(neighbours: NDArray[np.int32], limit: int, hard_limit: int) -> int:
    """How long lists may become, doubled as long as all together stay within bounds."""
    most = max(limit * len(neighbours), _FEW_PAIRS)
    while limit < min(hard_limit, neighbours.max(initial=0)):
        longer = min(2 * limit, hard_limit)
        if np.minimum(neighbours, longer).sum(dtype=np.int64) > most:
            break
        limit = longer
    return limit


def _near(
    cosines: NDArray[np.float32], least: float, limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Places of the nearest of each row, so many and equals of the last; and how many are near in all."""
    near = cosines >= np.float32(least)
    row, column = np.divmod(
        np.flatnonzero(near), max(1, cosines.shape[1])
    )  # in two dimensions it takes ten times as long
    counts = np.bincount(row, minlength=len(cosines))
    full = np.flatnonzero(counts > limit)
    if len(full):
        last = np.partition(cosines[full], -limit, axis=1)[:, -limit]
        near[full] = cosines[full] >= last[:, None]
        row, column = np.divmod(np.flatnonzero(near), cosines.shape[1])
    return row, column, counts


def _hits(a: NDArray[Any], b: NDArray[Any], cosine: NDArray[np.float32]) -> NDArray[Any]:
    hits = np.empty(len(a), dtype=_HIT)
    hits["a"], hits["b"], hits["cosine"] = a, b, np.minimum(cosine, 1)
    return hits


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=_HIT), *parts])


def _nearest_hits(hits: NDArray[Any], limit: int) -> NDArray[Any]:
    """Of each a the nearest, so many; of equally near ones the first places."""
    order = np.lexsort((hits["b"], -hits["cosine"], hits["a"]))
    owner = hits["a"][order]
    begins = np.searchsorted(owner, owner, side="left")
    return hits[order[np.arange(len(owner)) - begins < limit]]


def _each_once(hits: NDArray[Any]) -> NDArray[Any]:
    """Sorted by (a, b), of equal pairs the one of the larger cosine, which rounding may have made."""
    order = np.lexsort((-hits["cosine"], hits["a"].astype(np.int64) << 32 | hits["b"]))
    ordered = hits[order]
    fresh = np.ones(len(ordered), dtype=bool)
    fresh[1:] = (ordered["a"][1:] != ordered["a"][:-1]) | (ordered["b"][1:] != ordered["b"][:-1])
    return ordered[fresh]


def _copies(first: NDArray[np.int64]) -> NDArray[Any]:
    """Each row that equals an earlier one, paired with the first such."""
    copies = np.flatnonzero((first >= 0) & (first != np.arange(len(first))))
    return _each_once(_hits(first[copies], copies, np.ones(len(copies), dtype=np.float32)))


@dataclass(slots=True)
class _Pairs:
    """Pairs of rows, which are added in any order; a pair may be added twice."""

    scratch: _Scratch
    parts: list[NDArray[Any]] = field(default_factory=list)
    fresh: list[NDArray[Any]] = field(default_factory=list)

    def add(self, pairs: NDArray[Any]) -> None:
        self.fresh.append(pairs)
        if sum(map(len, self.fresh)) >= _MERGED:
            self._put_away()

    def _put_away(self) -> None:
        pairs = _each_once(_joined(self.fresh))
        self.parts.append(self.scratch.array(pairs.shape, pairs.dtype))
        self.parts[-1][:] = pairs
        _release(self.parts[-1])
        self.fresh.clear()

    def merged(self, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """All sorted, each once: a range of a at a time."""
        self._put_away()
        total, end = sum(map(len, self.parts)), 0
        a, b, cosine = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.float32)
        bounds = np.linspace(0, rows, total // _MERGED + 2).astype(np.int64)
        for low, high in pairwise(bounds):
            cuts = [slice(*np.searchsorted(part["a"], [low, high])) for part in self.parts]
            pairs = _each_once(_joined([part[cut] for part, cut in zip(self.parts, cuts, strict=True)]))
            into = slice(end, end := end + len(pairs))
            a[into], b[into], cosine[into] = pairs["a"], pairs["b"], pairs["cosine"]
            for part in self.parts:
                _release(part)
        return a[:end], b[:end], cosine[:end]
