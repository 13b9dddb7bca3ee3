"""What is remembered of the entries that came before, so that new ones are compared with them and they are not read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.matching.cell_means import CellMeans, ListRules
from dedupkit.matching.descriptor_tables import DescriptorQueries, DescriptorTable, Near, rows_of
from dedupkit.matching.digest_tables import DigestTable
from dedupkit.matching.hash_tables import HashRule, HashTable, NearHashes, QueryHashes
from dedupkit.matching.list_recall import list_recall
from dedupkit.matching.radius import layout_of
from dedupkit.matching.sketches import sketches_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dedupkit.matching.signatures import Fingerprints
    from dedupkit.matching.turns import HashLayout
    from dedupkit.recipe import Matching

_MERGED_BELOW = 3  # stretches of no more than so many times the entries of the next


@dataclass(frozen=True, slots=True)
class Stretch:
    """Entries from `start` to before `stop`, ready to be searched; `name` says where they are kept, if they are."""

    start: int
    stop: int
    digests: DigestTable
    hashes: HashTable
    descriptors: DescriptorTable
    name: str = ""

    @classmethod
    def of(cls, prints: Fingerprints, rows: NDArray[np.int64], span: tuple[int, int], seen: Seen) -> Stretch:
        """Some rows of new fingerprints, those that are no copies of earlier ones by their bytes."""
        entries = prints.positions[rows].astype(np.int64)
        number, trimmed, codes = hashes_of(prints, rows)
        owners = 2 * entries[number] + trimmed
        order = np.argsort(owners)
        words = seen.layout.words(codes[order])
        return cls(
            *span,
            DigestTable.of(prints.digests[rows], entries),
            HashTable.of(owners[order], words, turned=seen.matching.turned),
            DescriptorTable.of(entries, prints.descriptors[rows], seen.means),
        )

    @classmethod
    def merged(cls, parts: list[Stretch], *, turned: bool) -> Stretch:
        """Neighbouring stretches as one."""
        return cls(
            parts[0].start,
            parts[-1].stop,
            DigestTable.merged([part.digests for part in parts]),
            HashTable.merged([part.hashes for part in parts], turned=turned),
            DescriptorTable.merged([part.descriptors for part in parts]),
        )


def hashes_of(
    prints: Fingerprints, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.uint8]]:
    """The hashes of some rows that may be compared: place among the rows, whether it is the trimmed one, and code."""
    whole, trimmed = prints.whole, prints.trimmed
    plain_inside = trimmed.present & ~trimmed.informative  # the frame is all there is to the whole picture's hash
    with_whole = np.flatnonzero((whole.informative & ~plain_inside)[rows])
    with_trimmed = np.flatnonzero(trimmed.informative[rows])
    number = np.concatenate([with_whole, with_trimmed])
    codes = np.concatenate([whole.codes[rows[with_whole]], trimmed.codes[rows[with_trimmed]]])
    return number, np.arange(len(number)) >= len(with_whole), codes


def due_merge(sizes: list[int]) -> int:
    """How many of the last stretches are to be merged into one, 1 for none, so that sizes fall by three each time."""
    count, total = 1, sizes[-1] if sizes else 0
    while count < len(sizes) and sizes[-count - 1] < _MERGED_BELOW * total:
        count += 1
        total += sizes[-count]
    return count


@dataclass(slots=True)
class Seen:
    """The entries that came before.

    Attributes
    ----------
    matching : Matching
        When two samples are a pair.
    radius : int
        Largest Hamming distance of near hashes, in bits; the same for all entries.
    described : bool
        Whether samples have descriptors.
    rules : ListRules
        When descriptors are put into lists.
    means : CellMeans
        What the lists are made around.
    recall : float or None
        Share of the nearest descriptors that the lists hold, measured when they were made; None without lists.
    stretches : list of Stretch
        The entries, in their order.
    gone : ndarray of int64
        Entries that no longer count, ascending.
    keep : callable
        Handed each new stretch, gives back what is remembered in its place: the same, or the same in a file.
    """

    matching: Matching
    radius: int
    described: bool
    rules: ListRules = field(default_factory=ListRules)
    means: CellMeans = field(default_factory=CellMeans.none)
    recall: float | None = None
    stretches: list[Stretch] = field(default_factory=list)
    gone: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    keep: Callable[[Stretch], Stretch] = lambda stretch: stretch

    @property
    def count(self) -> int:
        """Number of entries so far."""
        return self.stretches[-1].stop if self.stretches else 0

    @property
    def layout(self) -> HashLayout:
        """The layout of the hash that is compared."""
        return layout_of(self.matching)

    def hash_queries(self, prints: Fingerprints, rows: NDArray[np.int64]) -> QueryHashes:
        """Some rows of new fingerprints, each looked for among the entries before it."""
        query, trimmed, codes = hashes_of(prints, rows)
        words = self.layout.words(codes), self.layout.words(self.layout.transposed(codes))
        rule = HashRule(self.radius, self.layout, self.matching.turned)
        return QueryHashes(query, trimmed, *words, prints.positions[rows].astype(np.int64), self.gone, rule)

    def descriptor_queries(self, prints: Fingerprints, rows: NDArray[np.int64]) -> DescriptorQueries:
        """Some rows of new fingerprints, each looked for among the entries before it."""
        wanted = prints.descriptors[rows]
        before = np.where(wanted.any(axis=1), prints.positions[rows].astype(np.int64), 0)
        limit, floor = self.matching.max_neighbours, self.matching.min_cosine
        visits, sketches = self.means.visits(wanted), sketches_of(wanted) if self.means.trained_at else None
        return DescriptorQueries(wanted, before, visits, sketches, limit, floor, self.gone)

    def first_of_equals(self, digests: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The first entry of the same bytes; -1 where there is none."""
        found = np.full(len(digests), -1)
        for stretch in self.stretches:
            here = stretch.digests.first(digests, self.gone)
            found = np.where(found < 0, here, found)
        return found

    def near_hashes(self, queries: QueryHashes, also: list[Stretch]) -> NearHashes:
        """Entries with near hashes, among those remembered and in other stretches."""
        return NearHashes.joined([each.hashes.near(queries) for each in (*self.stretches, *also)]).nearest()

    def near_descriptors(self, queries: DescriptorQueries, also: list[Stretch]) -> Near:
        """The nearest entries by descriptor, among those remembered and in other stretches."""
        near = [each.descriptors.near(queries) for each in (*self.stretches, *also)]
        return Near.joined(near).nearest(queries.limit)

    def descriptors(self, entries: NDArray[np.int64], also: list[Stretch]) -> NDArray[np.float16]:
        """The descriptors of some entries; zeros where there is none."""
        return rows_of([each.descriptors for each in (*self.stretches, *also)], entries)

    def append(self, stretch: Stretch) -> None:
        """Remember one more stretch; small ones that pile up become one."""
        self.stretches.append(stretch)
        count = due_merge([each.stop - each.start for each in self.stretches])
        if count > 1:
            self.stretches[-count:] = [Stretch.merged(self.stretches[-count:], turned=self.matching.turned)]
        self.stretches[-1] = self.keep(self.stretches[-1])

    def next_training(self) -> int:
        """Number of entries at which the lists are made anew."""
        return self.rules.next_training(self.means.trained_at)

    def train(self) -> None:
        """Make the lists anew: the means are those of all entries so far, and of nothing else."""
        tables = [each.descriptors for each in self.stretches]
        entries = np.sort(np.concatenate([np.empty(0, np.int64), *(table.entries for table in tables)]))
        cells = len(entries) // self.rules.rows_a_cell
        rng = np.random.default_rng([self.count, 2])
        size = min(len(entries), cells * self.rules.sampled_a_cell)
        sample = rows_of(tables, np.sort(rng.choice(entries, size, replace=False)) if size else entries[:0])
        self.means = CellMeans.trained(sample, cells, self.count, self.rules)
        whole = Stretch.merged(self.stretches, turned=self.matching.turned)
        table = whole.descriptors
        rows = DescriptorTable.of(table.entries[table.ascending], table.rows[table.ascending], self.means)
        self.stretches = [self.keep(Stretch(whole.start, whole.stop, whole.digests, whole.hashes, rows))]
        self.recall = list_recall([rows], self.means, self.matching) if self.described else None
