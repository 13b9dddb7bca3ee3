"""Marks made by hand, at the positions of their samples: which stay, which go, which groups are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.sample import ROW_BITS, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLACED = pa.schema(
    {
        "position": pa.uint64(),  # ascending
        "keep": pa.bool_(),
        "drop": pa.bool_(),
        "keep_group": pa.bool_(),
        "note": pa.string(),
    }
)
UNUSABLE = frozenset(
    {
        Reason.MISSING_IMAGE,
        Reason.EMPTY_IMAGE,
        Reason.NOT_AN_IMAGE,
        Reason.TRUNCATED_IMAGE,
        Reason.CORRUPT_IMAGE,
        Reason.TOO_MANY_PIXELS,
        Reason.TOO_MANY_BYTES,
        Reason.UNREADABLE_FILE,
        Reason.DAMAGED_SHARD,
    }
)
"""Faults with which no sample stays, whatever a person says: a reader of the set would stumble over it."""
_NOBODY = np.empty(0, np.uint64)


@dataclass(frozen=True, slots=True)
class ByHand:
    """Marks by position.

    Attributes
    ----------
    placed : pyarrow.Table
        In the schema `PLACED`.
    refused : ndarray of uint64
        Positions of samples that cannot stay, besides those with a fault of `UNUSABLE`; ascending.
    """

    placed: pa.Table
    refused: NDArray[np.uint64]

    def positions(self, mark: str) -> NDArray[np.uint64]:
        """Where one of the three marks stands, ascending."""
        return np.asarray(self.placed.filter(self.placed[mark])["position"].to_numpy())

    def among(self, mark: str, positions: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of some positions bear a mark."""
        return np.isin(positions, self.positions(mark))


@dataclass(frozen=True, slots=True)
class Undone:
    """The members of groups that a person said are none, 12 bytes each.

    Attributes
    ----------
    positions : ndarray of uint64
        Ascending.
    note : ndarray of int32
        Number of each one's note in `notes`.
    notes : tuple of str or None
        What was said of the groups.
    """

    positions: NDArray[np.uint64]
    note: NDArray[np.int32]
    notes: tuple[str | None, ...]

    @classmethod
    def of(cls, by_hand: ByHand | None, positions: NDArray[np.uint64], label: NDArray[np.int64]) -> Undone:
        """Of all samples that have a pair, the labels of their groups, and the marks."""
        if by_hand is None:
            return cls(_NOBODY, np.empty(0, np.int32), ())
        marked = by_hand.placed.filter(by_hand.placed["keep_group"])
        at = marked["position"].to_numpy()
        found = np.isin(at, positions)
        groups = label[np.searchsorted(positions, at[found])]
        said: dict[int, set[str]] = {int(group): set() for group in groups}
        for group, note in zip(groups.tolist(), marked["note"].filter(pa.array(found)).to_pylist(), strict=True):
            said[group].update([note] if note else [])
        labels = np.array(sorted(said), np.int64)
        chosen = np.isin(label, labels)
        notes = tuple("; ".join(sorted(said[int(group)])) or None for group in labels)
        return cls(positions[chosen], np.searchsorted(labels, label[chosen]).astype(np.int32), notes)


@dataclass(frozen=True, slots=True)
class Orders:
    """What is said by hand of the samples of one shard.

    Attributes
    ----------
    stays, goes : ndarray of bool, shape (n,)
        Which samples.
    notes : pyarrow.StringArray
        What was said of each; null where nothing was.
    """

    stays: NDArray[np.bool_]
    goes: NDArray[np.bool_]
    notes: pa.StringArray

    @classmethod
    def of(cls, by_hand: ByHand, undone: Undone, positions: NDArray[np.uint64], faults: pa.ChunkedArray) -> Orders:
        """Of the samples at some positions, with their faults; what cannot stay is not told to."""
        unusable = pc.is_in(faults, value_set=pa.array([str(each) for each in UNUSABLE]))
        able = ~(unusable.to_numpy() | np.isin(positions, by_hand.refused))
        goes = by_hand.among("drop", positions)
        own, marked = _looked_up(by_hand.placed["position"].to_numpy(), positions)
        member, of_group = _looked_up(undone.positions, positions)
        number = pa.array(np.append(undone.note, 0)[member], mask=~of_group)
        group_notes = pa.array(undone.notes, pa.string()).take(number)
        said = by_hand.placed["note"].combine_chunks().take(pa.array(own, mask=~marked))
        notes = pc.if_else(pa.array(of_group & ~goes), pc.coalesce(said, group_notes), said)
        return cls((by_hand.among("keep", positions) | of_group) & able & ~goes, goes, notes)

    def reasons(self, reasons: pa.Array) -> pa.Array:
        """Reasons with those of a person in their place."""
        kept = pc.if_else(pa.array(self.stays), Reason.KEPT_BY_HAND.value, reasons)
        return pc.if_else(pa.array(self.goes), Reason.DROPPED_BY_HAND.value, kept)

    def details(self, faults: pa.Array, details: pa.Array) -> pa.Array:
        """Details with a person's notes in their place; where there is no note, what a kept sample would have been."""
        instead = pc.binary_join_element_wise("instead of ", pc.replace_substring(faults, "_", " "), "")
        kept = pc.coalesce(self.notes, instead)
        told = pc.if_else(pa.array(self.stays), kept, details)
        return pc.if_else(pa.array(self.goes), self.notes, told)


def counted(by_hand: ByHand, decisions: pa.Table) -> dict[str, int]:
    """What became of the marks in one shard, of which these are the decisions; receipts keep it.

    ``placed`` are marks, ``kept`` and ``dropped`` samples, ``refused`` marks of samples that could not stay, ``alone``
    marks of groups where there is none.
    """
    positions = decisions["position"].to_numpy()
    reasons = decisions["reason"]
    kept = pc.equal(reasons, Reason.KEPT_BY_HAND.value).to_numpy()
    dropped = pc.equal(reasons, Reason.DROPPED_BY_HAND.value).to_numpy()
    keeps = by_hand.among("keep", positions)
    return {
        "placed": int(np.isin(by_hand.placed["position"].to_numpy(), positions).sum()),
        "kept": int(kept.sum()),
        "dropped": int(dropped.sum()),
        "refused": int((keeps & ~kept).sum()),
        "alone": int((by_hand.among("keep_group", positions) & ~keeps & ~kept & ~dropped).sum()),
    }


def rows_of(table: pa.Table, shard: int) -> pa.Table:
    """The rows of a table that ascends by ``position`` that belong to one shard."""
    bounds = np.array([shard, shard + 1], np.uint64) << np.uint64(ROW_BITS)
    low, high = np.searchsorted(table["position"].to_numpy(), bounds).tolist()
    return table.slice(low, high - low)


def _looked_up(known: NDArray[np.uint64], positions: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Place of each position among those known, and whether it is one of them."""
    place = np.searchsorted(known, positions)
    return place, np.append(known, np.uint64(2**64 - 1))[place] == positions
