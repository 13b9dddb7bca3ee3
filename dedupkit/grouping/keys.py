"""Keys that are unique in the set: a clash gets the shard's name in front, and no sample is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.temporary import TemporaryFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Read = Callable[[int, Sequence[str]], pa.Table]
"""Gives the named columns of the fingerprints of the shard of a number."""
_HELD = 1 << 26  # bytes of keys that are counted in memory rather than by DuckDB
_LEAST_MEMORY = 1 << 28  # that DuckDB works in


@dataclass(slots=True)
class UniqueKeys:
    """New keys for the samples whose key an earlier sample has.

    A new key is ``shard/key``, or ``shard/key#2`` and so on where that is taken too.  The first sample of a key keeps
    it.  What is renamed takes some 100 bytes a sample, all other keys none.
    """

    _renamed: dict[int, tuple[NDArray[np.int64], pa.Array]] = field(default_factory=dict)

    @classmethod
    def of(cls, read: Read, shards: int, memory: int | None = None) -> UniqueKeys:
        """The new keys of a set.

        Parameters
        ----------
        read : callable
            Gives columns of a shard.
        shards : int
            How many there are.
        memory : int, optional
            Bytes that counting keys may take.
        """
        found = cls()
        clashing = clashing_keys(lambda: (read(number, ("key",))["key"] for number in range(shards)), memory)
        if not len(clashing):
            return found
        wanted: dict[str, list[tuple[int, int]]] = {}
        for place, name in _later_ones(read, shards, clashing).items():
            wanted.setdefault(name, []).append(place)
        found._add(_free_names(read, shards, wanted))
        return found

    def _add(self, names: dict[tuple[int, int], str]) -> None:
        by_shard: dict[int, list[tuple[int, str]]] = {}
        for (shard, row), name in names.items():
            by_shard.setdefault(shard, []).append((row, name))
        for shard, rows in by_shard.items():
            before, texts = self._renamed.get(shard, (np.empty(0, np.int64), pa.array([], pa.string())))
            number = np.concatenate([before, np.array([row for row, _ in rows], dtype=np.int64)])
            texts = pa.concat_arrays([texts, pa.array([name for _, name in rows], pa.string())])
            order = np.argsort(number)
            self._renamed[shard] = number[order], texts.take(pa.array(order))

    def renamed_rows(self, shard: int) -> list[int]:
        """Rows of a shard that have a new key."""
        return self._renamed[shard][0].tolist() if shard in self._renamed else []

    def replaced(self, shard: int, keys: pa.ChunkedArray) -> pa.Array:
        """The keys of a shard with the new ones in their places."""
        flat = keys.combine_chunks()
        if shard not in self._renamed:
            return flat
        rows, names = self._renamed[shard]
        mask = np.zeros(len(flat), dtype=bool)
        mask[rows] = True
        return pc.replace_with_mask(flat, pa.array(mask), names)


def clashing_keys(keys: Callable[[], Iterator[pa.ChunkedArray]], memory: int | None = None) -> pa.Array:
    """The keys that stand more than once, in no order; `keys` gives all, some at a time."""
    held: list[pa.ChunkedArray] = []
    for each in keys():
        held.append(each)
        if sum(column.nbytes for column in held) > _HELD:
            return _clashing_by_duckdb(keys, memory)
    counts = pc.value_counts(pa.chunked_array([chunk for column in held for chunk in column.chunks], pa.string()))
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


def _clashing_by_duckdb(keys: Callable[[], Iterator[pa.ChunkedArray]], memory: int | None) -> pa.Array:
    """The same with what does not fit in memory in files of the system's temporary folder."""

    import duckdb

    batches = (batch for column in keys() for batch in pa.table({"key": column}).to_batches())
    reader = pa.RecordBatchReader.from_batches(pa.schema({"key": pa.string()}), batches)
    limit = max(memory or 0, _LEAST_MEMORY)
    with TemporaryFolder() as folder, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{limit} B'")
        connection.execute(f"SET temp_directory = '{folder}'")
        connection.execute("SET preserve_insertion_order = false")
        connection.register("keys", reader)
        found = connection.sql("SELECT key FROM keys GROUP BY key HAVING count(*) > 1").to_arrow_table()
        return found.column("key").combine_chunks().cast(pa.string())


def _later_ones(read: Read, shards: int, clashing: pa.Array) -> dict[tuple[int, int], str]:
    """``shard/key`` of each sample, by number of the shard and row, whose key an earlier one has; in their order."""
    seen = np.zeros(len(clashing), dtype=bool)
    found: dict[tuple[int, int], str] = {}
    for number in range(shards):
        table = read(number, ("key", "shard"))
        place = pc.index_in(table["key"], value_set=clashing).combine_chunks()
        rows = np.flatnonzero(place.is_valid().to_numpy(zero_copy_only=False))
        keys = np.asarray(place.drop_null().to_numpy())
        first = np.zeros(len(rows), dtype=bool)
        first[np.unique(keys, return_index=True)[1]] = True
        later = rows[seen[keys] | ~first]
        seen[keys] = True
        key, shard = (table[name].take(pa.array(later)) for name in ("key", "shard"))
        names = pc.binary_join_element_wise(shard, key, "/").to_pylist()
        found |= {(number, row): name for row, name in zip(later.tolist(), names, strict=True)}
    return found


def _free_names(read: Read, shards: int, wanted: dict[str, list[tuple[int, int]]]) -> dict[tuple[int, int], str]:
    """A name for each place: the one it wants, with the first numbers behind it that make it unique."""
    free: dict[str, list[str]] = {name: [] for name in wanted}
    number = dict.fromkeys(wanted, 1)
    given: set[str] = set()
    while lacking := {name: count for name, places in wanted.items() if (count := len(places) - len(free[name]))}:
        tried = {
            name: [_numbered(name, number[name] + each) for each in range(count)] for name, count in lacking.items()
        }
        taken = _taken(read, shards, {each for names in tried.values() for each in names})
        for name, names in tried.items():
            fresh = [each for each in names if each not in taken and each not in given]
            free[name] += fresh
            given.update(fresh)
            number[name] += len(names)
    return {place: each for name, places in wanted.items() for place, each in zip(places, free[name], strict=True)}


def _taken(read: Read, shards: int, names: set[str]) -> set[str]:
    """Which names are keys of the source."""
    wanted, found = pa.array(sorted(names), pa.string()), set[str]()
    for number in range(shards):
        keys = read(number, ("key",))["key"]
        found.update(keys.filter(pc.is_in(keys, value_set=wanted)).to_pylist())
    return found


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}#{number}"
