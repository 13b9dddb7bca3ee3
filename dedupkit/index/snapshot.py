"""An index as it was when it was opened: what a reader holds, whatever writers do meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.grouping.groups import components
from dedupkit.index.files import damaged, read_table
from dedupkit.index.kept_views import KeptViews
from dedupkit.index.state import STATE_NAME, read_state
from dedupkit.index.stretches import read_means, read_stretch
from dedupkit.matching.evidence import turned_round
from dedupkit.matching.forest import Forest
from dedupkit.matching.seen import Seen
from dedupkit.sample import PAIRS, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dedupkit.index.files import File
    from dedupkit.index.state import State
    from dedupkit.storage import Folder

_OPENINGS = 5  # a writer may have removed what the state that was just read names

ENTRIES = pa.schema(
    {
        "key": pa.string(),
        "shard": pa.int32(),  # number of the shard that was added
        "first": pa.int64(),  # first entry of the same bytes
        "sha256": pa.binary(32),
        "fault": pa.string(),
        "detail": pa.string(),  # what was wrong with it, in words
    }
)
REMOVED = pa.schema({"entry": pa.int64()})


@dataclass(frozen=True)
class Snapshot:
    """Everything in an index at one moment, mapped.

    Attributes
    ----------
    folder : Folder
        Where it lies.
    state : State
        What it is made of.
    seen : Seen
        What new samples are compared with.
    views : KeptViews
        What geometry looks at.
    entries : pyarrow.Table
        In the schema `ENTRIES`, row by entry number.
    raw_pairs : pyarrow.Table
        In the schema of `dedupkit.sample.PAIRS`, by entry numbers, as they were found, look-alikes among them.
    removed : ndarray of int64
        Entries that were removed, ascending.
    """

    folder: Folder
    state: State
    views: KeptViews
    entries: pa.Table
    raw_pairs: pa.Table
    removed: NDArray[np.int64]
    seen: Seen = field(init=False)

    def __post_init__(self) -> None:
        state, recipe = self.state, self.state.chosen
        stretches = [read_stretch(self.folder, file) for file in state.files["search"]]
        means = read_means(self.folder, state)
        described = bool(recipe.descriptor)
        seen = Seen(
            recipe.matching, state.max_hamming_bits, described, state.lists, means, state.recall, stretches, self.gone
        )
        object.__setattr__(self, "seen", seen)

    @classmethod
    def open(cls, folder: Folder) -> Snapshot:
        """The index as it is now.

        Raises
        ------
        UsageError
            There is none, or of another format or make.
        RunError
            A file of it is damaged.
        """
        for _ in range(_OPENINGS):
            state = read_state(folder)
            try:
                return cls._of(folder, state)
            except Exception:
                if read_state(folder).generation == state.generation:
                    raise
        return cls._of(folder, read_state(folder))

    @classmethod
    def begun(cls, folder: Folder, state: State) -> Snapshot:
        """An index of a state that is not written yet."""
        return cls._of(folder, state)

    @classmethod
    def _of(cls, folder: Folder, state: State) -> Snapshot:
        entries, pairs, removed = (
            _all_of(folder, state.files[kind], schema)
            for kind, schema in (("entries", ENTRIES), ("pairs", PAIRS), ("removed", REMOVED))
        )
        _check_numbers(folder, state, {"entries": entries, "pairs": pairs, "removed": removed})
        views = KeptViews(folder, state.files["views"])
        return cls(folder, state, views, entries, pairs, removed["entry"].to_numpy())

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """For each entry the first of the same bytes."""
        return np.asarray(self.entries["first"].to_numpy())

    @cached_property
    def living(self) -> NDArray[np.bool_]:
        """Entries that were not removed."""
        living = np.ones(self.entries.num_rows, dtype=bool)
        living[self.removed] = False
        return living

    @cached_property
    def stand_in(self) -> NDArray[np.int64]:
        """For each first of its bytes the first entry of them that was not removed; -1 where all were."""
        found = np.full(self.entries.num_rows, -1)
        if not len(self.removed):
            return np.asarray(self.first)
        living = np.flatnonzero(self.living)[::-1]
        found[self.first[living]] = living  # the last write is the first entry
        return found

    @property
    def gone(self) -> NDArray[np.int64]:
        """Firsts of their bytes of which no entry is left, ascending."""
        removed = self.removed
        return removed[(self.first[removed] == removed) & (self.stand_in[removed] < 0)] if len(removed) else removed

    @cached_property
    def joining(self) -> NDArray[np.int64]:
        """Rows of `raw_pairs` that make groups: those of what is not gone."""
        alike = self.raw_pairs["tier"].combine_chunks() if self.raw_pairs.num_rows else pa.array([], pa.string())
        counts = np.ones(len(alike), dtype=bool)
        if self.seen.matching.look_alikes != "drop":
            counts = np.asarray(pc.not_equal(alike, Tier.LOOK_ALIKE.value).to_numpy(zero_copy_only=False))
        return np.flatnonzero(counts & self._whole)

    @cached_property
    def _whole(self) -> NDArray[np.bool_]:
        """Whether both ends of each raw pair are still there."""
        gone = self.seen.gone
        if not len(gone):
            return np.ones(self.raw_pairs.num_rows, dtype=bool)
        return ~np.isin(self._ends[0], gone) & ~np.isin(self._ends[1], gone)

    @cached_property
    def _ends(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        a, b = (self.raw_pairs[end].to_numpy().astype(np.int64) for end in ("a", "b"))
        return a, b

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """For each entry the least number among its group, removed entries among them."""
        count = self.entries.num_rows
        copies = np.flatnonzero(self.first != np.arange(count))
        a, b = (end[self.joining] for end in self._ends)
        return components(count, np.concatenate([self.first[copies], a]), np.concatenate([copies, b]))

    @cached_property
    def group_of(self) -> NDArray[np.int64]:
        """For each living entry the first living member of its group; -1 for those outside of groups."""
        living = np.flatnonzero(self.living)
        lead = np.full(len(self.labels), -1)
        lead[self.labels[living[::-1]]] = living[::-1]
        size = np.bincount(self.labels[living], minlength=len(self.labels))
        group = np.full(len(self.labels), -1)
        members = living[size[self.labels[living]] > 1]
        group[members] = lead[self.labels[members]]
        return group

    def forest(self) -> Forest:
        """The groups, for new samples to join."""
        return Forest(self.labels)

    def members(self, group: int) -> NDArray[np.int64]:
        """Living members of a group."""
        return np.flatnonzero(self.group_of == group) if group >= 0 else np.empty(0, np.int64)

    def copies(self, first: int) -> NDArray[np.int64]:
        """Living entries of the same bytes."""
        return np.flatnonzero((self.first == first) & self.living)

    def pairs(self) -> pa.Table:
        """Pairs of living entries, sorted, in the schema of `dedupkit.sample.PAIRS` by entry numbers."""
        near = self._standing(self.raw_pairs.take(pa.array(self.joining)))
        copies = self.spare_copies
        exact = {"a": self.stand_in[self.first[copies]], "b": copies, "tier": [Tier.EXACT.value] * len(copies)}
        columns = [
            pa.array(exact[name.name], name.type) if name.name in exact else pa.nulls(len(copies), name.type)
            for name in PAIRS
        ]
        found = pa.concat_tables([near, pa.Table.from_arrays(columns, schema=PAIRS)])
        return found.sort_by([("a", "ascending"), ("b", "ascending")])

    def pairs_of(self, entry: int) -> pa.Table:
        """Pairs of a living entry with entries of other bytes, in the same schema."""
        first = self.first[entry]
        a, b = (end[self.joining] for end in self._ends)
        return self._standing(self.raw_pairs.take(pa.array(self.joining[(a == first) | (b == first)])))

    @cached_property
    def spare_copies(self) -> NDArray[np.int64]:
        """Living entries of the same bytes as a living one before them."""
        return np.flatnonzero(self.living & (self.stand_in[self.first] != np.arange(len(self.first))))

    @cached_property
    def alike(self) -> NDArray[np.int64]:
        """Rows of `raw_pairs` that geometry refused, or was not asked about, and that did not end in one group."""
        if self.seen.matching.look_alikes == "drop":
            return np.empty(0, np.int64)
        alike = pc.equal(self.raw_pairs["tier"], Tier.LOOK_ALIKE.value).to_numpy()
        a, b = self._ends
        return np.flatnonzero(alike & self._whole & (self.labels[a] != self.labels[b]))

    def look_alikes(self) -> pa.Table:
        """Pairs of living entries that look alike and are no copies, in the same schema."""
        found = self._standing(self.raw_pairs.take(pa.array(self.alike)))
        return found.sort_by([("a", "ascending"), ("b", "ascending")])

    def whole_pairs(self) -> pa.Table:
        """All that was found of what is still there, look-alikes among it."""
        return self._standing(self.raw_pairs.take(pa.array(np.flatnonzero(self._whole))))

    def _standing(self, pairs: pa.Table) -> pa.Table:
        """Pairs in which a removed entry's place is taken by the next of the same bytes."""
        if not len(self.removed):
            return pairs
        ends = {name: self.stand_in[pairs[name].to_numpy().astype(np.int64)] for name in ("a", "b")}
        for name, values in ends.items():
            number = PAIRS.get_field_index(name)
            pairs = pairs.set_column(number, PAIRS.field(name), pa.array(values.astype(np.uint64)))
        return turned_round(pairs, ends["a"] > ends["b"])


def _all_of(folder: Folder, files: tuple[File, ...], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *(read_table(folder, file, schema) for file in files)])


def _check_numbers(folder: Folder, state: State, tables: Mapping[str, pa.Table]) -> None:
    """Raise RunError where a table names an entry or a shard that there is not."""
    count = state.entries
    limits = {
        "entries": (("first", count), ("shard", len(state.shards))),
        "pairs": (("a", count), ("b", count)),
        "removed": (("entry", count),),
    }
    path = Path(folder.path(STATE_NAME))
    if tables["entries"].num_rows != count:
        raise damaged(path, f"it states {count} entries, there are {tables['entries'].num_rows}")
    for kind, columns in limits.items():
        for name, limit in columns:
            column = tables[kind][name]
            least, most = pc.min_max(column).values()
            if column.null_count or (len(column) and not 0 <= least.as_py() <= most.as_py() < limit):
                raise damaged(path, f"the {kind} name what is not there, by their column {name}")
