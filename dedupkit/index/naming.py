"""From entry numbers to the names of samples, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.index.snapshot import Snapshot


def entries_of(snapshot: Snapshot, keys: list[str], source: str | None) -> NDArray[np.int64]:
    """Entries of some keys, of every source or of one.

    Raises
    ------
    UsageError
        A key has none.
    """
    entries = snapshot.entries
    chosen = pc.is_in(entries["key"], pa.array(keys, pa.string())).to_numpy() & snapshot.living
    if source is not None:
        mine = [number for number, shard in enumerate(snapshot.state.shards) if shard.source == source]
        chosen &= pc.is_in(entries["shard"], pa.array(mine, pa.int32())).to_numpy()
    found = np.flatnonzero(chosen)
    missing = set(keys) - set(entries["key"].take(pa.array(found)).to_pylist())
    if missing:
        raise UsageError(f"the index holds no sample with the key {min(missing)!r}; `groups` shows keys")
    return found


def names_of(snapshot: Snapshot, entries: NDArray[np.int64]) -> dict[str, pa.ChunkedArray]:
    """Key, source and shard of entries."""
    table = snapshot.entries.select(["key", "shard"]).take(pa.array(entries))
    shards = snapshot.state.shards
    number = table["shard"].combine_chunks()
    sources = pa.array([each.source for each in shards], pa.string())
    names = pa.array([each.name for each in shards], pa.string())
    return {"key": table["key"], "source": sources.take(number), "shard": names.take(number)}


def with_keys(snapshot: Snapshot, pairs: pa.Table) -> pa.Table:
    """Pairs by keys, their entry numbers beside them."""
    ends = {name: pairs[name].to_numpy().astype(np.int64) for name in ("a", "b")}
    named = {name: names_of(snapshot, entries)["key"] for name, entries in ends.items()}
    rest = {name: pairs[name] for name in pairs.column_names if name not in ends}
    return pa.table(named | {f"{name}_entry": entries for name, entries in ends.items()} | rest)
