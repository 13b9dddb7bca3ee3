"""What a stream remembers of the samples that it kept: the newest ones, searched in memory, their views on disk."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from dedupkit.matching.cell_means import CellMeans, ListRules
from dedupkit.matching.seen import Seen, Stretch, due_merge
from dedupkit.matching.sequential import without_plain
from dedupkit.matching.signatures import load
from dedupkit.streaming.log import KEPT, Log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dedupkit.matching.geometry import View
    from dedupkit.matching.signatures import Fingerprints
    from dedupkit.recipe import Matching

FILES = 8
"""In which the entries that are remembered lie: so much more than asked for is held for a while."""
_SKETCHED_FROM = ListRules().first_entries


class Memory:
    """The entries that were kept, numbered in their order, of which the newest are remembered.

    Parameters
    ----------
    matching : Matching
        When two samples are a pair.
    radius : int
        Largest Hamming distance of near hashes.
    described : bool
        Whether samples have descriptors.
    most : int
        How many entries are remembered.
    log : Log
        Their files.
    """

    def __init__(self, matching: Matching, radius: int, described: bool, most: int, log: Log) -> None:
        self.seen, self.count, self.most, self._log = Seen(matching, radius, described), 0, most, log
        self._names: list[tuple[int, pa.Table]] = []

    @property
    def low(self) -> int:
        """The first entry that is remembered."""
        return max(0, self.count - self.most)

    def next_change(self) -> int | None:
        """How many more entries are searched as those until now; None for any number."""
        return _SKETCHED_FROM - self.count if self.count < _SKETCHED_FROM else None

    def replay(self, low: int = 0) -> None:
        """Remember what the files hold and this does not, from entry `low` on."""
        for table in self._log.fresh(low):
            if table.num_rows:
                self._remember(table)
        self._forget()

    def add(self, kept: pa.Table, views: Sequence[View | None]) -> None:
        """Remember samples that are kept; their fingerprints without faults, in the columns `KEPT` but the last two."""
        start = 0
        while start < kept.num_rows:
            room = self._log.entries_a_file - self.count % self._log.entries_a_file
            part, seen = kept.slice(start, room), views[start : start + room]
            numbers = pa.array(np.arange(self.count, self.count + part.num_rows, dtype=np.uint64))
            self._remember(self._log.append(part.set_column(0, KEPT.field("position"), numbers), seen))
            start += part.num_rows
        self._forget()

    def view(self, entry: int) -> View | None:
        """What geometry looks at."""
        table, row = self._place(entry)
        return self._log.view(entry, table["view_at"][row].as_py(), table["view_bytes"][row].as_py())

    def key(self, entry: int) -> str:
        """Name of an entry."""
        table, row = self._place(entry)
        return str(table["key"][row].as_py())

    def _place(self, entry: int) -> tuple[pa.Table, int]:
        starts = [start for start, _ in self._names]
        start, table = self._names[int(np.searchsorted(starts, entry, side="right")) - 1]
        return table, entry - start

    def _remember(self, table: pa.Table) -> None:
        prints = fingerprints_of(table, self.seen.matching)
        first = int(prints.positions[0])
        span = first, first + table.num_rows
        self._append(Stretch.of(prints, np.arange(table.num_rows), span, self.seen))
        self._name(first, table.select(["key", "view_at", "view_bytes"]))
        self.count = span[1]
        if self.count >= _SKETCHED_FROM and not self.seen.means.trained_at:
            self.seen.means = CellMeans(np.empty((0, 0), np.float16), _SKETCHED_FROM)

    def _append(self, stretch: Stretch) -> None:
        """Small stretches that pile up become one, but those of one file alone, so that it can be forgotten."""
        own = stretch.start // self._log.entries_a_file
        before = [each for each in self.seen.stretches if each.start // self._log.entries_a_file == own - 1]
        if stretch.start % self._log.entries_a_file == 0:
            self._merge(len(before))
        self.seen.stretches.append(stretch)
        mine = [each for each in self.seen.stretches if each.start // self._log.entries_a_file == own]
        self._merge(due_merge([each.stop - each.start for each in mine]))

    def _merge(self, count: int) -> None:
        """Make the last stretches one."""
        if count > 1:
            last = self.seen.stretches[-count:]
            self.seen.stretches[-count:] = [Stretch.merged(last, turned=self.seen.matching.turned)]

    def _name(self, first: int, names: pa.Table) -> None:
        self._names.append((first, names))
        count = due_merge([table.num_rows for _, table in self._names])
        if count > 1:
            merged = pa.concat_tables([table for _, table in self._names[-count:]]).combine_chunks()
            self._names[-count:] = [(self._names[-count][0], merged)]

    def _forget(self) -> None:
        """Let go of stretches that hold nothing that counts; in those that stay the oldest entries are passed over."""
        low, size = self.low, self._log.entries_a_file
        self.seen.stretches = [each for each in self.seen.stretches if (each.start // size + 1) * size > low]
        begin = self.seen.stretches[0].start if self.seen.stretches else 0
        self.seen.gone = np.arange(begin, low)
        self._names = [each for each in self._names if each[0] + each[1].num_rows > low]
        while self._names and self._names[0][0] + size < begin:  # merged over files
            first, table = self._names[0]
            self._names[0] = begin, table.take(np.arange(begin - first, table.num_rows))  # a slice would hold on to all


def fingerprints_of(table: pa.Table, matching: Matching) -> Fingerprints:
    """What is compared of the samples of a table that have no fault; blank pictures without descriptors."""
    return without_plain(load([table], matching))


def numbered(prints: Fingerprints, first: int) -> Fingerprints:
    """The same fingerprints under the numbers from `first` on."""
    return replace(prints, positions=np.arange(first, first + len(prints.positions), dtype=np.uint64))


def nothing_before(seen: Seen, samples: int) -> Seen:
    """A memory of nothing, by the same rules, in which each sample finds all others of a batch."""
    matching = seen.matching.model_copy(update={"max_neighbours": max(seen.matching.max_neighbours, samples)})
    return Seen(matching, seen.radius, seen.described)


def kept_rows(mask: NDArray[np.bool_], table: pa.Table) -> pa.Table:
    """The rows of fingerprints that are remembered, in the columns of `KEPT`."""
    return table.filter(pa.array(mask)).select(KEPT.names[:-2])
