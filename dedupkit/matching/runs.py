"""Sorting what does not fit in memory: sorted runs in scratch files, merged a bounded part at a time.

Every run is sorted and each of its records stands there once; a part of the merge is a range of the records' first
number, out of all runs at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.scratch import release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

    from dedupkit.scratch import Scratch

_HELD = 1 << 22  # records sorted at a time
_SAMPLED = 64  # of a run's records, one in so many tells where parts may begin

Once = Callable[["NDArray[Any]"], "NDArray[Any]"]


@dataclass(slots=True)
class Runs:
    """Records that come in any order.

    Attributes
    ----------
    scratch : Scratch
        Where the runs lie.
    dtype : numpy.dtype
        Of a record: ``uint64`` for pairs packed as ``a << 32 | b``, or with a field ``a``.
    once : callable
        Sorts records by ``a`` first, and leaves one of equal ones.
    held : int
        Records that are sorted together, and about how many a part of the merge has.
    """

    scratch: Scratch
    dtype: DTypeLike
    once: Once
    held: int = field(default_factory=lambda: _HELD)
    parts: list[NDArray[Any]] = field(default_factory=list)
    fresh: list[NDArray[Any]] = field(default_factory=list)
    _waiting: int = 0

    def add(self, records: NDArray[Any]) -> None:
        """Add records; one may be added again."""
        self.fresh.append(records)
        self._waiting += len(records)
        if self._waiting >= self.held:
            self._put_away()

    def _put_away(self) -> None:
        if not self._waiting:
            return
        records = self.once(np.concatenate([np.empty(0, self.dtype), *self.fresh]))
        self.parts.append(self.scratch.array(records.shape, records.dtype))
        self.parts[-1][:] = records
        release(self.parts[-1])
        self.fresh.clear()
        self._waiting = 0

    def merged(self) -> Iterator[NDArray[Any]]:
        """All records sorted, each once, in parts of disjoint and ascending ranges of ``a``."""
        self._put_away()
        if len(self.parts) == 1:
            yield from self._of_one()
            return
        for low, high in pairwise(self._bounds()):
            cuts = [part[slice(*np.searchsorted(_firsts(part), self._keys([low, high])))] for part in self.parts]
            yield self.once(np.concatenate(cuts))
            for part in self.parts:
                release(part)

    def _of_one(self) -> Iterator[NDArray[Any]]:
        part = self.parts[0]
        for low, high in pairwise(self._bounds()):
            yield np.array(part[slice(*np.searchsorted(_firsts(part), self._keys([low, high])))])
            release(part)

    def remove(self) -> None:
        """Give the room of all runs back."""
        for part in self.parts:
            self.scratch.remove(part)
        self.parts.clear()

    def _keys(self, bounds: list[int]) -> NDArray[Any]:
        """Bounds of ``a`` as what `_firsts` is searched for."""
        packed = self.parts[0].dtype.names is None
        keys = np.array(bounds, dtype=np.uint64)
        return keys << np.uint64(32) if packed else keys.astype(self.parts[0].dtype["a"])

    def _bounds(self) -> list[int]:
        """Values of ``a`` between which there are about `held` records; the last is above all."""
        if not self.parts:
            return []
        sampled = [part[:: min(_SAMPLED, max(1, len(part) // 4))] for part in self.parts]
        weight = np.concatenate(
            [np.full(len(few), len(part) / len(few)) for part, few in zip(self.parts, sampled, strict=True)]
        )
        firsts = np.concatenate([_a(few) for few in sampled])
        order = np.argsort(firsts, kind="stable")
        place = (np.cumsum(weight[order]) // self.held).astype(np.int64)
        cuts = firsts[order][np.flatnonzero(np.diff(place)) + 1]
        last = max(int(_a(part[-1:])[0]) for part in self.parts) + 1
        return [0, *np.unique(cuts[cuts > 0]).tolist(), last]


def _a(records: NDArray[Any]) -> NDArray[Any]:
    return records >> np.uint64(32) if records.dtype.names is None else records["a"]


def _firsts(part: NDArray[Any]) -> NDArray[Any]:
    """What is ascending along a run, without a copy of it."""
    return part if part.dtype.names is None else part["a"]


def packed_once(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Packed pairs sorted, each once; np.unique would hash them first, which takes longer than to sort."""
    values = np.sort(values)
    fresh = np.ones(len(values), dtype=bool)
    fresh[1:] = values[1:] != values[:-1]
    return np.asarray(values[fresh])


def pack(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.uint64]:
    """Pairs of row numbers below 2^32 as one number each."""
    return np.asarray(a.astype(np.uint64) << np.uint64(32) | b.astype(np.uint64))


def unpack(pairs: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The two row numbers of packed pairs."""
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
