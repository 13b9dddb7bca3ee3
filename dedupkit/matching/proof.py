"""Which candidate pairs are copies: geometry is asked for few of them, in the order in which the answers help most.

A group of fifteen has 105 pairs and needs fourteen.  Pairs that need no proof are joined first; then, nearest first,
only pairs whose ends are not yet in one group are verified, and of two groups that do not belong together only a few.
For decisions, the best member of each group is then compared with those that nothing ties to it directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from dedupkit.grouping.groups import components
from dedupkit.sample import PAIRS, Tier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.recipe import Matching

STAGE = "pairs/4"  # also of the score
_TRIES = (3, 2, 1, 1, 1, 1)  # pairs of a group with its nearest other group, with the next one ... that are verified
_REFUSALS = 5  # after which a group is asked about no more
_STAR_ROUNDS = 16


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs that may be copies, over the pictures that stand in one.

    Attributes
    ----------
    positions : ndarray of uint64, shape (n,)
        The pictures, ascending.
    a, b : ndarray of int64, shape (pairs,)
        Their numbers, a < b.
    cosine : ndarray of float32, shape (pairs,)
        Of their descriptors; NaN where one has none.
    near_hash : ndarray of bool, shape (pairs,)
        Whether their perceptual hashes are near.
    table : pyarrow.Table
        The pairs in the schema of `dedupkit.sample.PAIRS`.
    """

    positions: NDArray[np.uint64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    cosine: NDArray[np.float32]
    near_hash: NDArray[np.bool_]
    table: pa.Table

    @classmethod
    def of(cls, table: pa.Table) -> Candidates:
        """Candidates from a table in the schema of pairs, without those of equal bytes."""
        ends = [table[name].to_numpy().astype(np.uint64) for name in ("a", "b")]
        positions = np.union1d(*ends)
        a, b = (np.searchsorted(positions, end) for end in ends)
        cosine = table["cosine"].fill_null(float("nan")).to_numpy().astype(np.float32)
        near_hash = np.asarray(table["hamming_bits"].is_valid())
        return cls(positions, a, b, cosine, near_hash, table)

    def sure(self, matching: Matching) -> NDArray[np.bool_]:
        """Pairs that need no proof: near hashes whose descriptors, if there are any, agree."""
        return self.near_hash & ~(self.cosine < matching.sure_cosine)

    def order(self) -> NDArray[np.int64]:
        """Numbers of the pairs, nearest first."""
        return np.lexsort((self.b, self.a, -np.nan_to_num(self.cosine, nan=-1.0)))


class Verifier(Protocol):
    """Asks geometry about pairs of positions."""

    def __call__(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> Evidence:
        """Evidence about each pair, in their order."""

    def cosine(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Cosine of their descriptors."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What geometry says about pairs; arrays of one row a pair, as the columns of `dedupkit.sample.PAIRS`."""

    inliers: NDArray[np.uint16]
    blocks: NDArray[np.uint16]
    agreement: NDArray[np.float32]
    conflict: NDArray[np.float32]
    outline: NDArray[np.float32]
    off_tone: NDArray[np.float32]
    overlap: NDArray[np.float32]
    transform: NDArray[np.float32]
    score: NDArray[np.float32]

    def rows(self, which: NDArray[Any]) -> Evidence:
        """Some of the pairs."""
        return Evidence(*(getattr(self, name)[which] for name in Evidence.__slots__))


@dataclass(frozen=True, slots=True)
class Proven:
    """What came out.

    Attributes
    ----------
    pairs : pyarrow.Table
        Copies, in the schema of `dedupkit.sample.PAIRS`.
    look_alikes : pyarrow.Table
        Pairs near by descriptor that geometry refused, in the same schema.
    verified : int
        Pairs that geometry was asked about.
    """

    pairs: pa.Table
    look_alikes: pa.Table
    verified: int


def doubtful_positions(
    candidates: Candidates, matching: Matching, rank: NDArray[np.int64] | None
) -> NDArray[np.uint64]:
    """Pictures that `prove` may have to look at; parameters as there."""
    sure = candidates.sure(matching)
    label = components(len(candidates.positions), candidates.a[sure], candidates.b[sure])
    doubt = worth_asking(candidates, label)
    seen = np.zeros(len(candidates.positions), dtype=bool)
    if rank is None:
        seen[candidates.a[doubt]] = seen[candidates.b[doubt]] = True
        return candidates.positions[seen]
    touched = np.zeros(len(candidates.positions), dtype=bool)
    touched[label[candidates.a[doubt]]] = touched[label[candidates.b[doubt]]] = True
    seen |= touched[label]  # which members of two groups will have to be compared is known only when they are joined
    best = _best_of_each(label, rank)
    tied = np.zeros(len(candidates.positions), dtype=bool)
    ends = candidates.a[sure], candidates.b[sure]
    for end, other in (ends, ends[::-1]):
        tied[other[best[label[end]] == end]] = True
    loose = ~tied & (best[label] != np.arange(len(label)))
    seen |= loose
    seen[best[label[loose]]] = True
    return candidates.positions[seen]


def worth_asking(candidates: Candidates, label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each group the nearest few pairs with each of the nearest few other groups; pair numbers, nearest first.

    A copy is nearly always nearest to its own kind: of 7,500 photos and edits, none was nearer to another photo.
    """
    order = candidates.order()
    order = order[label[candidates.a[order]] != label[candidates.b[order]]]
    a, b = label[candidates.a[order]], label[candidates.b[order]]
    place, group, other = np.tile(np.arange(len(order)), 2), np.concatenate([a, b]), np.concatenate([b, a])
    by_pair = np.lexsort((place, other, group))  # of each two groups the nearest pair first
    group, other, place = group[by_pair], other[by_pair], place[by_pair]
    new_pair = np.ones(len(group), dtype=bool)
    new_pair[1:] = (group[1:] != group[:-1]) | (other[1:] != other[:-1])
    nearest = place[new_pair]  # of each two groups
    by_group = np.lexsort((nearest, group[new_pair]))
    of_group = group[new_pair][by_group]
    tries = np.zeros(len(nearest), dtype=np.int64)
    tries[by_group] = np.array([*_TRIES, 0])[np.minimum(_place_in_run(of_group), len(_TRIES))]
    pair = np.cumsum(new_pair) - 1
    return np.asarray(order[np.unique(place[_place_in_run(pair) < tries[pair]])])


def _place_in_run(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, 2 ... along each run of equal values."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return np.asarray(np.arange(len(values)) - np.repeat(starts, np.diff(np.append(starts, len(values)))))


def _pair_keys(label: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each two groups."""
    return np.asarray(np.minimum(label[a], label[b]) * len(label) + np.maximum(label[a], label[b]))


def _best_of_each(label: NDArray[np.int64], rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each label the best ranked node."""
    best = np.zeros(len(label), dtype=np.int64)
    worst_first = np.argsort(-rank, kind="stable")
    best[label[worst_first]] = worst_first  # the last write is the best
    return best


def prove(
    candidates: Candidates, matching: Matching, verify: Verifier, rank: NDArray[np.int64] | None = None
) -> Proven:
    """Find the copies among candidate pairs.

    Parameters
    ----------
    candidates : Candidates
        Near hashes and near descriptors.
    matching : Matching
        What is sure, and what the evidence has to reach.
    verify : Verifier
        Geometry.
    rank : ndarray of int64, shape (n,), optional
        What the keep policy makes of the pictures, lower is rather kept.  With it, every member of a group is
        compared with the kept one, so that decisions can name it; without, pairs suffice that make the groups.

    Returns
    -------
    Proven
    """
    run = _Run(candidates, matching, verify)
    run.join_groups()
    if rank is not None:
        run.tie_to_best(rank)
    return run.result()


class _Run:
    """The state of one proof: pairs accepted and refused so far, and the groups they make."""

    def __init__(self, candidates: Candidates, matching: Matching, verify: Verifier) -> None:
        self.candidates, self.matching, self.verify = candidates, matching, verify
        sure = np.flatnonzero(candidates.sure(matching))
        self.sure = sure
        self.a: list[NDArray[np.int64]] = []  # ends, evidence and outcome of what was verified
        self.b: list[NDArray[np.int64]] = []
        self.evidence: list[Evidence] = []
        self.accepted: list[NDArray[np.bool_]] = []
        self.label = components(len(candidates.positions), candidates.a[sure], candidates.b[sure])

    def ask(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Verify pairs, remember the answers and join the groups of those accepted."""
        positions = self.candidates.positions
        evidence = self.verify(positions[a], positions[b])
        accepted = np.asarray(evidence.score >= self.matching.min_score)
        self.a.append(a)
        self.b.append(b)
        self.evidence.append(evidence)
        self.accepted.append(accepted)
        joined = components(len(positions), self.label[a[accepted]], self.label[b[accepted]])
        self.label = joined[self.label]
        return accepted

    def join_groups(self) -> None:
        """In rounds, verify for each group the nearest pair with another, until it has been refused a few times."""
        group = self.label.copy()  # as they are before anything is verified
        rows = worth_asking(self.candidates, group)
        refusals, refused = np.zeros(len(group), dtype=np.int64), np.empty(0, dtype=np.int64)
        while True:
            ends = self.candidates.a[rows], self.candidates.b[rows]
            known, counts = np.unique(_pair_keys(self.label, *self.ends(refused)), return_counts=True)
            hopeless = np.isin(_pair_keys(self.label, *ends), known[counts >= _TRIES[0]])
            rows = rows[(self.label[ends[0]] != self.label[ends[1]]) & ~hopeless]
            asking = np.concatenate([group[end] for end in self.ends(rows)])
            patient = refusals[asking] < _REFUSALS
            batch = np.unique(asking[patient], return_index=True)[1]
            batch = np.unique(np.tile(np.arange(len(rows)), 2)[patient][batch])
            if not len(batch):
                return
            accepted = self.ask(*self.ends(rows[batch]))
            refused = np.concatenate([refused, rows[batch][~accepted]])
            for end in self.ends(rows[batch][~accepted]):
                np.add.at(refusals, group[end], 1)
            rows = np.delete(rows, batch)

    def ends(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Both ends of candidate pairs."""
        return self.candidates.a[rows], self.candidates.b[rows]

    def tie_to_best(self, rank: NDArray[np.int64]) -> None:
        """Compare each group's best member with all others of it; those that are no copies of it start anew."""
        size = np.bincount(self.label, minlength=len(self.label))
        waiting = size[self.label] > 1
        for _ in range(_STAR_ROUNDS):
            if not waiting.any():
                return
            best = np.full(len(self.label), -1, dtype=np.int64)
            worst_first = np.flatnonzero(waiting)[np.argsort(-rank[waiting], kind="stable")]
            best[self.label[worst_first]] = worst_first
            members = np.flatnonzero(waiting & (best[self.label] != np.arange(len(self.label))))
            centres = best[self.label[members]]
            waiting[best[best >= 0]] = False
            known, outcome = self.known(centres, members)
            waiting[members[known & outcome]] = False
            a, b = np.minimum(centres, members)[~known], np.maximum(centres, members)[~known]
            positions = self.candidates.positions
            likely = self.verify.cosine(positions[a], positions[b]) >= self.matching.min_cosine / 2
            accepted = self.ask(a[likely], b[likely])
            waiting[members[~known][likely][accepted]] = False

    def known(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which pairs have an answer, and whether it was yes."""
        count = len(self.candidates.positions)
        keys = np.minimum(one, other) * count + np.maximum(one, other)
        sure = self.candidates.a[self.sure] * count + self.candidates.b[self.sure]
        a, b, accepted = self.verified()
        asked = a * count + b
        yes = np.isin(keys, sure) | np.isin(keys, asked[accepted])
        return yes | np.isin(keys, asked), yes

    def verified(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Ends and outcome of all pairs that geometry was asked about."""
        if not self.a:
            nothing = np.empty(0, dtype=np.int64)
            return nothing, nothing, nothing.astype(bool)
        return np.concatenate(self.a), np.concatenate(self.b), np.concatenate(self.accepted)

    def result(self) -> Proven:
        """Pairs and look-alikes."""
        a, b, _ = self.verified()
        sure = self.candidates.table.take(pa.array(self.sure))
        tables = [sure.set_column(sure.column_names.index("tier"), PAIRS.field("tier"), _tier(Tier.PERCEPTUAL, sure))]
        refused = []
        start = 0
        for evidence, yes in zip(self.evidence, self.accepted, strict=True):
            rows = slice(start, start := start + len(yes))
            tables.append(self.table(a[rows][yes], b[rows][yes], evidence.rows(yes), Tier.GEOMETRIC))
            refused.append(self.table(a[rows][~yes], b[rows][~yes], evidence.rows(~yes), Tier.LOOK_ALIKE))
        refused = list(self.alike(refused))
        pairs = pa.concat_tables(tables)
        if self.matching.look_alikes == "drop":
            pairs = pa.concat_tables([pairs, *refused])
        look_alikes = pa.concat_tables([PAIRS.empty_table(), *refused])
        in_order = [("a", "ascending"), ("b", "ascending")]
        return Proven(pairs.sort_by(in_order), look_alikes.sort_by(in_order), len(a))

    def alike(self, refused: list[pa.Table]) -> Iterator[pa.Table]:
        """What geometry refused, is near by descriptor, and did not end in one group after all."""
        for table in refused:
            a, b = (np.searchsorted(self.candidates.positions, table[end].to_numpy()) for end in ("a", "b"))
            near = table["cosine"].fill_null(-1.0).to_numpy() >= self.matching.min_look_alike_cosine
            yield table.filter(pa.array(near & (self.label[a] != self.label[b])))

    def table(self, a: NDArray[np.int64], b: NDArray[np.int64], evidence: Evidence, tier: Tier) -> pa.Table:
        """Verified pairs as a table; what their candidates say of hashes is kept."""
        positions, candidates = self.candidates.positions, self.candidates
        count = len(positions)
        keys, wanted = candidates.a * count + candidates.b, a * count + b
        order = np.argsort(keys)
        place = np.searchsorted(keys, wanted, sorter=order)
        row = order[np.minimum(place, len(order) - 1)] if len(order) else place
        old = pa.array(row, mask=(keys[row] != wanted) if len(order) else np.ones(len(a), bool))
        columns = {name: candidates.table[name].combine_chunks().take(old) for name in PAIRS.names}
        columns |= {"a": positions[a], "b": positions[b], "tier": pa.repeat(tier.value, len(a))}
        columns["cosine"] = self.verify.cosine(positions[a], positions[b])
        for name in ("inliers", "blocks", "agreement", "conflict", "outline", "off_tone", "overlap", "score"):
            columns[name] = getattr(evidence, name)
        columns["transform"] = pa.FixedSizeListArray.from_arrays(pa.array(evidence.transform.reshape(-1)), 6)
        return pa.table(
            [
                pa.array(columns[field.name], field.type)
                if not isinstance(columns[field.name], pa.Array)
                else columns[field.name].cast(field.type)
                for field in PAIRS
            ],
            schema=PAIRS,
        )


def _tier(tier: Tier, table: pa.Table) -> pa.Array:
    return pa.repeat(tier.value, table.num_rows)
