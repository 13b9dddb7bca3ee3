"""Pairs of near descriptors: each row's nearest ones, without comparing all pairs of a large set.

A large set is cut into `cells`.  Every row looks into the several cells that are nearest to it, and a pair is found
if either of its rows looks into the other's: a pair that stands across the border of two cells is not lost.  What is
lost is measured.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from dedupkit.errors import UsageError
from dedupkit.matching.cells import CellFiles, around_means, even_cells, one_after_another
from dedupkit.matching.equals import copies, firsts
from dedupkit.matching.hits import HIT, each_once, hits_of, joined, nearest_hits
from dedupkit.matching.means import unpacked
from dedupkit.matching.runs import Runs, pack
from dedupkit.scratch import Scratch, blocks, release, scratch_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dedupkit.engines import Spread
    from dedupkit.matching.cells import Cells

_RECALL_QUERIES = 512
_PRODUCTS = 1 << 21  # cosines computed at a time: 8 MB
_LISTED = 1 << 20  # places in the lists of the rows that are searched together: the more, the fewer visits to a cell
_MOST_LISTED = 1 << 23  # 100 MB where each list is full
_VISITORS = 500  # of a cell, on average: with fewer, what a visit costs besides its products weighs more than they
_HELD_HITS = 1 << 22  # 50 MB; then those that no list has room for are dropped
_FEW_PAIRS = 1 << 22  # lists may hold so many altogether, in however few rows
_FEW_GROUPS = 4  # not worth starting processes for
_HELD_CELLS = 256  # of a memory map, before its pages are let go of


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

    Memory with `work`: 80 bytes a row, 500 MB, and 20 bytes a pair that is returned; the scratch files take twice the
    size of the descriptors, 600 bytes a row and 12 bytes a pair and list it stands in.  All of that is memory without
    `work`.  A memory map is let go of as it is read.  There are no more than `max_neighbours` pairs a row on average,
    or 4 million in all.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[1, 0], [0, 1], [0.8, 0.6]], dtype=np.float32)
    >>> pairs = neighbour_pairs(rows, 0.7)
    >>> pairs.a, pairs.b, pairs.cosine
    (array([0]), array([2]), array([0.8], dtype=float32))
    """
    with scratch_files(work) as scratch:
        found = find_neighbours(
            descriptors,
            min_cosine,
            scratch,
            max_neighbours=max_neighbours,
            hard_limit=hard_limit,
            threads=threads,
            exact_below=exact_below,
            seed=seed,
        )
        hits = joined(list(found.pairs.merged()))
    a, b = (hits[end].astype(np.int64) for end in ("a", "b"))
    return NeighbourPairs(a, b, np.array(hits["cosine"]), found.capped, found.recall)


@dataclass(frozen=True, slots=True)
class FoundNeighbours:
    """What a search found: as `NeighbourPairs`, the pairs as `hits.HIT` in files that are merged part by part."""

    pairs: Runs
    capped: NDArray[np.int64]
    recall: float | None


def find_neighbours(
    descriptors: NDArray[Any],
    min_cosine: float,
    scratch: Scratch,
    *,
    max_neighbours: int = 32,
    hard_limit: int = 1024,
    threads: int = 1,
    exact_below: int = 32_768,
    seed: int = 0,
    spread: Spread | None = None,
) -> FoundNeighbours:
    """The search of `neighbour_pairs`, with all that grows with the set in scratch files.

    With `spread`, which runs tasks in other processes that see those files, lists are made there.
    """
    _check(descriptors, min_cosine, max_neighbours, hard_limit)
    with threadpool_limits(1), ThreadPoolExecutor(threads, "dedupkit") as pool:
        first = first_of_equal_rows(descriptors, scratch)
        rows = firsts(first, scratch)
        exact = len(rows) < max(2, exact_below)
        cells = one_after_another(descriptors, rows) if exact else around_means(descriptors, rows, seed, pool, scratch)
        search = _Search(cells, min_cosine, pool, spread)
        pairs = Runs(scratch, HIT, each_once)
        for again in copies(first):
            pairs.add(hits_of(first[again], again, np.ones(len(again), dtype=np.float32)))
        capped, limit = search.all_lists(max_neighbours, hard_limit, pairs)
        recall = None if exact else search.recall(pairs, limit, np.random.default_rng([seed, 1]))
    return FoundNeighbours(pairs, np.sort(capped), recall)


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


def first_of_equal_rows(descriptors: NDArray[Any], scratch: Scratch | None = None) -> NDArray[np.int64]:
    """For each row the number of the first row that equals it; -1 where there is no descriptor."""
    present, keys = np.empty(len(descriptors), dtype=bool), np.empty(len(descriptors), dtype=np.uint64)
    for block in blocks(len(descriptors)):
        values = np.ascontiguousarray(descriptors[block])
        present[block] = np.einsum("ij,ij->i", values, values, dtype=np.float32) > 0  # also false for NaN
        keys[block] = _digests(values)
        release(descriptors)
    first = (scratch or Scratch()).array((len(descriptors),), np.int64)
    first[:] = -1
    order = np.flatnonzero(present)
    order = order[np.argsort(keys[order], kind="stable")]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = keys[order[1:]] != keys[order[:-1]]
    first[order] = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    for block in blocks(len(first)):
        again = block.start + np.flatnonzero((first[block] >= 0) & (first[block] != np.arange(block.start, block.stop)))
        differ = (descriptors[again] != descriptors[first[again]]).any(axis=1)
        first[again[differ]] = again[differ]
        release(descriptors)
    release(first)
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
class _Search:
    cells: Cells
    min_cosine: float
    pool: ThreadPoolExecutor
    spread: Spread | None = None

    def all_lists(self, max_neighbours: int, hard_limit: int, pairs: Runs) -> tuple[NDArray[np.int64], int]:
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
        wanted = self.cells.places_of_visits(_VISITORS)
        together = max(1, _LISTED // limit, min(wanted, _MOST_LISTED // limit))
        groups = [places[group] for group in blocks(len(places), together)]
        files = None if self.spread is None else CellFiles.of(self.cells)
        if self.spread is None or files is None or len(groups) < _FEW_GROUPS:
            for chosen in groups:
                yield chosen, *self.listed(chosen, limit)
            return
        task = partial(_listed, files=files, min_cosine=self.min_cosine, limit=limit)
        for chosen, (counts, hits) in self.spread(task, groups):
            yield chosen, counts, hits

    def listed(self, chosen: NDArray[np.int64], limit: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The number of neighbours of each of some places, and its nearest ones."""
        queries = np.asarray(self.cells.descriptors[chosen])
        in_cell = partial(self.in_cell, queries, chosen, limit)
        found = self.pool.map(in_cell, self.cells.visited(chosen))
        counts, hits, held = np.zeros(len(chosen), dtype=np.int64), [], 0
        for number, (hit, visitors, count) in enumerate(found):
            counts[visitors] += count
            hits.append(hit)
            held += len(hit)
            if held > _HELD_HITS + limit * len(chosen):
                hits = [nearest_hits(joined(hits), limit)]
                held = len(hits[0])
            if number % _HELD_CELLS == 0:
                release(self.cells.descriptors)
        return counts, nearest_hits(joined(hits), limit)

    def in_cell(
        self, queries: NDArray[Any], places: NDArray[np.int64], limit: int, visit: tuple[int, NDArray[np.int64]]
    ) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
        """The nearest neighbours in one cell of those that visit it, and how many there are of each."""
        cell, visitors = visit
        start, stop = self.cells.starts[cell : cell + 2]
        others = self.cells.descriptors[start:stop].astype(np.float32)
        hits, counts = [], np.empty(len(visitors), dtype=np.int64)
        for block in blocks(len(visitors), max(1, _PRODUCTS // max(1, len(others)))):
            cosines = unpacked(queries, visitors[block]) @ others.T
            itself = places[visitors[block]] - start
            inside = np.flatnonzero((itself >= 0) & (itself < len(others)))
            cosines[inside, itself[inside]] = -1
            query, other, counts[block] = _near(cosines, self.min_cosine, limit)
            hits.append(hits_of(visitors[block][query], start + other, cosines[query, other]))
        return joined(hits), visitors, counts

    def pairs(self, hits: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
        """Hits as pairs of rows, the smaller first, each once."""
        one, other = self.cells.rows[places[hits["a"]]], self.cells.rows[hits["b"]]
        return each_once(hits_of(np.minimum(one, other), np.maximum(one, other), hits["cosine"]))

    def recall(self, pairs: Runs, limit: int, rng: np.random.Generator) -> float:
        """Share found of the pairs that an exact search for some rows finds."""
        rows = self.cells.rows
        places = np.sort(rng.choice(len(rows), min(_RECALL_QUERIES, len(rows)), replace=False))
        exact = replace(self, cells=replace(self.cells, starts=even_cells(len(rows)), visits=None))
        wanted = joined([exact.pairs(hits, group) for group, _, hits in exact.lists(places, limit)])
        sampled, found = np.array(rows[places]), [np.empty(0, np.uint64)]
        for hits in pairs.merged():
            near = hits[np.isin(hits["a"], sampled) | np.isin(hits["b"], sampled)]
            found.append(pack(near["a"], near["b"]))
        missing = np.setdiff1d(pack(wanted["a"], wanted["b"]), np.concatenate(found), assume_unique=False)
        return 1 - len(missing) / len(wanted) if len(wanted) else float("nan")


def _listed(
    chosen: NDArray[np.int64], *, files: CellFiles, min_cosine: float, limit: int
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """As `_Search.listed`, in another process."""
    with threadpool_limits(1), ThreadPoolExecutor(1, "dedupkit") as pool:
        return _Search(files.opened(), min_cosine, pool).listed(chosen, limit)


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
