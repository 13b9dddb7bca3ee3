"""Which pairs geometry is asked about, and what comes of the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.grouping.groups import Graph, components, stars
from dedupkit.matching import candidates as candidates_module
from dedupkit.matching import proof as proof_module
from dedupkit.matching.candidates import Candidates
from dedupkit.matching.proof import EVIDENCE, doubtful_positions, prove, worth_asking
from dedupkit.recipe import Matching
from dedupkit.sample import PAIRS, Tier
from dedupkit.scratch import scratch_files

if TYPE_CHECKING:
    from pathlib import Path


class Oracle:
    """Knows which picture each sample shows, and counts what it is asked."""

    def __init__(self, picture: np.ndarray[Any, Any], descriptors: np.ndarray[Any, Any]) -> None:
        self.picture, self.descriptors, self.asked = picture, descriptors, []  # type: ignore[var-annotated]

    def cosine(self, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(np.einsum("nd,nd->n", self.descriptors[a.astype(int)], self.descriptors[b.astype(int)]))

    def __call__(self, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        self.asked += list(zip(a.tolist(), b.tolist(), strict=True))
        same = (self.picture[a.astype(int)] == self.picture[b.astype(int)]).astype(np.float32)
        evidence = np.zeros(len(a), EVIDENCE)
        for name in EVIDENCE.names or ():
            evidence[name] = 0 if name == "transform" else 20 * same if name in ("inliers", "blocks") else same
        for name in ("conflict", "off_tone"):
            evidence[name] = 1 - same
        return evidence


def a_set(seed: int, pictures: int, copies: int, spread: float) -> tuple[Oracle, Candidates]:
    oracle, table = a_table(seed, pictures, copies, spread)
    return oracle, Candidates.of(table)


def a_table(seed: int, pictures: int, copies: int, spread: float) -> tuple[Oracle, pa.Table]:
    """Copies scattered around the descriptors of pictures; pairs above 0.4, of which the very near have near hashes."""
    rng = np.random.default_rng(seed)
    picture = np.repeat(np.arange(pictures), copies)
    centres = rng.standard_normal((pictures, 16))
    rows = centres[picture] + spread * rng.standard_normal((len(picture), 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows.T
    a, b = np.nonzero(np.triu(cosines > 0.4, 1))
    values = cosines[a, b]
    near = (values > 0.97) & (picture[a] == picture[b])
    columns: dict[str, Any] = {name: pa.nulls(len(a), PAIRS.field(name).type) for name in PAIRS.names}
    columns |= {"a": pa.array(a, pa.uint64()), "b": pa.array(b, pa.uint64()), "cosine": pa.array(values, pa.float32())}
    columns["tier"] = pa.array(np.where(near, Tier.PERCEPTUAL.value, Tier.DESCRIPTOR.value).tolist())
    columns["hamming_bits"] = pa.array(np.full(len(a), 3, np.uint16), mask=~near)
    return Oracle(picture, rows.astype(np.float32)), pa.table(columns, schema=PAIRS)


def groups_of(pairs: pa.Table, count: int) -> np.ndarray[Any, Any]:
    return components(count, pairs["a"].to_numpy().astype(np.int64), pairs["b"].to_numpy().astype(np.int64))


@pytest.mark.parametrize("ranked", [False, True])
@pytest.mark.parametrize("spread", [0.05, 0.2])
def test_groups_are_the_pictures(spread: float, ranked: bool) -> None:
    oracle, candidates = a_set(1, pictures=40, copies=6, spread=spread)
    rank = np.arange(len(candidates.positions)) if ranked else None
    proven = prove(candidates, Matching(), oracle, rank)
    found = groups_of(proven.pairs, 240)
    assert np.array_equal(found, np.repeat(np.arange(0, 240, 6), 6))


def test_few_pairs_are_verified() -> None:
    oracle, candidates = a_set(2, pictures=60, copies=8, spread=0.15)
    proven = prove(candidates, Matching(), oracle)
    assert proven.verified == len(oracle.asked) == len(set(oracle.asked))
    assert len(oracle.asked) < len(candidates.pairs) / 4


def test_each_is_compared_with_the_best_of_its_group() -> None:
    oracle, candidates = a_set(3, pictures=30, copies=7, spread=0.15)
    rank = np.random.default_rng(0).permutation(len(candidates.positions))
    pairs = prove(candidates, Matching(), oracle, rank).pairs
    a, b = (np.searchsorted(candidates.positions, pairs[end].to_numpy()) for end in ("a", "b"))
    covering = stars(Graph.of(len(rank), a, b), rank, np.zeros(len(a), np.int64))
    assert (covering < 0).sum() == 30  # one stays of each picture


def test_only_doubtful_pictures_are_looked_at() -> None:
    for rank in (None, "first"):
        oracle, candidates = a_set(4, pictures=50, copies=5, spread=0.15)
        order = None if rank is None else np.arange(len(candidates.positions))
        doubtful = set(doubtful_positions(candidates, Matching(), order).tolist())
        prove(candidates, Matching(), oracle, order)
        assert {end for pair in oracle.asked for end in pair} <= doubtful


def test_refused_pairs_that_are_near_are_look_alikes_and_no_pairs() -> None:
    oracle, table = a_table(5, pictures=20, copies=4, spread=0.1)
    oracle.picture = np.arange(80)  # none is a copy of another: all are burst shots
    no_bits = pa.nulls(table.num_rows, pa.uint16())
    candidates = Candidates.of(table.set_column(3, PAIRS.field("hamming_bits"), no_bits))
    proven = prove(candidates, Matching(min_look_alike_cosine=0.7), oracle)
    assert proven.pairs.num_rows == 0
    assert proven.look_alikes.num_rows > 0
    assert min(proven.look_alikes["cosine"].to_pylist()) >= 0.7
    dropped = prove(candidates, Matching(min_look_alike_cosine=0.7, look_alikes="drop"), oracle)
    assert set(dropped.pairs["tier"].to_pylist()) == {Tier.LOOK_ALIKE.value}


def test_no_candidates_no_pairs() -> None:
    oracle, _ = a_set(6, pictures=2, copies=1, spread=0.0)
    proven = prove(Candidates.of(PAIRS.empty_table()), Matching(), oracle, np.empty(0, np.int64))
    assert proven.pairs.num_rows == proven.verified == 0
    assert proven.pairs.schema.equals(PAIRS)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 6), st.floats(0.0, 0.6))
def test_whatever_the_set_no_refused_pair_comes_out(seed: int, pictures: int, copies: int, spread: float) -> None:
    oracle, candidates = a_set(seed, pictures, copies, spread)
    for rank in (None, np.arange(len(candidates.positions))):
        pairs = prove(candidates, Matching(), oracle, rank).pairs
        assert pairs.schema.equals(PAIRS)
        ends = [pairs[end].to_numpy().astype(int) for end in ("a", "b")]
        assert (oracle.picture[ends[0]] == oracle.picture[ends[1]]).all()
        assert (ends[0] < ends[1]).all()
        assert len(set(zip(*(end.tolist() for end in ends), strict=True))) == pairs.num_rows


def test_files_and_little_memory_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (candidates_module, proof_module):
        monkeypatch.setattr(module, "_BLOCK", 97)
    monkeypatch.setattr(proof_module, "_TABLE_ROWS", 31)
    oracle, table = a_table(7, pictures=80, copies=6, spread=0.15)
    rank = np.random.default_rng(0).permutation(480)
    free = prove(Candidates.of(table), Matching(), oracle, rank)
    with scratch_files(tmp_path) as scratch:
        parts = [table.slice(start, 100) for start in range(0, table.num_rows, 100)]
        candidates = Candidates.of(parts, scratch)
        bounded = prove(candidates, Matching(), oracle, rank, scratch=scratch)
        assert next(bounded.pairs_in_parts()).num_rows <= 31
        for name in ("pairs", "look_alikes"):
            assert getattr(bounded, name).equals(getattr(free, name))
    assert oracle.asked[: free.verified] == oracle.asked[free.verified :]


def test_pairs_worth_asking_about_are_the_same_in_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    _, candidates = a_set(8, pictures=60, copies=6, spread=0.2)
    for label in (np.arange(360), np.repeat(np.arange(0, 360, 3), 3)):
        whole = worth_asking(candidates, label)
        assert len(whole) > 400
        monkeypatch.setattr(proof_module, "_BYTES_A_PAIR", (1 << 24) // 700)
        shares = -(-len(candidates.pairs) * proof_module._BYTES_A_PAIR // (1 << 24))
        assert shares > 2
        assert worth_asking(candidates, label, memory=1).tolist() == whole.tolist()
        monkeypatch.undo()
