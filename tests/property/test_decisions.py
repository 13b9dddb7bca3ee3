"""What holds for the decisions about any set: order, completeness, and a second run."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.grouping.stage import decide
from dedupkit.matching.stage import match
from dedupkit.recipe import Keep, Matching
from dedupkit.sample import FINGERPRINTS, position

if TYPE_CHECKING:
    from collections.abc import Sequence

Rows = list[dict[str, Any]]


def sample(name: str, pdq: bytes, content: str, width: int) -> dict[str, Any]:
    """Fingerprints of a picture that was never drawn."""
    row: dict[str, Any] = dict.fromkeys(FINGERPRINTS.names)
    row |= {"key": name, "sha256": hashlib.sha256(content.encode()).digest(), "caption": "", "format": "png"}
    row |= {"pdq": pdq, "phash": int.from_bytes(pdq[:8], "big"), "pdq_quality": 100, "luminance_entropy": 4.0}
    return row | {"width": width, "height": 100, "byte_size": 1000, "notes": []}


def set_of(seed: int, pictures: int) -> Rows:
    """Samples of a few pictures: copies with some bits changed, equal bytes, and some that are broken."""
    rng = np.random.default_rng(seed)
    rows: Rows = []
    for picture in range(pictures):
        code = rng.integers(0, 2, 256)
        for copy in range(int(rng.integers(1, 6))):
            bits = code.copy()
            bits[rng.permutation(256)[: 2 * rng.integers(0, 12)]] ^= 1
            name = f"{picture}-{copy}"
            width = 100 + len(rows)  # all different, so that the best does not depend on the order
            rows.append(sample(name, np.packbits(bits.astype(np.uint8)).tobytes(), name, width))
            if rng.random() < 0.3:
                rows.append(rows[-1] | {"key": f"{name}-again", "width": width + 1000})
        if rng.random() < 0.3:
            rows.append(
                dict.fromkeys(FINGERPRINTS.names) | {"key": f"{picture}-bad", "fault": "empty_image", "notes": []}
            )
    return rows


def shards_of(rows: Rows, cuts: Sequence[int]) -> list[pa.Table]:
    """The rows in shards that end at the cuts."""
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    return [
        pa.Table.from_pylist(
            [row | {"position": position(number, at), "shard": "s"} for at, row in enumerate(rows[start:stop])],
            schema=FINGERPRINTS,
        )
        for number, (start, stop) in enumerate(pairwise(edges))
    ]


def decided(shards: list[pa.Table], matching: Matching, keep: Keep) -> Rows:
    def read(number: int, columns: Sequence[str]) -> pa.Table:
        return shards[number].select(columns)

    pairs = match(shards, matching)
    return [row for table in decide(read, len(shards), pairs, keep) for row in table.to_pylist()]


seeds, cuts = st.integers(0, 2**32 - 1), st.lists(st.integers(0, 40), max_size=3)
matchings = st.sampled_from([Matching(), Matching(max_hamming_bits=12), Matching(hash="phash", max_hamming_bits=5)])


@settings(max_examples=20, deadline=None)
@given(seeds, cuts, matchings, st.integers(1, 3))
def test_every_sample_has_one_decision_and_every_drop_names_a_kept_one(
    seed: int, edges: list[int], matching: Matching, max_copies: int
) -> None:
    rows = set_of(seed, 8)
    found = decided(shards_of(rows, edges), matching, Keep(max_copies=max_copies))
    assert [row["key"] for row in found] == [row["key"] for row in rows]
    kept = {row["key"] for row in found if row["action"] == "keep"}
    for row, before in zip(found, rows, strict=True):
        assert (row["action"] == "quarantine") == (before["fault"] is not None)
        assert (row["kept_key"] is not None) == (row["action"] == "drop")
        assert row["kept_key"] is None or row["kept_key"] in kept


@settings(max_examples=20, deadline=None)
@given(seeds, cuts, matchings, st.randoms(use_true_random=False))
def test_groups_and_the_best_do_not_depend_on_order_or_shards(
    seed: int, edges: list[int], matching: Matching, shuffled: Any
) -> None:
    rows = set_of(seed, 8)
    order = list(rows)
    shuffled.shuffle(order)

    def outcome(found: Rows) -> tuple[set[frozenset[str]], dict[str, str]]:
        groups: dict[int, set[str]] = {}
        for row in found:
            if row["group"] is not None:
                groups.setdefault(row["group"], set()).add(row["key"])
        return {frozenset(group) for group in groups.values()}, {row["key"]: row["action"] for row in found}

    before = outcome(decided(shards_of(rows, []), matching, Keep()))
    assert outcome(decided(shards_of(order, edges), matching, Keep())) == before


@settings(max_examples=20, deadline=None)
@given(seeds, cuts, matchings)
def test_a_second_run_over_what_was_kept_drops_nothing(seed: int, edges: list[int], matching: Matching) -> None:
    rows = set_of(seed, 8)
    found = decided(shards_of(rows, edges), matching, Keep())
    kept = [row for row, decision in zip(rows, found, strict=True) if decision["action"] == "keep"]
    again = decided(shards_of(kept, edges), matching, Keep())
    assert {row["reason"] for row in again} <= {"unique"}


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(0, 31), st.integers(0, 31))
def test_a_stricter_limit_never_adds_a_pair(seed: int, one: int, other: int) -> None:
    shards = shards_of(set_of(seed, 8), [9])
    strict, wide = (match(shards, Matching(max_hamming_bits=bits)).to_pylist() for bits in sorted((one, other)))
    assert [row for row in strict if row not in wide] == []
