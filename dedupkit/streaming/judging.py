"""Which samples of a micro-batch are copies of one that was kept before, in the stream or in an index."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.index.kept_views import Looking
from dedupkit.matching.evidence import Found
from dedupkit.matching.seen import Stretch
from dedupkit.matching.suspects import Suspects, suspects
from dedupkit.sample import Tier
from dedupkit.streaming.memory import fingerprints_of, kept_rows, nothing_before, numbered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from dedupkit.index.snapshot import Snapshot
    from dedupkit.matching.geometry import View
    from dedupkit.matching.signatures import Fingerprints
    from dedupkit.recipe import Matching
    from dedupkit.streaming.memory import Memory

_MOST_ASKED = 5  # of the nearest doubtful ones; `dedupkit.matching.sequential` gives up after as many refusals
_ENDS = ("a", "b", "tier")


@dataclass(frozen=True, slots=True)
class Match:
    """What a sample is a copy of.

    Attributes
    ----------
    key : str
        Its key.
    where : "stream" or "index"
        What remembers it.
    tier : str
        What made the pair.
    evidence : mapping
        What is known of it, as in `dedupkit.sample.PAIRS`.
    same_sample : bool
        Whether it is that sample itself, come again: the same key and the same bytes.
    """

    key: str
    where: str
    tier: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    same_sample: bool = False


@dataclass(slots=True)
class Judge:
    """Compares micro-batches with what was kept.

    Attributes
    ----------
    memory : Memory
        What the stream kept.
    index : Snapshot or None
        What is held elsewhere.
    min_entropy : float
        Below it geometry asks for more.
    """

    memory: Memory
    index: Snapshot | None
    min_entropy: float

    def judge(self, table: pa.Table, views: Sequence[View | None]) -> list[Match | None]:
        """What each sample of a batch is a copy of, None for nothing; those that are kept are remembered.

        Samples with a fault are copies of nothing, and are not remembered.
        """
        found: list[Match | None] = []
        while len(found) < table.num_rows:  # the way of searching changes between samples, wherever batches end
            stop = min(table.num_rows, len(found) + (self.memory.next_change() or table.num_rows))
            part = slice(len(found), stop)
            found += self._judge(table.slice(part.start, stop - part.start), views[part])
        return found

    def _judge(self, table: pa.Table, views: Sequence[View | None]) -> list[Match | None]:
        rows = np.flatnonzero(table["fault"].is_null().to_numpy())
        keys = table["key"].take(rows).to_pylist()
        looks = [views[row] for row in rows.tolist()]
        prints = numbered(fingerprints_of(table, self.memory.seen.matching), self.memory.count)
        known = self._in_index(prints, keys, looks)
        matches = _Batch(self.memory, prints, keys, looks, self.min_entropy, known).matches() if keys else []
        whole: list[Match | None] = [None] * table.num_rows
        kept = np.zeros(table.num_rows, dtype=bool)
        for row, match in zip(rows.tolist(), matches, strict=True):
            whole[row], kept[row] = match, match is None
        if kept.any():
            self.memory.add(kept_rows(kept, table), [view for view, stays in zip(views, kept, strict=True) if stays])
        return whole

    def _in_index(self, prints: Fingerprints, keys: Sequence[str], views: Sequence[View | None]) -> list[Match | None]:
        if self.index is None or not self.index.state.entries or not len(keys):
            return [None] * len(keys)
        return matches_in(self.index, prints, keys, views, self.min_entropy)


class _Batch:
    """One micro-batch: fingerprints numbered from the next entry on, those among them that will not be kept too."""

    def __init__(
        self,
        memory: Memory,
        prints: Fingerprints,
        keys: Sequence[str],
        views: Sequence[View | None],
        min_entropy: float,
        known: list[Match | None],
    ) -> None:
        self._memory, self._prints, self._keys, self._views, self._known = memory, prints, keys, views, known
        self._look = Looking(self._view, min_entropy) if memory.seen.described else None
        self._first = memory.seen.first_of_equals(prints.digests)
        self._ordinal = np.full(len(keys), -1)  # the number that each gets if it is kept

    def matches(self) -> list[Match | None]:
        """What each is a copy of."""
        digests, of_digest = [row.tobytes() for row in self._prints.digests], dict[bytes, int]()
        place, before, beside = self._suspects()
        stop = count = self._memory.count
        for row, match in enumerate(self._known):
            low, same = stop - self._memory.most, of_digest.get(digests[row], int(self._first[row]))
            if match is None and same >= 0 and self._number(same) >= low:
                match = self._exact(row, same)
            if match is None:
                old, new = before.of(int(place[row])), beside.of(int(place[row]))
                old = old.rows(np.flatnonzero(old.entry >= low))
                new = new.rows(np.flatnonzero(self._ordinal[new.entry - count] >= max(low, 0)))
                match = self._told(first_match(count + row, _joined(old, new), self._memory.seen.matching, self._look))
            if match is None:
                self._ordinal[row], of_digest[digests[row]] = stop, count + row
                stop += 1
            self._known[row] = match
        return self._known

    def _suspects(self) -> tuple[NDArray[np.int64], Suspects, Suspects]:
        """Place of each sample in two searches: among entries, and in the batch.  What is known is not searched for."""
        seen, count, every = self._memory.seen, self._memory.count, np.arange(len(self._keys))
        still_held = self._first >= max(0, count + len(every) - self._memory.most)
        rows = np.flatnonzero(np.array([match is None for match in self._known], dtype=bool) & ~still_held)
        beginning = nothing_before(seen, len(every))
        own = Stretch.of(self._prints, every, (count, count + len(every)), beginning)
        place = np.full(len(every), -1)
        place[rows] = np.arange(len(rows))
        return place, suspects(self._prints, rows, seen, []), suspects(self._prints, rows, beginning, [own])

    def _number(self, entry: int) -> int:
        """The number of an entry, which in this batch is that of its place."""
        return int(self._ordinal[entry - self._memory.count]) if entry >= self._memory.count else entry

    def _exact(self, row: int, entry: int) -> Match:
        key = self._key(entry)
        return Match(key, "stream", Tier.EXACT.value, {}, key == self._keys[row])

    def _told(self, found: Found | None) -> Match | None:
        if found is None:
            return None
        return Match(self._key(found.entry), "stream", found.tier.value, evidence_of(found))

    def _key(self, entry: int) -> str:
        start = self._memory.count
        return self._keys[entry - start] if entry >= start else self._memory.key(entry)

    def _view(self, entry: int) -> View | None:
        start = self._memory.count
        return self._views[entry - start] if entry >= start else self._memory.view(entry)


def matches_in(
    index: Snapshot, prints: Fingerprints, keys: Sequence[str], views: Sequence[View | None], min_entropy: float
) -> list[Match | None]:
    """What each of some samples is a copy of in an index, None for nothing."""
    count, every = index.state.entries, np.arange(len(prints.positions))
    prints = numbered(prints, count)
    first = index.seen.first_of_equals(prints.digests)
    found = suspects(prints, every, index.seen, [])

    def view(entry: int) -> View | None:
        return index.views[entry] if entry < count else views[entry - count]

    look = Looking(view, min_entropy) if index.state.views == "keep" else None
    matches: list[Match | None] = []
    for row in every.tolist():
        entry, tier, evidence = int(first[row]), Tier.EXACT.value, {}
        if entry < 0:
            pair = first_match(count + row, found.of(row), index.seen.matching, look)
            if pair is None:
                matches.append(None)
                continue
            entry, tier, evidence = pair.entry, pair.tier.value, evidence_of(pair)
        copies = [str(index.entries["key"][int(each)].as_py()) for each in index.copies(entry)]
        again = tier == Tier.EXACT.value and keys[row] in copies
        matches.append(Match(keys[row] if again else copies[0], "index", tier, evidence, again))
    return matches


def first_match(
    new: int, found: Suspects, matching: Matching, look: Looking | None, most_asked: int = _MOST_ASKED
) -> Found | None:
    """The best of the suspects that a sample is a copy of: sure ones, else the first that geometry accepts."""
    if not len(found.entry):
        return None
    if matching.verify == "none":
        row = int(np.lexsort((found.entry, -np.nan_to_num(found.cosine), found.bits))[0])
        return Found(found, row, new, Tier.PERCEPTUAL if found.near_hash[row] else Tier.DESCRIPTOR)
    sure = found.sure(matching)
    rows = np.flatnonzero(sure)
    if len(rows):
        return Found(found, int(rows[np.lexsort((found.entry[rows], found.bits[rows]))[0]]), new, Tier.PERCEPTUAL)
    rows = np.flatnonzero(~sure)
    rows = rows[np.lexsort((found.entry[rows], -np.nan_to_num(found.cosine[rows], nan=-1.0)))]
    for row in rows[:most_asked].tolist():
        if look is None:
            break
        verdict = look(int(found.entry[row]), new)
        if verdict.score >= matching.min_score:
            return Found(found, row, new, Tier.GEOMETRIC, verdict)
    nearest = Found(found, int(rows[0]), new, Tier.LOOK_ALIKE)
    alike = matching.look_alikes == "drop" and nearest.cosine >= matching.min_look_alike_cosine
    return nearest if alike else None


def evidence_of(found: Found) -> dict[str, Any]:
    """What is known of a pair, in the names of `dedupkit.sample.PAIRS`."""
    return {name: value for name, value in found.as_row().items() if name not in _ENDS}


def _joined(one: Suspects, other: Suspects) -> Suspects:
    names = Suspects.__slots__
    return Suspects(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in names))
