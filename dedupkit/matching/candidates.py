"""Candidate pairs in arrays: what proof has to know of them, over the pictures that stand in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.matching.near_hashes import TRIMMED
from dedupkit.matching.turns import ORIENTATIONS
from dedupkit.sample import PAIRS
from dedupkit.scratch import Distinct, Scratch, blocks, release

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from dedupkit.recipe import Matching

_FAR = 0xFFFF  # bits of a pair whose hashes are not near
_BLOCK = 1 << 18
_HASHES = [("bits", np.uint16), ("turn", np.uint8), ("trimmed", np.uint8)]
_PAIR = np.dtype([("a", np.int64), ("b", np.int64), ("cosine", np.float32), *_HASHES])


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs that may be copies, 24 bytes each.

    Attributes
    ----------
    positions : ndarray of uint64, shape (n,)
        The pictures that stand in one, ascending.
    pairs : ndarray, shape (pairs,)
        Numbers ``a`` < ``b`` of the pictures; ``cosine`` of their descriptors, NaN where one has none; ``bits``,
        ``turn`` and ``trimmed`` of near hashes, as in `dedupkit.sample.PAIRS`.  May be a memory map.
    """

    positions: NDArray[np.uint64]
    pairs: NDArray[Any]

    @classmethod
    def of(cls, tables: pa.Table | Iterable[pa.Table], scratch: Scratch | None = None) -> Candidates:
        """Candidates from tables in the schema of pairs, without those of equal bytes."""
        scratch = scratch or Scratch()
        stored, seen = scratch.growing(_PAIR), Distinct()
        ends = scratch.growing(np.uint64, (2,))
        for table in [tables] if isinstance(tables, pa.Table) else tables:
            stacked = np.stack([table[name].to_numpy().astype(np.uint64) for name in ("a", "b")], axis=1)
            seen.add(stacked.ravel())
            ends.append(stacked)
            stored.append(_stored(table))
        positions, pairs, both = seen.values(), stored.whole(), ends.whole()
        for block in blocks(len(pairs), _BLOCK):
            for name, column in zip(("a", "b"), both[block].T, strict=True):
                pairs[name][block] = np.searchsorted(positions, column)
            release(pairs)
            release(both)
        scratch.remove(both)
        return cls(positions, pairs)

    def blocks(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """The pairs a few at a time, each with the number of its first."""
        for block in blocks(len(self.pairs), _BLOCK):
            yield block.start, np.asarray(self.pairs[block])
            release(self.pairs)

    def rows(self, which: NDArray[np.int64]) -> NDArray[Any]:
        """Some of the pairs."""
        found = np.asarray(self.pairs[which])
        release(self.pairs)
        return found

    def sure(self, matching: Matching) -> NDArray[np.int64]:
        """Numbers of the pairs that need no proof: near hashes whose descriptors, if there are any, agree."""
        found = [np.empty(0, np.int64)]
        for start, pairs in self.blocks():
            found.append(start + np.flatnonzero((pairs["bits"] != _FAR) & ~(pairs["cosine"] < matching.sure_cosine)))
        return np.concatenate(found)


def nearest_first(pairs: NDArray[Any]) -> NDArray[np.int64]:
    """The order of pairs from the nearest to the farthest; those without a cosine come last."""
    return np.lexsort((pairs["b"], pairs["a"], -np.nan_to_num(pairs["cosine"], nan=-1.0)))


def hash_columns(pairs: NDArray[Any]) -> dict[str, pa.Array]:
    """What pairs say of their hashes, as columns of `dedupkit.sample.PAIRS`; null where those are not near."""
    far = pairs["bits"] == _FAR
    named = {"orientation": (ORIENTATIONS, pairs["turn"]), "trimmed": (TRIMMED, pairs["trimmed"])}
    columns = {"hamming_bits": pa.array(pairs["bits"], mask=far)}
    for name, (words, numbers) in named.items():
        columns[name] = pa.array(words, pa.string()).take(pa.array(numbers, mask=far))
    return columns


def without_hashes(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[Any]:
    """Pairs of which nothing else is known."""
    pairs = np.zeros(len(a), _PAIR)
    pairs["a"], pairs["b"], pairs["cosine"], pairs["bits"] = a, b, np.nan, _FAR
    return pairs


def _stored(table: pa.Table) -> NDArray[Any]:
    pairs = np.zeros(table.num_rows, _PAIR)
    pairs["cosine"] = table["cosine"].fill_null(float("nan")).to_numpy()
    pairs["bits"] = table["hamming_bits"].fill_null(_FAR).to_numpy()
    for name, column, words in (("turn", "orientation", ORIENTATIONS), ("trimmed", "trimmed", TRIMMED)):
        number = pc.index_in(table[column], value_set=pa.array(words, PAIRS.field(column).type))
        pairs[name] = number.fill_null(0).to_numpy()
    return pairs
