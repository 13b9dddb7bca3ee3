"""How many bytes the files of a whole set take, by the files of a sample of it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from dedupkit.parts import read_table, write_table
from dedupkit.planning.estimate import NOTHING, Estimate, ratio
from dedupkit.sinks import make_sink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.storage import Stage


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes of files with a fixed part each.

    Attributes
    ----------
    a_file : float
        Whatever it holds.
    a_row : Estimate
        For each row.
    """

    a_file: float
    a_row: Estimate

    def of(self, files: int, rows: Estimate) -> Estimate:
        """Bytes of so many files with so many rows altogether."""
        return Estimate.exact(self.a_file * files) + self.a_row * rows


def weigh_tables(stage: Stage, names: Sequence[str]) -> Weight:
    """What tables between stages take.

    All rows as one table say what a row more takes.  The single parts, in which less repeats, bound that from above.
    """
    tables = [table for name in names if (table := read_table(stage, name)).num_rows]
    if not tables:
        return Weight(0.0, NOTHING)
    whole = pa.concat_tables([table.replace_schema_metadata(tables[0].schema.metadata) for table in tables])
    one = _size(whole.slice(0, 1))
    rows = max(1, whole.num_rows - 1)
    a_row = (_size(whole) - one) / rows
    single = [(_size(table) - one) / (table.num_rows - 1) for table in tables if table.num_rows > 1]
    high = max(a_row, sum(single) / len(single)) if single else a_row
    return Weight(max(0.0, one - a_row), Estimate(a_row, a_row, high))


def weigh_table(stage: Stage, name: str, a_row_at_least: float) -> Weight:
    """What one table of the whole set takes, such as that of pairs; of few rows no more than a bound is known."""
    weight = weigh_tables(stage, [name])
    if read_table(stage, name, ("a",)).num_rows < _FEW_ROWS:
        return Weight(weight.a_file, Estimate.exact(a_row_at_least))
    return weight


_FEW_ROWS = 100


def weigh_output(stage: Stage, names: Sequence[str], rows: Sequence[int], format: str, fields: pa.Schema) -> Weight:
    """What the files of a sink take, a kept sample and a file."""
    empty = io.BytesIO()
    make_sink(format).write_part(empty, (), fields)
    a_file = len(empty.getvalue())
    return Weight(a_file, ratio([max(0, stage.parts.size(name) - a_file) for name in names], rows))


def weigh_receipts(stages: Sequence[tuple[Stage, Sequence[str]]]) -> float:
    """Bytes of the receipts of a shard in all stages."""
    means = [
        sum(stage.receipts.size(f"{name}.json") for name in names) / len(names) for stage, names in stages if names
    ]
    return sum(means)


def _size(table: pa.Table) -> int:
    written = io.BytesIO()
    write_table(table, written)
    return len(written.getvalue())
