"""The deciding stage: all fingerprints and pairs in, one decision a sample out; set-level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.grouping import keep
from dedupkit.grouping.bundles import verdicts_of
from dedupkit.grouping.by_hand import Orders
from dedupkit.grouping.keys import UniqueKeys
from dedupkit.grouping.verdicts import VERDICTS
from dedupkit.sample import DECISIONS, FINGERPRINTS, ROW_BITS, Note, Reason
from dedupkit.scratch import scratch_files
from dedupkit.scratch_tables import rows_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dedupkit.grouping.bundles import Pairs
    from dedupkit.grouping.by_hand import ByHand
    from dedupkit.recipe import Keep
    from dedupkit.scratch_tables import ScratchTable

STAGE = "decisions/2"
_THROUGH = ", which was dropped by hand"
_ACTION = {reason.value: reason.action.value for reason in Reason}


def decide(
    read: Callable[[int, Sequence[str]], pa.Table],
    shards: int,
    pairs: pa.Table | Pairs,
    policy: Keep,
    *,
    scratch: Path | None = None,
    memory: int | None = None,
    by_hand: ByHand | None = None,
) -> Iterator[pa.Table]:
    """Decide about every sample.

    Parameters
    ----------
    read : callable
        Gives the named columns of the fingerprints of the shard of a number.
    shards : int
        How many there are.
    pairs : pyarrow.Table or callable
        What matching found; a callable gives it some at a time.
    policy : Keep
        Which members of a group stay.
    scratch : Path, optional
        Folder for files that are removed at the end: 16 bytes a pair, 100 a sample that has one.  In memory if left
        out.
    memory : int, optional
        Bytes that may be taken, besides 20 a sample that has a pair and the key of every one that stands for others.
    by_hand : ByHand, optional
        What a person said, which wins over all else.

    Yields
    ------
    pyarrow.Table
        The decisions of one shard after the other, in the schema of `dedupkit.sample.DECISIONS`.
    """
    given: Pairs = pairs if callable(pairs) else lambda: [pairs]
    most = None if policy.max_copies == "all" else policy.max_copies

    def rank(positions: NDArray[np.uint64]) -> NDArray[np.int64]:
        return keep.ranks(columns_of(read, shards, keep.COLUMNS, positions), policy)

    with scratch_files(scratch) as files:
        names = UniqueKeys.of(read, shards, memory)
        verdicts, undone = verdicts_of(given, rank, most, files, memory, by_hand)
        kept = _KeptKeys.of(read, shards, verdicts, names)
        for number in range(shards):
            table = read(number, ("position", "key", "shard", "fault", "fault_detail", "notes"))
            bounds = number << ROW_BITS, (number + 1) << ROW_BITS
            orders = None
            if by_hand is not None:
                orders = Orders.of(by_hand, undone, table["position"].to_numpy(), table["fault"])
            yield _decisions(table, names, number, rows_between(verdicts, *bounds, VERDICTS), kept, orders)


@dataclass(frozen=True, slots=True)
class _KeptKeys:
    """Keys of the samples that stand for others."""

    positions: NDArray[np.uint64]
    keys: pa.ChunkedArray

    @classmethod
    def of(
        cls,
        read: Callable[[int, Sequence[str]], pa.Table],
        shards: int,
        verdicts: Sequence[ScratchTable],
        names: UniqueKeys,
    ) -> _KeptKeys:
        ends = (each for one in verdicts for name in ("kept", "through") for each in one.column(name))
        standing = [np.unique(each.drop_null().to_numpy()).astype(np.uint64) for each in ends]
        positions = np.unique(np.concatenate([np.empty(0, np.uint64), *standing]))
        keys = [pa.array([], pa.string())]
        for number in range(shards):
            bounds = np.array([number, number + 1], dtype=np.uint64) << np.uint64(ROW_BITS)
            wanted = positions[slice(*np.searchsorted(positions, bounds))] & np.uint64((1 << ROW_BITS) - 1)
            if len(wanted):
                keys.append(names.replaced(number, read(number, ("key",))["key"]).take(pa.array(wanted)))
        return cls(positions, pa.chunked_array(keys, pa.string()))

    def take(self, positions: pa.ChunkedArray) -> pa.Array:
        """The keys of some of them; null for none."""
        place = np.searchsorted(self.positions, positions.fill_null(0).to_numpy())
        there = positions.is_valid().to_numpy()
        return self.keys.take(pa.array(place, mask=~there)).combine_chunks()


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


def _decisions(
    table: pa.Table, names: UniqueKeys, number: int, verdicts: pa.Table, kept: _KeptKeys, orders: Orders | None
) -> pa.Table:
    """Decisions of one shard: unique or quarantined, but for the samples there is a verdict or an order about."""
    positions, judged_positions = table["position"].to_numpy(), verdicts["position"].to_numpy()
    verdict = np.searchsorted(judged_positions, positions)
    found = np.append(judged_positions, np.uint64(2**64 - 1))[verdict] == positions
    judged = pa.array(verdict, mask=~found)
    said = {name: verdicts[name].combine_chunks().take(judged) for name in verdicts.column_names}
    reasons = pc.coalesce(said["reason"], table["fault"].combine_chunks(), pa.scalar(Reason.UNIQUE.value))
    details = table["fault_detail"].combine_chunks()
    kept_keys = kept.take(verdicts["kept"]).take(judged)
    if orders is not None:
        through = pc.binary_join_element_wise("as a copy of ", kept.take(verdicts["through"]), _THROUGH, "").take(
            judged
        )
        details = orders.details(table["fault"].combine_chunks(), pc.coalesce(details, through))
        reasons = orders.reasons(reasons)
        gone, nothing = pa.array(orders.goes), pa.scalar(None)
        said |= {name: pc.if_else(gone, nothing, said[name]) for name in ("tier", "evidence")}
        kept_keys = pc.if_else(gone, nothing, kept_keys)
    actions = pa.array([_ACTION[reason] for reason in reasons.to_pylist()], pa.string())
    columns: dict[str, Any] = {
        "position": table["position"],
        "key": names.replaced(number, table["key"]),
        "shard": table["shard"],
        "action": actions,
        "reason": reasons,
        "group": said["group"],
        "group_size": pc.coalesce(said["group_size"], pa.scalar(1, pa.uint32())),
        "kept_key": pc.if_else(pc.equal(actions, "drop"), kept_keys, pa.scalar(None, pa.string())),
        "copy": _of_kept(actions, said["copy"], 0),
        "copies_kept": _of_kept(actions, said["copies_kept"], 1),
        "tier": said["tier"],
        "evidence": said["evidence"],
        "detail": details,
        "notes": _with_note(table["notes"], names.renamed_rows(number)),
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
