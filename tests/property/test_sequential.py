"""Samples that come one after the other: what is found does not depend on how they were cut into batches."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.matching import sequential
from dedupkit.matching.cell_means import ListRules
from dedupkit.matching.evidence import Verdict
from dedupkit.matching.geometry import NOT_ALIGNED
from dedupkit.matching.seen import Seen
from dedupkit.matching.sequential import Sequence
from dedupkit.matching.signatures import load
from dedupkit.recipe import Matching
from dedupkit.sample import FINGERPRINTS, PAIRS
from tests.property.test_decisions import set_of

if TYPE_CHECKING:
    import pytest

MATCHING = Matching(max_neighbours=4)
_EMPTY = ["transform"]  # of an oracle's answers: NaN, which equals nothing


class Oracle:
    """Answers by the numbers of the pictures, which are in the keys: the same picture is a copy, but not always."""

    def __init__(self, pictures: list[int]) -> None:
        self.pictures, self.asked = pictures, 0

    def __call__(self, entry: int, new: int) -> Verdict:
        self.asked += 1
        alike = self.pictures[entry] == self.pictures[new] and (entry + new) % 3 != 0
        return Verdict(NOT_ALIGNED, 0.9 if alike else 0.1)

    def expect(self, pairs: list[tuple[int, int]]) -> None:
        pass


def described(seed: int, pictures: int) -> list[dict[str, Any]]:
    """Samples in a drawn order, with descriptors in which pictures lie near each other, and crowds."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((pictures, 8)) + 2 * rng.standard_normal((3, 8))[rng.integers(0, 3, pictures)]
    rows = set_of(seed, pictures)
    for row in rows:
        picture = row["picture"] = int(row["key"].partition("-")[0])
        if row["fault"] is not None:
            continue
        own = np.random.default_rng([seed, *row["sha256"]])  # equal bytes have equal fingerprints
        descriptor = centres[picture] + own.standard_normal(8) * own.choice([0.05, 0.8])
        row["descriptor"] = (descriptor / np.linalg.norm(descriptor)).astype(np.float16)
        if own.random() < 0.2:
            row |= {"trimmed_pdq": own.bytes(32), "trimmed_phash": 1, "trimmed_pdq_quality": 100}
            row |= {"trimmed_luminance_entropy": float(own.choice([1.0, 4.0]))}
    return [rows[place] for place in rng.permutation(len(rows))]


def found(rows: list[dict[str, Any]], cuts: list[int], *, batch: int = 2048, first: int = 16) -> tuple[Any, ...]:
    """Firsts, pairs and questions asked of a sequence that is cut here and there."""
    oracle = Oracle([row["picture"] for row in rows])
    rules = ListRules(first_entries=first, growth=2, rows_a_cell=6, visited_cells=1)
    sequence = Sequence(Seen(MATCHING, 31, True, rules), look=oracle)
    firsts, pairs = [], []
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for start, stop in pairwise(edges):
        some = [{**row, "position": start + place, "shard": "s"} for place, row in enumerate(rows[start:stop])]
        table = pa.Table.from_pylist(
            [{name: row.get(name) for name in FINGERPRINTS.names} for row in some], schema=FINGERPRINTS
        )
        taken = sequence.take(load([table], MATCHING), stop)
        firsts.append(taken.first)
        pairs.append(taken.pairs)
    return (
        np.concatenate(firsts).tolist(),
        pa.concat_tables([PAIRS.empty_table(), *pairs]).drop_columns(_EMPTY),
        oracle.asked,
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.lists(st.integers(0, 120), max_size=8))
def test_batches_do_not_matter(seed: int, pictures: int, cuts: list[int]) -> None:
    rows = described(seed, pictures)
    firsts, pairs, asked = found(rows, [])
    again = found(rows, cuts)
    assert again[0] == firsts
    assert again[1].equals(pairs)
    assert again[2] == asked


def test_one_by_one_finds_what_one_batch_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = described(3, 60)
    firsts, pairs, asked = found(rows, [])
    assert {"exact"}.isdisjoint(pairs["tier"].to_pylist())
    assert set(pairs["tier"].to_pylist()) == {"perceptual", "geometric", "look_alike"}
    assert asked > 20
    assert len(set(firsts)) < len(firsts)
    monkeypatch.setattr(sequential, "MOST_AT_ONCE", 1)
    again = found(rows, [])
    assert (again[0], again[2]) == (firsts, asked)
    assert again[1].equals(pairs)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 25))
def test_every_pair_names_an_earlier_sample_and_every_near_hash_is_in_one_group(seed: int, pictures: int) -> None:
    rows = described(seed, pictures)
    firsts, pairs, _ = found(rows, [], first=1 << 20)
    assert all(a < b for a, b in zip(pairs["a"].to_pylist(), pairs["b"].to_pylist(), strict=True))
    group = list(range(len(rows)))
    faultless = [number for number, row in enumerate(rows) if row["fault"] is None]
    joined = [(first, number) for first, number in zip(firsts, faultless, strict=True)]
    joined += [
        (a, b)
        for a, b, tier in zip(*(pairs[name].to_pylist() for name in ("a", "b", "tier")), strict=True)
        if tier != "look_alike"
    ]
    for a, b in joined:
        group = [group[a] if label == group[b] else label for label in group]
    codes = [np.unpackbits(np.frombuffer(row["pdq"], np.uint8)) if row["fault"] is None else None for row in rows]
    for b in faultless:
        for a in faultless:
            if a < b and _near(rows[a], rows[b], codes[a], codes[b]):
                assert group[a] == group[b]


def _near(one: dict[str, Any], other: dict[str, Any], a: Any, b: Any) -> bool:
    """Whole pictures without a frame, as they are, within 31 bits, whose descriptors agree."""
    if one.get("trimmed_pdq") or other.get("trimmed_pdq"):
        return False
    cosine = np.dot(one["descriptor"].astype(float), other["descriptor"].astype(float))
    return bool((a != b).sum() <= 31 and cosine >= MATCHING.sure_cosine + 1e-6)
