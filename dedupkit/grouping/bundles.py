"""Groups in bundles that fit in memory: what belongs together is judged together, the rest waits its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from dedupkit.grouping.by_hand import Undone
from dedupkit.grouping.groups import components_of
from dedupkit.grouping.verdicts import Marks, judge
from dedupkit.sample import PAIRS
from dedupkit.scratch import Distinct, blocks, release
from dedupkit.scratch_tables import ScratchTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.grouping.by_hand import ByHand
    from dedupkit.scratch import Scratch

Pairs = Callable[[], Iterable[pa.Table]]
"""Gives all pairs, some at a time, in the schema of `dedupkit.sample.PAIRS`; asked again for every bundle."""
_BYTES = 600  # a sample or a pair, while its group is judged
_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Grouped:
    """The samples that have a pair: 16 bytes each.

    Attributes
    ----------
    positions : ndarray of uint64, shape (n,)
        Ascending.
    label : ndarray of int64, shape (n,)
        Number of the first member of the group of each.
    """

    positions: NDArray[np.uint64]
    label: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: Pairs, scratch: Scratch) -> Grouped:
        """Of all pairs, whose ends lie in scratch files, 16 bytes a pair."""
        stored = scratch.growing(np.int64, (2,))
        seen = Distinct()
        for table in pairs():
            ends = [table[name].to_numpy().astype(np.uint64) for name in ("a", "b")]
            stored.append(np.stack(ends, axis=1).view(np.int64))
            seen.add(np.concatenate(ends))
        positions, both = seen.values(), stored.whole()
        for block in blocks(len(both), _BLOCK):
            both[block] = np.searchsorted(positions, both[block].view(np.uint64))
            release(both)

        def ends_of() -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
            for block in blocks(len(both), _BLOCK):
                yield both[block, 0], both[block, 1]
                release(both)

        label = components_of(len(positions), ends_of)
        return cls(positions, label)

    def bundles(self, pairs: Pairs, memory: int | None) -> Iterator[tuple[int, int]]:
        """Ranges of labels, from (included) to (excluded), each of groups that may be judged together."""
        if memory is None or not len(self.positions):
            yield 0, len(self.positions)
            return
        weight = np.bincount(self.label, minlength=len(self.label)).astype(np.uint32)
        for table in pairs():
            np.add.at(weight, self.labels_of(table["a"]), np.uint32(1))
        place = np.cumsum(weight, dtype=np.int64) // max(1, memory // _BYTES)
        cuts = (np.flatnonzero(np.diff(place)) + 1).tolist()
        yield from zip([0, *cuts], [*cuts, len(weight)], strict=True)

    def labels_of(self, ends: pa.ChunkedArray) -> NDArray[np.int64]:
        """The groups that pairs make."""
        return np.asarray(self.label[np.searchsorted(self.positions, ends.to_numpy().astype(np.uint64))])


def verdicts_of(
    pairs: Pairs,
    rank: Callable[[NDArray[np.uint64]], NDArray[np.int64]],
    max_copies: int | None,
    scratch: Scratch,
    memory: int | None = None,
    by_hand: ByHand | None = None,
) -> tuple[list[ScratchTable], Undone]:
    """What becomes of every sample that has a pair, and which groups a person undid: of these there is no verdict.

    Parameters
    ----------
    pairs : callable
        Gives the pairs.
    rank : callable
        What the keep policy makes of samples at some positions; lower is rather kept.
    max_copies : int or None
        As of `dedupkit.grouping.verdicts.judge`.
    scratch : Scratch
        Where verdicts lie, 100 bytes a sample that has a pair.
    memory : int, optional
        Bytes that a bundle may take, besides 20 a sample that has a pair.  A group is never cut: the largest one sets
        the least, 600 bytes for each member and pair of it.
    by_hand : ByHand, optional
        What a person said.
    """
    grouped = Grouped.of(pairs, scratch)
    undone = Undone.of(by_hand, grouped.positions, grouped.label)
    no_group = np.zeros(len(grouped.positions), dtype=bool)
    no_group[np.searchsorted(grouped.positions, undone.positions)] = True
    found = []
    for low, high in grouped.bundles(pairs, memory):
        chosen = grouped.positions[(grouped.label >= low) & (grouped.label < high) & ~no_group]
        parts = [PAIRS.empty_table()]
        for table in pairs():
            label = grouped.labels_of(table["a"])
            parts.append(table.filter(pa.array((label >= low) & (label < high) & ~no_group[label])))
        marks = None if by_hand is None else Marks(by_hand.among("keep", chosen), by_hand.among("drop", chosen))
        verdicts = judge(pa.concat_tables(parts), chosen, rank(chosen), max_copies, marks)
        found.append(ScratchTable.of(verdicts.table(), scratch))
    return found, undone
