"""Digests of what came before, sorted: which entry was the first of the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class DigestTable:
    """Digests of a stretch of entries that are not copies of earlier ones.

    Attributes
    ----------
    digests : ndarray of uint64, shape (n, 4)
        SHA-256, sorted by its first word, then by entry.
    entries : ndarray of int64, shape (n,)
        The entry of each.
    """

    digests: NDArray[np.uint64]
    entries: NDArray[np.int64]

    @classmethod
    def of(cls, digests: NDArray[np.uint64], entries: NDArray[np.int64]) -> DigestTable:
        """Sort digests."""
        order = np.lexsort((entries, digests[:, 0]))
        return cls(digests[order], entries[order])

    @classmethod
    def merged(cls, tables: list[DigestTable]) -> DigestTable:
        """The digests of several stretches."""
        return cls.of(*(np.concatenate([getattr(each, name) for each in tables]) for name in ("digests", "entries")))

    def first(self, digests: NDArray[np.uint64], gone: NDArray[np.int64]) -> NDArray[np.int64]:
        """The entry of the same digest, of those that are not gone; -1 where there is none.

        Parameters
        ----------
        digests : ndarray of uint64, shape (m, 4)
            What is looked for.
        gone : ndarray of int64
            Entries that do not count, ascending.
        """
        found = np.full(len(digests), -1)
        words = self.digests[:, 0]
        at, stop = (np.searchsorted(words, digests[:, 0], side=side) for side in ("left", "right"))
        waiting = np.flatnonzero(at < stop)
        while len(waiting):  # one round, but for digests that begin alike and for those removed and added again
            row = at[waiting]
            same = (self.digests[row] == digests[waiting]).all(axis=1) & ~np.isin(self.entries[row], gone)
            found[waiting[same]] = self.entries[row[same]]
            at[waiting] += 1
            waiting = waiting[~same & (at[waiting] < stop[waiting])]
        return found
