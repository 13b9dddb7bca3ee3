"""Trials: what limits of matching find among planted copies, each by the very procedure that `find_duplicates` runs.

Every edit is a set of its own, the sample with one copy of each picture; so a copy counts as found only by what ties
it to its picture, not through a chain of milder copies that a real set would not hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.calibration.copies import ORIGINAL
from dedupkit.calibration.shares import Share, share_of, wilson
from dedupkit.grouping.groups import components
from dedupkit.matching import stage as matching_stage
from dedupkit.matching.proof import EVIDENCE
from dedupkit.sample import PAIRS
from dedupkit.scratch import Scratch
from dedupkit.verification import geometry, verified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dedupkit.journey import Journey
    from dedupkit.matching.proof import Verifier
    from dedupkit.recipe import Matching

_EVIDENCE = ("tier", "hamming_bits", "cosine", "score")
MISTAKES = pa.schema(
    {
        "edit": pa.string(),
        "a": pa.string(),
        "a_is_copy": pa.bool_(),
        "b": pa.string(),
        "b_is_copy": pa.bool_(),
        "tier": pa.string(),
        "hamming_bits": pa.uint16(),
        "cosine": pa.float32(),
        "score": pa.float32(),
    }
)


class Remembering:
    """A verifier that asks another one about each pair once."""

    def __init__(self, verifier: Verifier, positions: NDArray[np.uint64]) -> None:
        self._verifier, self._positions = verifier, positions
        self._keys = np.empty(0, dtype=np.int64)  # ascending
        self._evidence: NDArray[Any] = np.empty(0, EVIDENCE)

    def cosine(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Cosine of the descriptors of pairs of positions."""
        return self._verifier.cosine(a, b)

    def __call__(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[Any]:
        """Evidence about pairs of positions."""
        here, there = (np.searchsorted(self._positions, end) for end in (a, b))
        keys = here * len(self._positions) + there
        new = ~np.isin(keys, self._keys)
        if new.any():
            self._learn(keys[new], self._verifier(a[new], b[new]))
        return np.asarray(self._evidence[np.searchsorted(self._keys, keys)])

    def _learn(self, keys: NDArray[np.int64], evidence: NDArray[Any]) -> None:
        joined = np.concatenate([self._keys, keys])
        order = np.argsort(joined, kind="stable")
        self._keys, self._evidence = joined[order], np.concatenate([self._evidence, evidence])[order]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What limits find.

    Attributes
    ----------
    matching : Matching
        The limits.
    found : ndarray of bool, shape (edits, pictures)
        Copies joined to their picture.
    planted : ndarray of bool, shape (edits, pictures)
        Copies there were.
    true_pairs, false_pairs : ndarray of int64, shape (edits, pictures)
        Pairs with a copy in them, by edit and by the family of one end.
    family : ndarray of int64, shape (pictures,)
        For each picture the first that the recipe takes for the same.
    mistakes : pyarrow.Table
        The false pairs: positions, tier and evidence.
    """

    matching: Matching
    found: NDArray[np.bool_]
    planted: NDArray[np.bool_]
    true_pairs: NDArray[np.int64]
    false_pairs: NDArray[np.int64]
    family: NDArray[np.int64]
    mistakes: pa.Table

    @property
    def recall(self) -> Share:
        """Share of all copies that are found; those of one family count as alike."""
        return share_of(*(self._by_family(flags.sum(axis=0)) for flags in (self.found, self.planted)))

    def recall_of(self, edit: int) -> Share:
        """Share of the copies of one edit that are found."""
        return share_of(*(self._by_family(flags[edit].astype(np.int64)) for flags in (self.found, self.planted)))

    @property
    def precision(self) -> Share:
        """Share of the pairs that are right."""
        true, false = self.true_pairs.sum(axis=0), self.false_pairs.sum(axis=0)
        return share_of(true, true + false)

    def _by_family(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(self.family, weights=counts, minlength=len(self.family)).astype(np.int64)


@dataclass(frozen=True)
class Bench:
    """A planted sample, fingerprinted, on which limits are tried.

    Parameters
    ----------
    journey : Journey
        Over the sample and its copies, fingerprinted.
    edits : sequence of str
        Names of what was planted.
    pictures : int
        How many were drawn, faulty ones included.
    """

    journey: Journey
    edits: Sequence[str]
    pictures: int
    table: pa.Table = field(init=False, repr=False)
    number: NDArray[np.int64] = field(init=False, repr=False)
    edit: NDArray[np.int64] = field(init=False, repr=False)
    family: NDArray[np.int64] = field(init=False, repr=False)
    own_pairs: int = field(init=False)
    verifier: Verifier | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        table = self._fingerprints()
        kinds = {name: place for place, name in enumerate((ORIGINAL, *self.edits), -1)}
        keys = [key.partition("/") for key in table["key"].to_pylist()]
        number = np.array([int(number) for number, _, _ in keys], dtype=np.int64)
        edit = np.array([kinds[name] for _, _, name in keys], dtype=np.int64)
        whole = np.isin(number, number[edit == -1])
        table, number, edit = table.filter(pa.array(whole)), number[whole], edit[whole]
        for name, value in (("table", table), ("number", number), ("edit", edit), ("verifier", None)):
            object.__setattr__(self, name, value)
        matching = self.journey.recipe.matching
        if self.journey.recipe.descriptor and matching.verify == "geometry":
            positions = table["position"].to_numpy()
            verifier = geometry(self.journey, positions, positions, Scratch())
            object.__setattr__(self, "verifier", Remembering(verifier, positions))
        own = self._pairs(matching, self.edit == -1)
        a, b = self._rows(own)
        object.__setattr__(self, "family", components(self.pictures, self.number[a], self.number[b]))
        object.__setattr__(self, "own_pairs", own.num_rows)

    @property
    def edited(self) -> int:
        """Pictures that copies were made of."""
        return int(np.count_nonzero(self.edit == -1))

    def confused(self, mistakes: pa.Table) -> Share:
        """Of all pairs of different pictures, those that were taken for copies in any edit."""
        families = len(np.unique(self.family[self.number]))
        ends = np.sort([self.family[self.number[rows]] for rows in self._rows(mistakes)], axis=0)
        wrong, pairs = len(np.unique(ends, axis=1).T), families * (families - 1) // 2
        return Share(wrong, pairs, *wilson(wrong / max(1, pairs), pairs))

    def run(self, matching: Matching) -> Outcome:
        """Try limits on every edit."""
        shape = len(self.edits), self.pictures
        found, planted = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        true, false, mistakes = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64), []
        for edit in range(len(self.edits)):
            copies = self.number[self.edit == edit]
            planted[edit, copies] = True
            pairs = self._pairs(matching, (self.edit == -1) | (self.edit == edit))
            a, b = self._rows(pairs)
            same = self.family[self.number[a]] == self.family[self.number[b]]
            with_copy = (self.edit[a] == edit) | (self.edit[b] == edit)
            nodes = [self.number[end] + self.pictures * (self.edit[end] == edit) for end in (a, b)]
            label = components(2 * self.pictures, *(each[same] for each in nodes))
            found[edit, copies] = label[copies] == label[copies + self.pictures]
            for counts, right in ((true, same), (false, ~same)):
                counts[edit] = np.bincount(self.family[self.number[a[with_copy & right]]], minlength=self.pictures)
            mistakes.append(pairs.filter(pa.array(with_copy & ~same)).select(["a", "b", *_EVIDENCE]))
        return Outcome(matching, found, planted, true, false, self.family, pa.concat_tables(mistakes))

    def named(self, mistakes: pa.Table, keys: Sequence[str]) -> pa.Table:
        """False pairs with the keys of their pictures in place of positions."""
        a, b = self._rows(mistakes)
        edit = np.maximum(self.edit[a], self.edit[b])
        ends = {f"{name}": [keys[number] for number in self.number[end].tolist()] for name, end in (("a", a), ("b", b))}
        copies = {f"{name}_is_copy": self.edit[end] >= 0 for name, end in (("a", a), ("b", b))}
        columns = ends | copies | {"edit": [self.edits[each] for each in edit.tolist()]}
        rest = {name: mistakes[name] for name in _EVIDENCE}
        return pa.table({name: (columns | rest)[name] for name in MISTAKES.names}, schema=MISTAKES)

    def _fingerprints(self) -> pa.Table:
        columns = ["key", *matching_stage.COLUMNS]
        if self.journey.recipe.descriptor:
            columns.append("descriptor")
        numbers = range(len(self.journey.shards))
        table = pa.concat_tables([self.journey.tables.fingerprints(number, columns) for number in numbers])
        return table.filter(table["fault"].is_null())

    def _pairs(self, matching: Matching, rows: NDArray[np.bool_]) -> pa.Table:
        """What `find_duplicates` finds among some rows."""
        threads = self.journey.engine.threads_a_task(1)
        candidates = matching_stage.match([self.table.filter(pa.array(rows))], matching, threads)
        recipe = self.journey.recipe.model_copy(update={"matching": matching})
        journey = replace(self.journey, recipe=recipe, observe=lambda _: None)
        given = candidates.schema, [candidates]
        with verified(journey, *given, for_decisions=False, verifier=self.verifier) as found:
            return pa.concat_tables([PAIRS.empty_table(), *found.pairs])

    def _rows(self, pairs: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        positions = self.table["position"].to_numpy()
        a, b = (np.searchsorted(positions, pairs[name].to_numpy()) for name in ("a", "b"))
        return a, b
