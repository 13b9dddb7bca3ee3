"""Matching one sample after the other: each is compared with all before it, and with nothing else.

What comes out depends on the order of the samples and on nothing else: not on how they are cut into batches, nor on
what is remembered in which place.  So many small additions find the same pairs as one large one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from dedupkit.errors import UsageError
from dedupkit.matching.equals import first_of_equals
from dedupkit.matching.evidence import Found, pairs_table
from dedupkit.matching.forest import Forest
from dedupkit.matching.seen import Seen, Stretch
from dedupkit.matching.signatures import worth_describing
from dedupkit.matching.suspects import Suspects, suspects
from dedupkit.sample import Tier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.matching.evidence import Verdict
    from dedupkit.matching.signatures import Fingerprints
    from dedupkit.recipe import Matching

MOST_AT_ONCE = 2048
_TRIES = (3, 2, 1, 1, 1, 1)  # of the nearest group the nearest three ... as `dedupkit.matching.proof` has it
_REFUSALS = 5  # after which a sample is asked about no more
_EXPECTED = 128  # samples whose first questions are looked at together
_AHEAD = 2  # questions a sample that are looked at before it is its turn


class Looker(Protocol):
    """Asks geometry about an earlier entry and a new one."""

    def __call__(self, entry: int, new: int) -> Verdict:
        """How the two pictures lie over each other."""

    def expect(self, pairs: list[tuple[int, int]]) -> None:
        """Pairs that are likely to be asked about next."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came out for some new samples.

    Attributes
    ----------
    first : ndarray of int64, shape (n,)
        For each the first entry of the same bytes, itself where it is that.
    pairs : pyarrow.Table
        Pairs with earlier entries in the schema of `dedupkit.sample.PAIRS`, by entry numbers, those of equal bytes
        left out; tier ``look_alike`` stands for what geometry refused, or what it was not asked about.
    """

    first: NDArray[np.int64]
    pairs: pa.Table


@dataclass(slots=True)
class Sequence:
    """Samples as they come.

    Attributes
    ----------
    seen : Seen
        What came before.
    groups : Forest
        Which of it hangs together.
    look : Looker or None
        Geometry; without it, pairs in doubt are look-alikes.
    compares : bool
        Whether samples are compared at all; else they are only remembered.
    """

    seen: Seen
    groups: Forest = field(default_factory=Forest)
    look: Looker | None = None
    compares: bool = True

    def take(self, prints: Fingerprints, stop: int) -> Taken:
        """Compare new samples with all before them, and remember them.

        Parameters
        ----------
        prints : Fingerprints
            Their fingerprints; `positions` are entry numbers, ascending, from `seen.count` on.  Entries that are left
            out, such as faulty ones, are in no group.
        stop : int
            Entry number after the last.

        Raises
        ------
        UsageError
            Numbers are not those that follow.
        """
        if len(prints.positions) and not self.seen.count <= prints.positions[0] <= prints.positions[-1] < stop:
            raise UsageError(
                f"entries must be numbered from {self.seen.count} to before {stop}, got "
                f"{prints.positions[0]} to {prints.positions[-1]}; take them in their order"
            )
        prints = without_plain(prints)
        first, pairs = [np.empty(0, np.int64)], [pairs_table([])]
        while self.seen.count < stop:
            until = min(stop, self.seen.count + MOST_AT_ONCE, self.seen.next_training())
            rows = slice(*np.searchsorted(prints.positions, np.array([self.seen.count, until], np.uint64)))
            taken = self._take(some(prints, rows), until)
            first.append(taken.first)
            pairs.append(taken.pairs)
            if self.seen.count == self.seen.next_training():
                self.seen.train()
        return Taken(np.concatenate(first), pa.concat_tables(pairs))

    def _take(self, prints: Fingerprints, stop: int) -> Taken:
        entries = prints.positions.astype(np.int64)
        first = self.seen.first_of_equals(prints.digests)
        first = np.where(first < 0, entries[first_of_equals(prints.digests)], first)
        rows = np.flatnonzero(first == entries)
        stretch = Stretch.of(prints, rows, (self.seen.count, stop), self.seen)
        pairs: list[Found] = []
        if not self.compares:
            self.seen.append(stretch)
            return Taken(first, pairs_table(pairs))
        found = suspects(prints, rows, self.seen, [stretch])
        for query, new in enumerate(entries[rows].tolist()):
            if query % _EXPECTED == 0:
                self._expect(found, entries[rows], query)
            pairs += settle(new, found.of(query), self.seen.matching, self.groups, self.look)
        self.seen.append(stretch)
        return Taken(first, pairs_table(pairs))

    def _expect(self, found: Suspects, entries: NDArray[np.int64], start: int) -> None:
        if self.look is None:
            return
        pairs = []
        for query in range(start, min(start + _EXPECTED, len(entries))):
            mine = found.of(query)
            doubtful = _in_doubt(int(entries[query]), mine, self.seen.matching, self.groups)
            pairs += [(int(mine.entry[row]), int(entries[query])) for row in doubtful[:_AHEAD]]
        self.look.expect(pairs)


def without_plain(prints: Fingerprints) -> Fingerprints:
    """Fingerprints in which blank pictures, which are all alike to a network, have no descriptor."""
    if not prints.descriptors.shape[1]:
        return prints
    rows = np.where(worth_describing(prints.whole, prints.trimmed)[:, None], prints.descriptors, np.float16(0))
    return replace(prints, descriptors=rows)


def some(prints: Fingerprints, rows: slice) -> Fingerprints:
    """Some of the fingerprints."""
    hashes = [replace(each, **{name: getattr(each, name)[rows] for name in each.__slots__}) for each in (
        prints.whole, prints.trimmed,
    )]  # fmt: skip
    return replace(
        prints,
        positions=prints.positions[rows],
        digests=prints.digests[rows],
        whole=hashes[0],
        trimmed=hashes[1],
        descriptors=prints.descriptors[rows],
    )


def settle(new: int, found: Suspects, matching: Matching, groups: Forest, look: Looker | None) -> list[Found]:
    """Which suspects a new sample is a copy of; joins their groups.

    Sure pairs come first.  Geometry is then asked about the nearest others, of few groups and few of each.
    """
    if matching.verify == "none":
        return _all_of_them(new, found, groups)
    kept = _join_sure(new, found, matching, groups)
    doubtful = _in_doubt(new, found, matching, groups)
    if look is None:
        return kept + _alike([Found(found, row, new, Tier.LOOK_ALIKE) for row in doubtful], matching, groups)
    refused: list[Found] = []
    for row in doubtful:
        entry = int(found.entry[row])
        if len(refused) == _REFUSALS:
            break
        if groups.find(entry) == groups.find(new):
            continue
        verdict = look(entry, new)
        if verdict.score >= matching.min_score:
            groups.join(entry, new)
            kept.append(Found(found, row, new, Tier.GEOMETRIC, verdict))
        else:
            refused.append(Found(found, row, new, Tier.LOOK_ALIKE, verdict))
    return kept + _alike(refused, matching, groups)


def _all_of_them(new: int, found: Suspects, groups: Forest) -> list[Found]:
    """Where nothing is verified, every candidate is a pair."""
    for entry in found.entry.tolist():
        groups.join(entry, new)
    tiers = np.where(found.near_hash, Tier.PERCEPTUAL.value, Tier.DESCRIPTOR.value)
    return [Found(found, row, new, Tier(tier)) for row, tier in enumerate(tiers.tolist())]


def _join_sure(new: int, found: Suspects, matching: Matching, groups: Forest) -> list[Found]:
    """The nearest sure pairs, and of the others those that join a group more: a crowd costs no more than a few."""
    rows = np.flatnonzero(found.sure(matching))
    kept: list[Found] = []
    for row in rows[np.lexsort((found.entry[rows], found.bits[rows]))].tolist():
        entry = int(found.entry[row])
        apart = groups.find(entry) != groups.find(new)
        if apart or len(kept) < matching.max_neighbours:
            kept.append(Found(found, row, new, Tier.PERCEPTUAL))
        if apart:
            groups.join(entry, new)
    return kept


def _in_doubt(new: int, found: Suspects, matching: Matching, groups: Forest) -> list[int]:
    """Rows worth asking about, nearest first, as groups are now."""
    rows = np.flatnonzero(~found.sure(matching))
    rows = rows[np.lexsort((found.entry[rows], -np.nan_to_num(found.cosine[rows], nan=-1.0)))]
    places: dict[int, list[int]] = {groups.find(new): [len(_TRIES), 0]}
    asked = []
    for row in rows.tolist():
        group = groups.find(int(found.entry[row]))
        rank, count = places.setdefault(group, [len(places) - 1, 0])
        if rank < len(_TRIES) and count < _TRIES[rank]:
            places[group][1] += 1
            asked.append(row)
    return asked


def _alike(refused: list[Found], matching: Matching, groups: Forest) -> list[Found]:
    """What was refused, is near by descriptor, and did not end in one group after all."""
    near = [
        each
        for each in refused
        if each.cosine >= matching.min_look_alike_cosine and groups.find(each.entry) != groups.find(each.new)
    ]
    if matching.look_alikes == "drop":
        for each in near:
            groups.join(each.entry, each.new)
    return near
