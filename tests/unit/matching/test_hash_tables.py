"""Look-up tables of hashes: complete, in pieces as in one."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dedupkit.matching import hash_tables
from dedupkit.matching.hash_tables import HashRule, HashTable, NearHashes, QueryHashes
from dedupkit.matching.turns import PDQ, PHASH

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dedupkit.matching.turns import HashLayout

Brute = list[tuple[int, int, int, int]]


def planted(layout: HashLayout, count: int, max_bits: int, seed: int) -> NDArray[np.uint8]:
    """Hashes drawn by chance, the second half made of the first by changing bits."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (count, layout.bits // 8), dtype=np.uint8)
    for row in range(count // 2, count):
        bits = np.unpackbits(codes[row - count // 2])
        bits[rng.permutation(layout.bits)[: rng.integers(0, max_bits + 3)]] ^= 1
        codes[row] = np.packbits(bits)
    return codes


def searched(codes: NDArray[np.uint8], rule: HashRule, cuts: tuple[int, ...], gone: tuple[int, ...] = ()) -> Brute:
    """Pairs of whole hashes found in tables that end at the cuts, each query among the entries before it."""
    words, rows = rule.layout.words(codes), np.arange(len(codes))
    transposed = rule.layout.words(rule.layout.transposed(codes))
    none = np.zeros(len(codes), dtype=bool)
    queries = QueryHashes(rows, none, words, transposed, rows, np.array(gone, np.int64), rule)
    edges = [0, *cuts, len(codes)]
    tables = [
        HashTable.of(2 * rows[start:stop], words[start:stop], turned=rule.turned) for start, stop in pairwise(edges)
    ]
    near = NearHashes.joined([table.near(queries) for table in tables]).nearest()
    found = zip(near.entry.tolist(), near.query.tolist(), near.bits.tolist(), near.turn.tolist(), strict=True)
    return sorted(found)


@pytest.mark.parametrize("tabled_from", [1, 1 << 30])
@pytest.mark.parametrize(("layout", "radius"), [(PDQ, 31), (PDQ, 12), (PHASH, 6), (PHASH, 0)])
@pytest.mark.parametrize("turned", [True, False])
def test_what_is_near_is_what_comparing_all_finds(
    tabled_from: int,
    layout: HashLayout,
    radius: int,
    turned: bool,
    by_comparing_all: Callable[..., Brute],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hash_tables, "_TABLED_FROM", tabled_from)
    codes = planted(layout, 300, radius, 1)
    wanted = by_comparing_all(codes, layout, radius, turned=turned)
    assert len(wanted) > 20
    assert searched(codes, HashRule(radius, layout, turned), ()) == wanted
    assert searched(codes, HashRule(radius, layout, turned), (7, 150, 151)) == wanted


def test_entries_that_are_gone_are_not_found(by_comparing_all: Callable[..., Brute]) -> None:
    codes = planted(PDQ, 100, 20, 2)
    wanted = [pair for pair in by_comparing_all(codes, PDQ, 31) if pair[0] not in (3, 20)]
    assert searched(codes, HashRule(31, PDQ, True), (50,), gone=(3, 20)) == wanted


@pytest.mark.parametrize("held", [2, 1 << 30])
def test_of_a_crowd_the_nearest_are_looked_at(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_tables, "MOST_NEAR", 5)
    monkeypatch.setattr(hash_tables, "_HELD", held)
    monkeypatch.setattr(hash_tables, "_COMPARED", 8)
    codes = np.zeros((20, 32), np.uint8)
    for row in range(20):
        codes[row, : row // 8] = 255
        codes[row, row // 8] = (1 << row % 8) - 1  # row bits of one
    rule = HashRule(31, PDQ, False)
    last = [pair for pair in searched(codes, rule, (4, 9)) if pair[1] == 19]
    assert [(entry, bits) for entry, _, bits, _ in last] == [(14, 5), (15, 4), (16, 3), (17, 2), (18, 1)]
