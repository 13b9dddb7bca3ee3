"""Which rows are equal: for each the first one like it, a share of the rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.scratch import Scratch, blocks, release, shares_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_BYTES_A_ROW = 96  # while rows of 32 bytes are sorted
_BLOCK = 1 << 18


def first_of_equals(
    rows: NDArray[Any], *, memory: int | None = None, scratch: Scratch | None = None
) -> NDArray[np.int64]:
    """For each row the number of the first row that equals it.

    Parameters
    ----------
    rows : ndarray of unsigned integers, shape (n, words)
        May be a memory map.
    memory : int, optional
        Bytes that may be taken: rows are sorted in as many shares as that needs.  None takes 96 a row.
    scratch : Scratch, optional
        Where the answer lies; in memory if left out.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    first = (scratch or Scratch()).array((len(rows),), np.int64)
    shares = 1 if memory is None else -(-len(rows) * _BYTES_A_ROW // max(memory, 1 << 20))
    for share in range(shares):
        chosen = np.arange(len(rows)) if shares == 1 else _of_share(rows, share, shares)
        first[chosen] = chosen[_first_of_equals(rows if shares == 1 else rows[chosen])]
        release(rows)
        release(first)
    return first


def _of_share(rows: NDArray[Any], share: int, shares: int) -> NDArray[np.int64]:
    """Numbers of the rows whose content falls into a share; equal ones fall into the same."""
    found = []
    for block in blocks(len(rows), _BLOCK):
        found.append(block.start + np.flatnonzero(shares_of(rows[block], shares) == share))
        release(rows)
    return np.concatenate(found)


def _first_of_equals(rows: NDArray[Any]) -> NDArray[np.int64]:
    order = np.lexsort(rows.T)  # stable: equal rows stay in their order
    ordered = rows[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    return first


def firsts(first: NDArray[np.int64], scratch: Scratch) -> NDArray[np.int64]:
    """Numbers of the rows that equal none before them, out of what `first_of_equals` gives."""
    rows = scratch.growing(np.int64)
    for block in blocks(len(first), _BLOCK):
        rows.append(block.start + np.flatnonzero(first[block] == np.arange(block.start, block.stop)))
    return rows.whole()


def copies(first: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Numbers of the rows that equal an earlier one, some at a time; those with a negative first equal none."""
    for block in blocks(len(first), _BLOCK):
        yield block.start + np.flatnonzero((first[block] >= 0) & (first[block] != np.arange(block.start, block.stop)))
