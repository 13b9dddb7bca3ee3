"""Where canaries stand: which shard gets which, at what row, and under what key."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dedupkit.sinks.names import IMAGE_EXTENSIONS, extension

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dedupkit.canaries.manifest import Canary, Manifest

_HEX = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{12,}"
_NUMBER = r"[0-9]+"
_ALIKE = 0.9  # share of a shard's keys that a pattern has to fit


class Placed(NamedTuple):
    """One copy of a canary in a shard.

    Attributes
    ----------
    row : int
        It stands before this row of the shard as the source has it.
    key : str
        Its key.
    canary : Canary
        Which one.
    """

    row: int
    key: str
    canary: Canary


def shares(manifest: Manifest, byte_sizes: Sequence[int]) -> list[list[int]]:
    """Indices into `Manifest.planted` for each shard: evenly by size, and copies of one canary far from each other."""
    rng = np.random.default_rng(int.from_bytes(manifest.keyed("shares"), "big"))
    copies = [
        ((copy + rng.random()) / canary.repetitions, index)
        for index, canary in enumerate(manifest.planted)
        for copy in range(canary.repetitions)
    ]
    copies.sort()
    found: list[list[int]] = [[] for _ in byte_sizes]
    if not found:
        return found
    weights = np.array(byte_sizes if all(byte_sizes) else [1] * len(byte_sizes), np.float64)
    points = (np.arange(len(copies)) + rng.random()) / max(1, len(copies))
    shards = np.searchsorted(np.cumsum(weights) / weights.sum(), points, side="right")
    for shard, (_, index) in zip(np.minimum(shards, len(found) - 1), copies, strict=True):
        found[int(shard)].append(index)
    return found


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A key around its counting part, which is a number in base 10 or 16."""

    before: str
    digits: str
    after: str
    base: int

    @property
    def value(self) -> int:
        return int(self.digits.replace("-", ""), self.base)

    def with_value(self, value: int, *, padded: bool = True) -> str:
        """The key with another value, in as many digits at least where keys are padded."""
        bare = f"{value:x}" if self.base == 16 else str(value)
        bare = bare.rjust(len(self.digits.replace("-", "")), "0") if padded else bare
        for place, character in enumerate(self.digits):
            if character == "-":
                bare = f"{bare[:place]}-{bare[place:]}"
        return f"{self.before}{bare}{self.after}"


def place(
    keys: Sequence[str],
    canaries: Sequence[Canary],
    rng: np.random.Generator,
    after_last: Callable[[], int | None],
) -> list[Placed]:
    """Rows and keys for some canaries in one shard.

    Parameters
    ----------
    keys : sequence of str
        The shard's keys, in order.
    canaries : sequence of Canary
        Which copies stand in it.
    rng : numpy.random.Generator
        Decides where.
    after_last : callable
        For keys that count without a gap: the first number that the set does not use; None where that is the one
        after the shard's last.

    Returns
    -------
    list of Placed
        By row, in one row by key.  Keys fit between those around them where their pattern leaves room there.
    """
    taken = set(keys)
    parsed = _pattern(keys)
    if parsed is None:
        return sorted(_by_words(keys, canary, rng, taken) for canary in canaries)  # in one row by key
    rows = _rows_with_room(parsed)
    if len(rows) >= len(canaries):
        chosen = rng.choice(rows, len(canaries), replace=False)
        found = [_between(parsed, int(row), canary, rng, taken) for row, canary in zip(chosen, canaries, strict=True)]
    else:
        found = _elsewhere(parsed, canaries, rng, taken, after_last)
    return sorted(found)


def _pattern(keys: Sequence[str]) -> list[_Parsed | None] | None:
    """The keys' counting parts, where nearly all have one of the same kind."""
    for expression, base in ((_HEX, 16), (_NUMBER, 10)):
        parsed = [_parsed(key, expression, base) for key in keys]
        if keys and sum(each is not None for each in parsed) >= _ALIKE * len(keys):
            return parsed
    return None


def _parsed(key: str, expression: str, base: int) -> _Parsed | None:
    stem, dot, ending = key.rpartition(".")
    stem, after = (stem, f".{ending}") if dot and ending.lower() in IMAGE_EXTENSIONS else (key, "")
    matches = list(re.finditer(rf"(?<![0-9A-Za-z])(?:{expression})(?![0-9A-Za-z])" if base == 16 else expression, stem))
    if not matches or (base == 16 and not re.search("[a-f]", matches[-1][0]) and len(matches[-1][0]) < 20):
        return None
    last = matches[-1]
    return _Parsed(stem[: last.start()], last[0], stem[last.end() :] + after, base)


def _rows_with_room(parsed: Sequence[_Parsed | None]) -> list[int]:
    """Rows before which another key fits in order."""
    found = []
    for row in range(1, len(parsed)):
        a, b = parsed[row - 1], parsed[row]
        if a and b and (a.before, len(a.digits)) == (b.before, len(b.digits)) and b.value - a.value > 1:
            found.append(row)
    return found


def _between(
    parsed: Sequence[_Parsed | None], row: int, canary: Canary, rng: np.random.Generator, taken: set[str]
) -> Placed:
    a, b = parsed[row - 1], parsed[row]
    if a is None or b is None:
        raise TypeError("a row with room has keys around it")
    value = a.value + 1 + int.from_bytes(rng.bytes(32), "big") % (b.value - a.value - 1)
    key = _with_ending(a.with_value(value), canary)
    while key in taken:  # where keys are in no order, another row may have it
        value += 1
        key = _with_ending(a.with_value(value), canary)
    taken.add(key)
    return Placed(row, key, canary)


def _elsewhere(
    parsed: Sequence[_Parsed | None],
    canaries: Sequence[Canary],
    rng: np.random.Generator,
    taken: set[str],
    after_last: Callable[[], int | None],
) -> list[Placed]:
    """Numbers that are free in a shard that is in no order, else those that follow."""
    known = [each for each in parsed if each]
    low, high = min(each.value for each in known), max(each.value for each in known)
    ordered = all(a.value < b.value for a, b in pairwise(known))
    free = high - low + 1 - len(known)
    scattered = not ordered and free >= 2 * len(canaries)
    following = None if scattered else (after_last() or high + 1)
    padded = len({len(each.digits) for each in known}) == 1
    found = []
    for canary in canaries:
        row = int(rng.integers(len(parsed) + 1))
        near = next((each for each in (*parsed[max(0, row - 1) :], *known) if each), known[0])
        key = ""
        while not key or key in taken:
            if following is None:
                value = low + int.from_bytes(rng.bytes(32), "big") % (high - low + 1)
            else:
                value, following = following, following + 1
            key = _with_ending(near.with_value(value, padded=padded), canary)
        taken.add(key)
        found.append(Placed(row, key, canary))
    return found


def _by_words(keys: Sequence[str], canary: Canary, rng: np.random.Generator, taken: set[str]) -> Placed:
    """A key with the last word of a neighbour's replaced by words of the caption; in order where the keys are."""
    words = re.findall(r"[a-z]{4,}", (canary.caption or "").lower()) or ["picture"]
    near = keys[int(rng.integers(len(keys)))] if keys else "picture"
    stem, dot, ending = near.rpartition(".")
    stem = stem if dot and ending.lower() in IMAGE_EXTENSIONS else near
    tail = near[len(stem) :]
    head = stem[: len(stem) - len(re.split(r"[-_ /]", stem)[-1])]
    key, tries = "", 0
    while not key or key in taken:
        tries += 1
        joined = "-".join(str(word) for word in rng.choice(words, min(len(words), 1 + tries // 8)))
        key = _with_ending(f"{head}{joined}{tail}", canary) if tries < 64 else f"{head}{joined}{tries}{tail}"
    taken.add(key)
    ordered = all(a <= b for a, b in pairwise(keys))
    return Placed(bisect_left(keys, key) if ordered else int(rng.integers(len(keys) + 1)), key, canary)


def _with_ending(key: str, canary: Canary) -> str:
    """The key with the ending of the canary's own format, where it has that of an image."""
    stem, dot, ending = key.rpartition(".")
    right = extension(canary.format)
    if not dot or ending.lower() not in IMAGE_EXTENSIONS or extension(ending.lower()) == right:
        return key
    return key if (ending.lower(), right) in (("jpeg", "jpg"), ("jpe", "jpg"), ("jfif", "jpg")) else f"{stem}.{right}"
