"""What is blocked for what it shows, laid over the tables of fingerprints and of decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.sample import FINGERPRINTS, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

_BLOCKED = pa.array([Reason.BLOCKED.value, Reason.CONTAMINATED.value])


def with_blocked(table: pa.Table, blocked: Sequence[pa.Table]) -> pa.Table:
    """Fingerprints of a shard in which what was blocked has it as its fault, whatever other fault it had not yet."""
    for each in blocked:
        if each.num_rows:
            rows = each["row"].to_numpy()
            mask = np.zeros(table.num_rows, dtype=bool)
            mask[rows] = True
            blocked = pa.repeat(Reason.BLOCKED.value, len(rows))
            told = {
                "fault": each["reason"] if "reason" in each.column_names else blocked,
                "fault_detail": each["detail"].combine_chunks(),
            }
            for name, values in told.items():
                if name in table.column_names:
                    column = pc.replace_with_mask(table[name].combine_chunks(), pa.array(mask), _flat(values))
                    table = table.set_column(table.column_names.index(name), FINGERPRINTS.field(name), column)
    return table


def _flat(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def with_evidence(decisions: pa.Table, blocked: Sequence[pa.Table]) -> pa.Table:
    """Decisions about a shard in which what was blocked says by which evidence."""
    for each in blocked:
        if each.num_rows:
            mask = np.zeros(decisions.num_rows, dtype=bool)
            mask[each["row"].to_numpy()] = True
            place = np.cumsum(mask) - 1
            mask &= pc.is_in(decisions["reason"], value_set=_BLOCKED).to_numpy()  # a person may have said otherwise
            place = pa.array(place, mask=~mask)
            for name in ("tier", "evidence"):
                column = decisions[name].combine_chunks()
                given = each[name].combine_chunks().take(place)
                fresh = pc.if_else(pa.array(mask), given, column)
                number = decisions.column_names.index(name)
                decisions = decisions.set_column(number, decisions.schema.field(name), fresh)
    return decisions
