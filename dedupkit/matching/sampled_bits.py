"""Hashes cut into slices by a few of their bits, chosen by chance, so that those that agree in them meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dedupkit.scratch import Mapped, blocks, release

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LONGER_BITS = 8  # by which the key of more hashes is lengthened
_LENGTHENED = 3  # times
_READ = 1 << 17  # hashes at a time


@dataclass(frozen=True, slots=True)
class Entries:
    """Hashes to be looked up: row by row, as it is (even numbers) and, if asked for, transposed (odd ones)."""

    words: NDArray[Any]
    transposed: NDArray[Any] | None

    def __len__(self) -> int:
        return len(self.words) * (2 if self.turned else 1)

    @property
    def turned(self) -> bool:
        return self.transposed is not None

    @property
    def bits(self) -> int:
        return self.words.dtype.itemsize * 8 * 4

    def all(self) -> Slice:
        """All entries."""
        words = np.concatenate([self._interleaved(rows) for rows in blocks(len(self.words), _READ)] or [self.words])
        return Slice(np.arange(len(words)), words, self.turned)

    def of_slice(self, task: Task) -> Slice:
        """The entries whose key in a table falls into a slice, in their order."""
        numbers, words = [np.empty(0, np.int64)], [self.words[:0]]
        for rows in blocks(len(self.words), _READ):
            block = self._interleaved(rows)
            keys = task.table.keys(block, 0) >> np.uint64(32)
            inside = np.flatnonzero(keys * np.uint64(task.slices) >> np.uint64(32) == task.slice)
            numbers.append(rows.start * (2 if self.turned else 1) + inside)
            words.append(block[inside])
        release(self.words)
        if self.transposed is not None:
            release(self.transposed)
        return Slice(np.concatenate(numbers), np.concatenate(words), self.turned)

    def _interleaved(self, rows: slice) -> NDArray[Any]:
        if self.transposed is None:
            return np.asarray(self.words[rows])
        return np.stack([self.words[rows], self.transposed[rows]], axis=1).reshape(-1, 4)


@dataclass(frozen=True, slots=True)
class Slice:
    """Entries that are searched together: their numbers, ascending, and their words."""

    numbers: NDArray[np.int64]
    words: NDArray[Any]
    turned: bool


class Task(NamedTuple):
    """A choice of bits, and which of the slices of its keys."""

    table: KeyTable
    slice: int
    slices: int


@dataclass(frozen=True, slots=True)
class KeyTable:
    """One choice of bits, and longer ones that contain it.

    Attributes
    ----------
    masks : ndarray, shape (1 + _LENGTHENED, 4)
        Chosen bits of each word.
    references : tuple of int, or None
        Bit of the words (even, odd) and (odd, even) that the others of odd frequency are relative to.
    factors : ndarray of uint64, shape (4,)
        Odd multipliers that mix the chosen bits.
    """

    masks: NDArray[Any]
    references: tuple[int, int] | None
    factors: NDArray[np.uint64]

    @classmethod
    def drawn(cls, number: int, width: int, word: np.dtype[Any], *, turned: bool) -> KeyTable:
        rng = np.random.default_rng(number)
        bits = word.itemsize * 8
        references = rng.integers(bits, size=2)
        taken = [bits + references[0], 2 * bits + references[1]] if turned else []
        rest = np.setdiff1d(np.arange(4 * bits), taken)
        chosen = np.concatenate([taken, rng.permutation(rest)]).astype(int)
        masks = np.zeros((1 + _LENGTHENED, 4), dtype=np.uint64)
        for level in range(len(masks)):
            for bit in chosen[: width + level * _LONGER_BITS]:
                masks[level, bit // bits] |= np.uint64(1) << np.uint64(bit % bits)
        factors = rng.integers(1 << 64, size=4, dtype=np.uint64) | np.uint64(1)
        both = (int(references[0]), int(references[1])) if turned else None
        return cls(masks.astype(word), both, factors)

    def keys(self, words: NDArray[Any], level: int) -> NDArray[np.uint64]:
        """32 bits for each hash, in the upper half: equal for those that agree in the chosen bits."""
        key = np.zeros(len(words), dtype=np.uint64)
        for place, flipped in enumerate(self._flipped(words)):
            chosen = (words[:, place] if flipped is None else words[:, place] ^ flipped) & self.masks[level, place]
            key = (key ^ chosen) * self.factors[place]
            key ^= key >> np.uint64(29)
        return key & np.uint64(0xFFFFFFFF00000000)

    def _flipped(self, words: NDArray[Any]) -> list[NDArray[Any] | None]:
        """For each word all ones where it has to be turned round, which undoes a mirroring."""
        if self.references is None:
            return [None] * 4
        one = words.dtype.type(1)
        across, down = (
            -((words[:, place] >> words.dtype.type(bit)) & one) for place, bit in enumerate(self.references, 1)
        )
        return [None, across, down, across ^ down]


@dataclass(frozen=True, slots=True)
class EntryFiles:
    """Where entries lie, for tasks of other processes."""

    words: Mapped
    transposed: Mapped | None

    @classmethod
    def of(cls, entries: Entries) -> EntryFiles | None:
        words = Mapped.of(entries.words)
        transposed = None if entries.transposed is None else Mapped.of(entries.transposed)
        if words is None or (entries.turned and transposed is None):
            return None
        return cls(words, transposed)
