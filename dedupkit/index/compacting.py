"""Giving back the room of what was removed: entries are numbered anew, nothing is compared again, no image is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from dedupkit.index.files import File, write_table
from dedupkit.index.kept_views import write_views
from dedupkit.index.stretches import write_stretch
from dedupkit.matching.descriptor_tables import DescriptorTable
from dedupkit.matching.digest_tables import DigestTable
from dedupkit.matching.hash_tables import HashTable
from dedupkit.matching.seen import Stretch
from dedupkit.matching.views import VIEWS
from dedupkit.sample import PAIRS
from dedupkit.scratch import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.index.snapshot import Snapshot
    from dedupkit.index.state import AddedShard, State

_ROWS = 256  # views at a time


@dataclass(frozen=True, slots=True)
class _Numbers:
    """New numbers `of` each entry, and of the one `standing` for each first of its bytes; -1 where none stays."""

    of: NDArray[np.int64]
    standing: NDArray[np.int64]

    @classmethod
    def after(cls, snapshot: Snapshot) -> _Numbers:
        of = np.where(snapshot.living, np.cumsum(snapshot.living) - 1, -1)
        stand_in = snapshot.stand_in
        return cls(of, np.where(stand_in >= 0, of[stand_in], -1))


def compacted(snapshot: Snapshot) -> State:
    """Write an index anew without what was removed; memory is that of all that is searched."""
    state, numbers = snapshot.state, _Numbers.after(snapshot)
    count, generation = int(snapshot.living.sum()), state.generation + 1
    span = (0, count)
    names = {kind: f"{kind}-{generation:06d}.arrow" for kind in state.files}
    folder = snapshot.folder
    files: dict[str, tuple[File, ...]] = dict.fromkeys(state.files, ()) | {"means": state.files["means"]}
    if snapshot.seen.stretches:
        files["search"] = (write_stretch(folder, names["search"], _searched(snapshot, numbers, count)),)
    files["entries"] = (write_table(folder, names["entries"], _entries(snapshot, numbers), span),)
    files["pairs"] = (write_table(folder, names["pairs"], _pairs(snapshot, numbers), span),)
    if state.files["views"]:
        files["views"] = (write_views(folder, names["views"], _views(snapshot, numbers), span),)
    return state.next(entries=count, files=files, shards=_shards(snapshot))


def _searched(snapshot: Snapshot, numbers: _Numbers, count: int) -> Stretch:
    turned = snapshot.seen.matching.turned
    whole = Stretch.merged(snapshot.seen.stretches, turned=turned)
    return Stretch(
        0,
        count,
        _digests(whole.digests, numbers),
        _hashes(whole.hashes, numbers, turned=turned),
        _descriptors(whole.descriptors, numbers),
    )


def _digests(table: DigestTable, numbers: _Numbers) -> DigestTable:
    entries = numbers.standing[table.entries]
    kept = entries >= 0
    return DigestTable.of(table.digests[kept], entries[kept])


def _hashes(table: HashTable, numbers: _Numbers, *, turned: bool) -> HashTable:
    entries = numbers.standing[table.owners >> 1]
    kept = np.flatnonzero(entries >= 0)
    owners = 2 * entries[kept] + (table.owners[kept] & 1)
    order = np.argsort(owners)
    return HashTable.of(owners[order], table.words[kept[order]], turned=turned)


def _descriptors(table: DescriptorTable, numbers: _Numbers) -> DescriptorTable:
    home = table.homes()
    entries = numbers.standing[table.entries]
    kept = np.flatnonzero(entries >= 0)
    kept = kept[np.lexsort((entries[kept], home[kept]))]
    starts = np.concatenate([[0], np.cumsum(np.bincount(home[kept], minlength=len(table.starts) - 1))])
    entries = entries[kept]
    ascending = np.argsort(entries, kind="stable")
    return DescriptorTable(entries, table.rows[kept], table.sketches[:, kept], starts, ascending)


def _entries(snapshot: Snapshot, numbers: _Numbers) -> pa.Table:
    living = np.flatnonzero(snapshot.living)
    table = snapshot.entries.take(pa.array(living))
    number = table.schema.get_field_index("first")
    first = numbers.standing[snapshot.first[living]]
    return table.set_column(number, table.schema.field("first"), pa.array(first))


def _pairs(snapshot: Snapshot, numbers: _Numbers) -> pa.Table:
    pairs = snapshot.whole_pairs()
    for name in ("a", "b"):
        values = numbers.of[pairs[name].to_numpy().astype(np.int64)].astype(np.uint64)
        pairs = pairs.set_column(PAIRS.get_field_index(name), PAIRS.field(name), pa.array(values))
    return pairs


def _views(snapshot: Snapshot, numbers: _Numbers) -> Iterator[pa.Table]:
    maps = [pa.memory_map(snapshot.folder.path(file.name)) for file in snapshot.state.files["views"]]
    table = pa.concat_tables([VIEWS.empty_table(), *(pa.ipc.open_file(each).read_all() for each in maps)])
    entries = numbers.standing[table["position"].to_numpy().astype(np.int64)]
    kept = np.flatnonzero(entries >= 0)
    kept = kept[np.argsort(entries[kept])]
    for block in blocks(len(kept), _ROWS):
        rows = table.take(pa.array(kept[block]))
        yield rows.set_column(0, VIEWS.field("position"), pa.array(entries[kept[block]].astype(np.uint64)))


def _shards(snapshot: Snapshot) -> tuple[AddedShard, ...]:
    shards = snapshot.state.shards
    number = snapshot.entries["shard"].to_numpy()[snapshot.living]
    counts = np.bincount(number, minlength=len(shards))
    starts = np.cumsum(counts) - counts
    return tuple(
        replace(shard, start=int(start), count=int(count))
        for shard, start, count in zip(shards, starts, counts, strict=True)
    )
