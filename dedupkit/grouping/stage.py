"""The deciding stage: all fingerprints and pairs in, one decision a sample out; set-level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.grouping import keep
from dedupkit.grouping.keys import replaced, unique_keys
from dedupkit.grouping.verdicts import grouped_positions, judge
from dedupkit.sample import DECISIONS, FINGERPRINTS, ROW_BITS, Note, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from dedupkit.grouping.verdicts import Verdicts
    from dedupkit.recipe import Keep

STAGE = "decisions/2"
_ACTION = {reason.value: reason.action.value for reason in Reason}


def decide(
    read: Callable[[int, Sequence[str]], pa.Table], shards: int, pairs: pa.Table, policy: Keep
) -> Iterator[pa.Table]:
    """Decide about every sample.

    Parameters
    ----------
    read : callable
        Gives the named columns of the fingerprints of the shard of a number.
    shards : int
        How many there are.
    pairs : pyarrow.Table
        What matching found.
    policy : Keep
        Which members of a group stay.

    Yields
    ------
    pyarrow.Table
        The decisions of one shard after the other, in the schema of `dedupkit.sample.DECISIONS`.

    Notes
    -----
    Holds all keys, and the rows of samples that have a pair: about 200 bytes each.
    """
    names = columns_of(read, shards, ("key", "shard"))
    renamed = unique_keys(names["key"], names["shard"])
    keys = replaced(names["key"], renamed)
    starts = np.cumsum([0] + [read(number, ("position",)).num_rows for number in range(shards)])
    positions = grouped_positions(pairs["a"], pairs["b"])
    members = columns_of(read, shards, keep.COLUMNS, positions)
    most = None if policy.max_copies == "all" else policy.max_copies
    verdicts = judge(pairs, positions, keep.ranks(members, policy), most)
    kept_keys = keys.take(pa.array(_row_numbers(verdicts.kept, starts)))
    renamed_rows = np.array(sorted(renamed), dtype=np.int64)
    for number in range(shards):
        table = read(number, ("position", "shard", "fault", "fault_detail", "notes"))
        own_keys = keys.slice(starts[number], table.num_rows)
        first, last = np.searchsorted(renamed_rows, starts[number : number + 2])
        fresh = (renamed_rows[first:last] - starts[number]).tolist()
        yield _decisions(table, own_keys, fresh, verdicts, kept_keys)


def columns_of(
    read: Callable[[int, Sequence[str]], pa.Table],
    shards: int,
    columns: Sequence[str],
    positions: NDArray[np.uint64] | None = None,
) -> pa.Table:
    """Columns of all shards; with `positions`, which ascend, of those samples only."""
    tables = []
    for number in range(shards):
        table = read(number, columns)
        if positions is not None:
            here = np.searchsorted(positions, np.array([number, number + 1], dtype=np.uint64) << np.uint64(ROW_BITS))
            wanted = positions[slice(*here)]
            table = table.filter(pa.array(np.isin(table["position"].to_numpy(), wanted, assume_unique=True)))
        tables.append(table)
    return pa.concat_tables(tables) if tables else FINGERPRINTS.empty_table().select(columns)


def _row_numbers(positions: NDArray[np.uint64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    shard = (positions >> np.uint64(ROW_BITS)).astype(np.int64)
    return starts[shard] + (positions & np.uint64((1 << ROW_BITS) - 1)).astype(np.int64)


def _decisions(
    table: pa.Table, keys: pa.Array, renamed: list[int], verdicts: Verdicts, kept_keys: pa.Array
) -> pa.Table:
    """Decisions of one shard: unique or quarantined, but for the samples there is a verdict about."""
    positions = table["position"].to_numpy()
    verdict = np.searchsorted(verdicts.positions, positions)
    found = np.append(verdicts.positions, np.uint64(2**64 - 1))[verdict] == positions
    judged = pa.array(verdict, mask=~found)
    reasons = pc.coalesce(
        pa.array(verdicts.reason.astype(object), pa.string()).take(judged), table["fault"].combine_chunks(),
        pa.scalar(Reason.UNIQUE.value),
    )  # fmt: skip
    actions = pa.array([_ACTION[reason] for reason in reasons.to_pylist()], pa.string())
    columns: dict[str, Any] = {
        "position": table["position"],
        "key": keys,
        "shard": table["shard"],
        "action": actions,
        "reason": reasons,
        "group": pa.array(verdicts.group, pa.uint64()).take(judged),
        "group_size": pc.coalesce(pa.array(verdicts.group_size).take(judged), pa.scalar(1, pa.uint32())),
        "kept_key": pc.if_else(pc.equal(actions, "drop"), kept_keys.take(judged), pa.scalar(None, pa.string())),
        "copy": _of_kept(actions, pa.array(verdicts.copy).take(judged), 0),
        "copies_kept": _of_kept(actions, pa.array(verdicts.copies_kept).take(judged), 1),
        "tier": verdicts.tier.take(judged),
        "evidence": verdicts.evidence.take(judged),
        "detail": table["fault_detail"],
        "notes": _with_note(table["notes"], renamed),
    }
    return pa.table([columns[field.name] for field in DECISIONS], schema=DECISIONS)


def _of_kept(actions: pa.Array, values: pa.Array, alone: int) -> pa.Array:
    """A number of kept samples; those outside any group have one and the same."""
    kept = pc.coalesce(values, pa.scalar(alone, pa.uint32()))
    return pc.if_else(pc.equal(actions, "keep"), kept, pa.scalar(None, pa.uint32()))


def _with_note(notes: pa.ChunkedArray, renamed: list[int]) -> pa.Array:
    if not renamed:
        return notes.combine_chunks()
    values = notes.to_pylist()
    for row in renamed:
        values[row] = [*(values[row] or []), Note.KEY_RENAMED.value]
    return pa.array(values, DECISIONS.field("notes").type)
