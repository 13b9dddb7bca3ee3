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

from dedupkit.grouping.groups import components, components_of
from dedupkit.matching.candidates import hash_columns, nearest_first, without_hashes
from dedupkit.matching.runs import pack
from dedupkit.sample import PAIRS, Tier
from dedupkit.scratch import Scratch, blocks, release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.matching.candidates import Candidates
    from dedupkit.recipe import Matching

STAGE = "pairs/4"  # also of the score
_TRIES = (3, 2, 1, 1, 1, 1)  # pairs of a group with its nearest other group, with the next one ... that are verified
_REFUSALS = 5  # after which a group is asked about no more
_STAR_ROUNDS = 16
_BYTES_A_PAIR = 150  # while the ones worth asking about are chosen
_BLOCK = 1 << 18  # pairs looked at together
_TABLE_ROWS = 1 << 18


class Verifier(Protocol):
    """Asks geometry about pairs of positions."""

    def __call__(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[Any]:
        """Evidence about each pair, in their order: an array of `EVIDENCE`."""

    def cosine(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Cosine of their descriptors."""


EVIDENCE = np.dtype(
    [
        ("inliers", np.uint16),
        ("blocks", np.uint16),
        *((name, np.float32) for name in ("agreement", "conflict", "outline", "off_tone", "overlap")),
        ("transform", np.float32, (6,)),
        ("score", np.float32),
    ]
)
"""What geometry says about a pair: the columns of `dedupkit.sample.PAIRS`."""
_ANSWER = np.dtype([("a", np.int64), ("b", np.int64), ("accepted", np.bool_), ("evidence", EVIDENCE)])


@dataclass(frozen=True, slots=True)
class Proven:
    """What came out.

    Attributes
    ----------
    run : object
        Where it is read from.
    verified : int
        Pairs that geometry was asked about.
    """

    run: _Run
    verified: int

    def pairs_in_parts(self) -> Iterator[pa.Table]:
        """Copies, in the schema of `dedupkit.sample.PAIRS`, sorted by (a, b) over all tables."""
        return self.run.accepted_tables()

    def look_alikes_in_parts(self) -> Iterator[pa.Table]:
        """Pairs near by descriptor that geometry refused, in the same way."""
        return self.run.refused_tables()

    @property
    def pairs(self) -> pa.Table:
        """All copies."""
        return pa.concat_tables([PAIRS.empty_table(), *self.pairs_in_parts()])

    @property
    def look_alikes(self) -> pa.Table:
        """All look-alikes."""
        return pa.concat_tables([PAIRS.empty_table(), *self.look_alikes_in_parts()])


def doubtful_positions(
    candidates: Candidates, matching: Matching, rank: NDArray[np.int64] | None
) -> NDArray[np.uint64]:
    """Pictures that `prove` may have to look at; parameters as there."""
    count = len(candidates.positions)
    sure = candidates.sure(matching)
    label = _joined(np.arange(count), candidates, sure)
    doubt = candidates.rows(worth_asking(candidates, label))
    seen = np.zeros(count, dtype=bool)
    if rank is None:
        seen[doubt["a"]] = seen[doubt["b"]] = True
        return candidates.positions[seen]
    touched = np.zeros(count, dtype=bool)
    touched[label[doubt["a"]]] = touched[label[doubt["b"]]] = True
    seen |= touched[label]  # which members of two groups will have to be compared is known only when they are joined
    best = _best_of_each(label, rank)
    tied = np.zeros(count, dtype=bool)
    for block in blocks(len(sure), _BLOCK):
        pairs = candidates.rows(sure[block])
        for end, other in (("a", "b"), ("b", "a")):
            tied[pairs[other][best[label[pairs[end]]] == pairs[end]]] = True
    loose = ~tied & (best[label] != np.arange(count))
    seen |= loose
    seen[best[label[loose]]] = True
    return candidates.positions[seen]


def worth_asking(candidates: Candidates, label: NDArray[np.int64], memory: int | None = None) -> NDArray[np.int64]:
    """Of each group the nearest few pairs with each of the nearest few other groups; pair numbers, nearest first.

    A copy is nearly always nearest to its own kind: of 7,500 photos and edits, none was nearer to another photo.

    Parameters
    ----------
    candidates : Candidates
        All pairs.
    label : ndarray of int64, shape (n,)
        The group of each picture.
    memory : int, optional
        Bytes that may be taken: groups are looked at in as many shares as that needs.
    """
    shares = 1 if memory is None else -(-len(candidates.pairs) * _BYTES_A_PAIR // max(memory, 1 << 24))
    asked = np.zeros(len(candidates.pairs), dtype=bool)
    for share in range(shares):
        asked[_worth_asking(candidates, label, share, shares)] = True
    chosen = np.flatnonzero(asked)
    return np.asarray(chosen[nearest_first(candidates.rows(chosen))])


def _worth_asking(candidates: Candidates, label: NDArray[np.int64], share: int, shares: int) -> NDArray[np.int64]:
    """Numbers of the pairs that the groups of a share would ask about."""
    parts = []
    for start, pairs in candidates.blocks():
        a, b = label[pairs["a"]], label[pairs["b"]]
        for group in (a, b) if shares > 1 else (a,):
            chosen = np.flatnonzero((a != b) & ((group % shares == share) | (shares == 1)))
            parts.append(start + chosen)
    number = np.unique(np.concatenate([np.empty(0, np.int64), *parts]))
    number = number[nearest_first(candidates.rows(number))]
    pairs = candidates.rows(number)
    a, b = label[pairs["a"]], label[pairs["b"]]
    place, group, other = np.tile(np.arange(len(number)), 2), np.concatenate([a, b]), np.concatenate([b, a])
    by_pair = np.lexsort((place, other, group))  # of each two groups the nearest pair first
    by_pair = by_pair[group[by_pair] % shares == share]
    group, other, place = group[by_pair], other[by_pair], place[by_pair]
    new_pair = np.ones(len(group), dtype=bool)
    new_pair[1:] = (group[1:] != group[:-1]) | (other[1:] != other[:-1])
    nearest = place[new_pair]  # of each two groups
    by_group = np.lexsort((nearest, group[new_pair]))
    of_group = group[new_pair][by_group]
    tries = np.zeros(len(nearest), dtype=np.int64)
    tries[by_group] = np.array([*_TRIES, 0])[np.minimum(_place_in_run(of_group), len(_TRIES))]
    pair = np.cumsum(new_pair) - 1
    return np.asarray(number[np.unique(place[_place_in_run(pair) < tries[pair]])])


def _joined(label: NDArray[np.int64], candidates: Candidates, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels after some pairs have joined groups."""

    def ends() -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        for block in blocks(len(chosen), _BLOCK):
            pairs = candidates.rows(chosen[block])
            yield label[pairs["a"]], label[pairs["b"]]

    return np.asarray(components_of(len(label), ends)[label])


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
    candidates: Candidates,
    matching: Matching,
    verify: Verifier,
    rank: NDArray[np.int64] | None = None,
    *,
    scratch: Scratch | None = None,
    memory: int | None = None,
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
    scratch : Scratch, optional
        Where evidence lies, 72 bytes a pair that is verified; in memory if left out.
    memory : int, optional
        Bytes that choosing pairs may take, besides 60 a picture and 40 a pair that is worth asking about.

    Returns
    -------
    Proven
    """
    run = _Run(candidates, matching, verify, scratch or Scratch())
    run.join_groups(memory)
    if rank is not None:
        run.tie_to_best(rank)
    run.close()
    return Proven(run, len(run.answers))


class _Run:
    """The state of one proof: pairs accepted and refused so far, and the groups they make."""

    def __init__(self, candidates: Candidates, matching: Matching, verify: Verifier, scratch: Scratch) -> None:
        self.candidates, self.matching, self.verify = candidates, matching, verify
        self.sure = candidates.sure(matching)
        self.asked: list[NDArray[np.int64]] = []  # both ends and the outcome of what was verified
        self.evidence = scratch.growing(_ANSWER)
        self.answers: NDArray[Any] = np.empty(0, _ANSWER)
        self.label = _joined(np.arange(len(candidates.positions)), candidates, self.sure)

    def close(self) -> None:
        """Nothing is asked any more."""
        self.answers = self.evidence.whole()

    def ask(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Verify pairs, remember the answers and join the groups of those accepted."""
        positions = self.candidates.positions
        evidence = self.verify(positions[a], positions[b])
        answers = np.empty(len(a), _ANSWER)
        answers["a"], answers["b"], answers["evidence"] = a, b, evidence
        answers["accepted"] = accepted = np.asarray(evidence["score"] >= self.matching.min_score)
        self.evidence.append(answers)
        self.asked.append(np.stack([a, b, accepted], axis=1))
        joined = components(len(positions), self.label[a[accepted]], self.label[b[accepted]])
        self.label = joined[self.label]
        return accepted

    def join_groups(self, memory: int | None = None) -> None:
        """In rounds, verify for each group the nearest pair with another, until it has been refused a few times."""
        group = self.label.copy()  # as they are before anything is verified
        pairs = self.candidates.rows(worth_asking(self.candidates, group, memory))
        a, b = np.array(pairs["a"]), np.array(pairs["b"])
        refusals, refused = np.zeros(len(group), dtype=np.int64), np.empty((0, 2), dtype=np.int64)
        while True:
            known, counts = np.unique(_pair_keys(self.label, *refused.T), return_counts=True)
            hopeless = np.isin(_pair_keys(self.label, a, b), known[counts >= _TRIES[0]])
            open_pairs = (self.label[a] != self.label[b]) & ~hopeless
            a, b = a[open_pairs], b[open_pairs]
            asking = np.concatenate([group[a], group[b]])
            patient = refusals[asking] < _REFUSALS
            batch = np.unique(asking[patient], return_index=True)[1]
            batch = np.unique(np.tile(np.arange(len(a)), 2)[patient][batch])
            if not len(batch):
                return
            no = batch[~self.ask(a[batch], b[batch])]
            refused = np.concatenate([refused, np.stack([a[no], b[no]], axis=1)])
            for end in (a[no], b[no]):
                np.add.at(refusals, group[end], 1)
            a, b = np.delete(a, batch), np.delete(b, batch)

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
        wanted = np.sort(keys)
        sure = [np.empty(0, np.int64)]
        for block in blocks(len(self.sure), _BLOCK):
            pairs = self.candidates.rows(self.sure[block])
            each = pairs["a"] * count + pairs["b"]
            sure.append(each[_are_in(each, wanted)])
        a, b, accepted = np.concatenate([np.empty((0, 3), np.int64), *self.asked]).T
        asked = a * count + b
        yes = np.isin(keys, np.concatenate(sure)) | np.isin(keys, asked[accepted == 1])
        return yes | np.isin(keys, asked), yes

    def accepted_tables(self) -> Iterator[pa.Table]:
        """Sure pairs and what geometry accepted; with them, if look-alikes are to go, what it refused."""
        sure = np.zeros(len(self.sure), dtype=np.int64)
        answers = np.flatnonzero(self.answers["accepted"])
        if self.matching.look_alikes == "drop":
            answers = np.sort(np.concatenate([answers, self.alike()]))
        kind = np.concatenate([sure, np.ones(len(answers), np.int64)])
        number = np.concatenate([self.sure, answers])
        yield from self._tables(kind, number)

    def refused_tables(self) -> Iterator[pa.Table]:
        """What geometry refused and is near by descriptor."""
        number = self.alike()
        yield from self._tables(np.ones(len(number), np.int64), number)

    def alike(self) -> NDArray[np.int64]:
        """Numbers of the answers no, near by descriptor, whose pictures did not end in one group after all."""
        found = [np.empty(0, np.int64)]
        positions = self.candidates.positions
        for block in blocks(len(self.answers), _BLOCK):
            rows = self.answers[block]
            apart = np.flatnonzero(~rows["accepted"] & (self.label[rows["a"]] != self.label[rows["b"]]))
            cosine = self.verify.cosine(positions[rows["a"][apart]], positions[rows["b"][apart]])
            found.append(block.start + apart[cosine >= self.matching.min_look_alike_cosine])
        return np.concatenate(found)

    def _tables(self, kind: NDArray[np.int64], number: NDArray[np.int64]) -> Iterator[pa.Table]:
        """Sure pairs (kind 0) and answers (kind 1) of some numbers as tables, sorted by both ends."""
        keys = np.empty(len(kind), np.uint64)
        for source, pairs in enumerate((self.candidates.pairs, self.answers)):
            mine = np.flatnonzero(kind == source)
            for block in blocks(len(mine), _BLOCK):
                rows = pairs[number[mine[block]]]
                keys[mine[block]] = pack(rows["a"], rows["b"])
                release(pairs)
        order = np.argsort(keys, kind="stable")
        for block in blocks(len(order), _TABLE_ROWS):
            chosen = order[block]
            sure = self._sure_table(number[chosen[kind[chosen] == 0]])
            proven = self._answer_table(number[chosen[kind[chosen] == 1]])
            yield pa.concat_tables([sure, proven]).sort_by([("a", "ascending"), ("b", "ascending")])

    def _sure_table(self, number: NDArray[np.int64]) -> pa.Table:
        pairs = self.candidates.rows(number)
        columns: dict[str, Any] = {"tier": pa.repeat(Tier.PERCEPTUAL.value, len(pairs))}
        columns["cosine"] = pa.array(pairs["cosine"], mask=np.isnan(pairs["cosine"]))
        return self._table(pairs, columns | hash_columns(pairs))

    def _answer_table(self, number: NDArray[np.int64]) -> pa.Table:
        """Verified pairs; what their candidates say of hashes is kept."""
        answers, positions = np.asarray(self.answers[number]), self.candidates.positions
        evidence = answers["evidence"]
        tiers = np.where(answers["accepted"], Tier.GEOMETRIC.value, Tier.LOOK_ALIKE.value)
        columns: dict[str, Any] = {"tier": pa.array(tiers.astype(object), pa.string())}
        columns["cosine"] = self.verify.cosine(positions[answers["a"]], positions[answers["b"]])
        columns |= {name: np.ascontiguousarray(evidence[name]) for name in EVIDENCE.names or () if name != "transform"}
        transform = pa.array(np.ascontiguousarray(evidence["transform"]).reshape(-1))
        columns["transform"] = pa.ListArray.from_arrays(np.arange(len(answers) + 1, dtype=np.int32) * 6, transform)
        return self._table(answers, columns | hash_columns(self._as_candidates(answers)))

    def _as_candidates(self, answers: NDArray[Any]) -> NDArray[Any]:
        """The candidates that the answers are about; some were asked that are none."""
        count = len(self.candidates.positions)
        wanted = answers["a"] * count + answers["b"]
        order = np.argsort(wanted)
        found = without_hashes(answers["a"], answers["b"])
        for _, pairs in self.candidates.blocks():
            keys = pairs["a"] * count + pairs["b"]
            known = np.flatnonzero(_are_in(keys, wanted[order]))
            found[order[np.searchsorted(wanted[order], keys[known])]] = pairs[known]
        return found

    def _table(self, rows: NDArray[Any], columns: dict[str, Any]) -> pa.Table:
        positions = self.candidates.positions
        columns |= {"a": positions[rows["a"]], "b": positions[rows["b"]]}
        arrays = [
            pa.nulls(len(rows), field.type)
            if field.name not in columns
            else pa.array(columns[field.name], field.type)
            if not isinstance(columns[field.name], pa.Array)
            else columns[field.name].cast(field.type)
            for field in PAIRS
        ]
        return pa.Table.from_arrays(arrays, schema=PAIRS)


def _are_in(values: NDArray[np.int64], ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each value is among ordered ones, which may be none."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.asarray(ordered[place] == values)
