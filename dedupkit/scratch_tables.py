"""Tables sorted by position that are made at once and read shard by shard, in scratch files in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dedupkit.scratch import Scratch

_BATCH_ROWS = 1 << 14


@dataclass(frozen=True, slots=True)
class ScratchTable:
    """A table with a column ``position``, which ascends; in a file, or in memory."""

    schema: pa.Schema
    batches: tuple[pa.RecordBatch, ...]
    path: Path | None
    firsts: NDArray[np.uint64]

    @classmethod
    def of(cls, table: pa.Table, scratch: Scratch) -> ScratchTable:
        """Put a table away."""
        batches = table.to_batches(max_chunksize=_BATCH_ROWS)
        firsts = np.array([batch["position"][0].as_py() for batch in batches], dtype=np.uint64)
        path = scratch.file()
        if path is None:
            return cls(table.schema, tuple(batches), None, firsts)
        with pa.ipc.new_file(str(path), table.schema) as out:
            for batch in batches:
                out.write_batch(batch)
        return cls(table.schema, (), path, firsts)

    def between(self, low: int, high: int) -> pa.Table:
        """The rows of positions from `low` (included) to `high` (excluded)."""
        first = max(0, int(np.searchsorted(self.firsts, np.uint64(low), side="right")) - 1)
        last = int(np.searchsorted(self.firsts, np.uint64(high)))
        table = pa.Table.from_batches(self._read(first, last), schema=self.schema)
        position = table["position"].to_numpy()
        return table.filter(pa.array((position >= np.uint64(low)) & (position < np.uint64(high))))

    def column(self, name: str) -> Iterator[pa.Array]:
        """A column, some rows at a time."""
        for number in range(len(self.firsts)):
            for batch in self._read(number, number + 1):
                yield batch[name]

    def _read(self, first: int, last: int) -> list[pa.RecordBatch]:
        if self.path is None:
            return list(self.batches[first:last])
        with pa.OSFile(str(self.path)) as file:
            reader = pa.ipc.open_file(file)
            return [reader.get_batch(number) for number in range(first, last)]


def rows_between(tables: list[ScratchTable], low: int, high: int, schema: pa.Schema) -> pa.Table:
    """The rows of several tables between two positions, sorted."""
    found = [schema.empty_table(), *(each.between(low, high) for each in tables)]
    return pa.concat_tables(found).sort_by("position")
