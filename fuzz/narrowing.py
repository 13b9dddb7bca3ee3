"""Which of many files it was, and how little of it is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from fuzz.running import FuzzError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
_TRIES = 16


def culprits(items: Sequence[Item], trial: Callable[[Sequence[Item]], object]) -> list[Item]:
    """The one item with which a trial fails, found by halving; more where it takes several together."""
    left = list(items)
    while len(left) > 1:
        halves = left[: len(left) // 2], left[len(left) // 2 :]
        failing = next((half for half in halves if fails(trial, half)), None)
        if failing is None:
            break
        left = failing
    return left


def shrunk(data: bytes, still: Callable[[bytes], bool]) -> bytes:
    """Less of a file that does the same, after a few tries: ends and stretches are left out."""
    piece, tries = len(data) // 2, 0
    while piece >= 16 and tries < _TRIES:
        at = len(data)
        while at > 0 and tries < _TRIES:
            shorter = data[: max(0, at - piece)] + data[at:]
            tries += 1
            if still(shorter):
                data = shorter
            at -= piece
        piece //= 2
    return data


def fails(trial: Callable[[Sequence[Item]], object], items: Sequence[Item]) -> bool:
    """Whether a trial fails with some items."""
    try:
        trial(items)
    except FuzzError:
        return True
    return False
