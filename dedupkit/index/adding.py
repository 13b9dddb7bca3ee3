"""Adding a source to an index: fingerprints first, then each sample against all before it, then one switch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.guard.condemned import plain
from dedupkit.index.kept_views import Looking, renumbered
from dedupkit.index.saving import Saving
from dedupkit.index.snapshot import ENTRIES
from dedupkit.index.state import AddedShard
from dedupkit.matching.equals import first_of_equals
from dedupkit.matching.sequential import Sequence
from dedupkit.matching.signatures import COLUMNS, load
from dedupkit.matching.views import Views
from dedupkit.parts import Progress
from dedupkit.sample import PAIRS, Tier, fixed_bytes
from dedupkit.storage import digest
from dedupkit.verification import views_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.index.snapshot import Snapshot
    from dedupkit.index.state import State
    from dedupkit.journey import Journey
    from dedupkit.matching.geometry import View
    from dedupkit.sources.base import Shard


@dataclass(frozen=True, slots=True)
class Added:
    """What adding a source did.

    Attributes
    ----------
    samples : int
        Entries that are new.
    pairs : int
        Pairs of them with earlier entries or among them, equal bytes counted.
    groups : int
        Duplicate groups that new samples are in.
    faults : dict of str to str
        Key and reason of each new sample without a usable image; they are entries of no group.
    known_shards : tuple of str
        Shards that had been added before, unchanged, and were passed over.
    known_samples : int
        Samples of other shards that stand in the index under the same source and key with the same bytes, and were
        passed over.
    """

    samples: int
    pairs: int
    groups: int
    faults: dict[str, str]
    known_shards: tuple[str, ...]
    known_samples: int


@dataclass(slots=True)
class Adding:
    """One addition: what is new lies in files that nothing names until the end."""

    snapshot: Snapshot
    journey: Journey
    source: str
    numbers: list[tuple[int, Shard, str]] = field(default_factory=list)
    compares: bool = True
    tables: list[pa.Table] = field(default_factory=list)
    pairs: list[pa.Table] = field(default_factory=list)
    shards: list[AddedShard] = field(default_factory=list)
    places: list[NDArray[np.uint64]] = field(default_factory=list)
    known: int = 0

    def run(self, view_files: list[str]) -> tuple[State, Added]:
        """Compare everything, write the files, and give the state that names them."""
        snapshot = self.snapshot
        seen = snapshot.seen
        saving = Saving(snapshot)
        views = _NewViews(snapshot, view_files, self.places)
        threads = self.journey.engine.threads_a_task(1)
        look = Looking(views.view, seen.matching.min_luminance_entropy, threads) if self.keeps_views else None
        sequence = Sequence(seen, snapshot.forest(), look, self.compares)
        try:
            for done, (number, shard, identity) in enumerate(self.numbers, 1):
                self._take(sequence, number, shard, identity)
                views.release()
                self.journey.observe(Progress("compared", done, len(self.numbers), self.count - snapshot.state.entries))
        finally:
            if look is not None:
                look.close()
        fresh = views.tables() if self.keeps_views else None
        return saving.finished(self.tables, self.pairs, self.shards, fresh), self._summary(sequence)

    @property
    def keeps_views(self) -> bool:
        """Whether geometry has something to look at."""
        return self.snapshot.state.views == "keep"

    @property
    def count(self) -> int:
        """Entries there are by now."""
        return self.snapshot.state.entries + sum(len(places) for places in self.places)

    def _take(self, sequence: Sequence, number: int, shard: Shard, identity: str) -> None:
        """One shard: its samples become entries."""
        names = ("key", "fault_detail", *(("descriptor",) if self.snapshot.seen.described else ()))
        table = self._unknown(self.journey.tables.fingerprints(number, (*COLUMNS, *names)))
        start, count = self.count, table.num_rows
        self.places.append(table["position"].to_numpy())
        entries = np.arange(start, start + count)
        table = table.set_column(0, table.schema.field("position"), pa.array(entries.astype(np.uint64)))
        prints = load([table], self.snapshot.seen.matching)
        taken = sequence.take(prints, start + count)
        first = entries.copy()
        first[prints.positions.astype(np.int64) - start] = taken.first
        columns = {"key": table["key"], "shard": np.full(count, len(self.snapshot.state.shards) + len(self.shards))}
        columns |= {"first": first, "sha256": table["sha256"], "fault": table["fault"], "detail": table["fault_detail"]}
        arrays = [pa.chunked_array([columns[each.name]]) if isinstance(columns[each.name], np.ndarray)
                  else columns[each.name] for each in ENTRIES]  # fmt: skip
        arrays = [array.cast(each.type) for array, each in zip(arrays, ENTRIES, strict=True)]
        self.tables.append(pa.Table.from_arrays(arrays, schema=ENTRIES))
        self.pairs.append(taken.pairs)
        self.shards.append(AddedShard(self.source, shard.name, identity, start, count))

    def _unknown(self, table: pa.Table) -> pa.Table:
        """The samples that do not stand in the index under the same source and key with the same bytes."""
        mine = [number for number, shard in enumerate(self.snapshot.state.shards) if shard.source == self.source]
        if not mine:
            return table
        known = _known(self.snapshot.entries, mine)
        pairs = zip(table["key"].to_pylist(), table["sha256"].to_pylist(), strict=True)
        fresh = np.array([pair not in known for pair in pairs], dtype=bool)
        self.known += int((~fresh).sum())
        return table.filter(pa.array(fresh))

    def _summary(self, sequence: Sequence) -> Added:
        table = pa.concat_tables([ENTRIES.empty_table(), *self.tables])
        faulty = table.filter(pc.is_valid(table["fault"]))
        faults = dict(zip(faulty["key"].to_pylist(), faulty["fault"].to_pylist(), strict=True))
        known = tuple(shard.name for shard in self.journey.shards)
        taken = {shard.name for _, shard, _ in self.numbers}
        first = table["first"].to_numpy()
        copies = first[first != np.arange(self.count - table.num_rows, self.count)]
        found = pa.concat_tables([PAIRS.empty_table(), *self.pairs])
        found = found.filter(pc.not_equal(found["tier"], Tier.LOOK_ALIKE.value))
        ends = np.concatenate([copies, found["b"].to_numpy().astype(np.int64)]).tolist()
        groups = len({sequence.groups.find(entry) for entry in ends})
        passed_over = tuple(name for name in known if name not in taken)
        return Added(table.num_rows, len(ends), groups, faults, passed_over, self.known)


def added_to(snapshot: Snapshot, journey: Journey, name: str, *, compares: bool = True) -> tuple[State, Added]:
    """Fingerprint a source, compare it with an index and with itself, and give the state that holds both.

    Without `compares` the samples are only put in, and no pairs of them are known.
    """
    journey.fingerprint()
    known = {shard.identity for shard in snapshot.state.shards}
    numbered = [(number, shard, identity_of(name, plain(shard))) for number, shard in enumerate(journey.shards)]
    adding = Adding(snapshot, journey, name, [each for each in numbered if each[2] not in known], compares)
    files = []
    if adding.keeps_views:
        wanted = wanted_views(journey, [number for number, _, _ in adding.numbers], snapshot)
        files = [journey.tables.stage("views").parts.path(part) for part in views_of(journey, wanted)]
    return adding.run(files)


def identity_of(source: str, shard: Shard) -> str:
    """What changes with a shard's content, and with where it comes from."""
    return digest([source, shard.name, shard.identity])


def _known(entries: pa.Table, shards: list[int]) -> set[tuple[str, bytes]]:
    mine = entries.filter(pc.is_in(entries["shard"], pa.array(shards, pa.int32())))
    return set(zip(mine["key"].to_pylist(), mine["sha256"].to_pylist(), strict=True))


def wanted_views(journey: Journey, numbers: list[int], snapshot: Snapshot) -> NDArray[np.uint64]:
    """Positions of the samples whose views are kept: of equal bytes the first, if they are not in the index yet."""
    columns = ("position", "sha256", "fault")
    if not numbers:
        return np.empty(0, np.uint64)
    tables = [journey.tables.fingerprints(number, columns) for number in numbers]
    table = pa.concat_tables(tables).filter(pc.is_null(pc.field("fault")))
    digests = fixed_bytes(table["sha256"], 32).view(np.uint64).reshape(-1, 4)
    fresh = (first_of_equals(digests) == np.arange(len(digests))) & (snapshot.seen.first_of_equals(digests) < 0)
    return np.asarray(table["position"].to_numpy()[fresh], np.uint64)


class _NewViews:
    """Views of old entries by their numbers, and of new ones, which still lie in files by their positions."""

    def __init__(self, snapshot: Snapshot, files: list[str], places: list[NDArray[np.uint64]]) -> None:
        self._snapshot, self._files, self._places = snapshot, files, places
        self._fresh = Views(files)

    def view(self, entry: int) -> View | None:
        """The view of an entry, old or new."""
        start = self._snapshot.state.entries
        if entry < start:
            return self._snapshot.views[entry]
        for places in self._places:
            if entry < start + len(places):
                return self._fresh[int(places[entry - start])]
            start += len(places)
        return None

    def release(self) -> None:
        """Take the pages that were looked at out of this process."""
        self._snapshot.views.release()
        self._fresh.release()

    def tables(self) -> Iterator[pa.Table]:
        """The new ones, by entry numbers."""
        before = np.concatenate([np.empty(0, np.uint64), *self._places])
        after = self._snapshot.state.entries + np.arange(len(before))
        for path in self._files:
            yield from renumbered(path, before, after)
