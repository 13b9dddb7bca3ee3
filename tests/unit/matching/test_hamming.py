"""The search against a comparison of all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedupkit.matching.hamming import HammingPairs, hamming_pairs
from dedupkit.matching.turns import INVERSE, PDQ, PHASH, HashLayout

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Rows = list[tuple[int, int, int, int]]

RADII = [(PDQ, radius) for radius in (0, 7, 15, 16, 31, 40, 47)] + [(PHASH, radius) for radius in (0, 3, 6, 10)]


def rows_of(pairs: HammingPairs) -> Rows:
    columns = (pairs.a, pairs.b, pairs.distance, pairs.turn)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def random_codes(layout: HashLayout, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (count, layout.bits // 8), dtype=np.uint8)


def turned_by(code: NDArray[np.uint8], layout: HashLayout, turn: int) -> NDArray[np.uint8]:
    """A hash under a turn, by the signs of the DCT's odd frequencies."""
    bits = np.unpackbits(code)
    grid = (bits[::-1] if layout is PDQ else bits).reshape(layout.side, layout.side)
    odd = ((np.arange(layout.side) + (layout is PDQ)) % 2).astype(np.uint8)
    grid = grid.T if turn & 4 else grid
    grid = grid ^ odd[None, :] if turn & 1 else grid
    grid = grid ^ odd[:, None] if turn & 2 else grid
    flat = grid.ravel()
    return np.packbits(flat[::-1] if layout is PDQ else flat)


def clustered_codes(layout: HashLayout, clusters: int, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Random codes, each with turned copies of which a random number of bits is turned round."""
    codes = []
    for code in random_codes(layout, clusters, rng):
        codes.append(code)
        for _ in range(size - 1):
            bits = np.unpackbits(turned_by(code, layout, int(rng.integers(8))))
            bits[rng.permutation(layout.bits)[: rng.integers(0, layout.bits // 5)]] ^= 1
            codes.append(np.packbits(bits))
    return np.stack(codes)[rng.permutation(clusters * size)]


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize(("layout", "radius"), RADII, ids=lambda value: str(getattr(value, "bits", value)))
def test_the_search_finds_what_comparing_all_pairs_finds(
    layout: HashLayout, radius: int, turned: bool, by_comparing_all: Callable[..., Rows]
) -> None:
    rng = np.random.default_rng(radius)
    clustered = clustered_codes(layout, 40, 6, rng)
    codes = np.concatenate([clustered, random_codes(layout, 60, rng), clustered[:9], clustered[:3]])
    found = rows_of(hamming_pairs(codes, layout, radius, turned=turned))
    assert found == by_comparing_all(codes, layout, radius, turned=turned)
    assert len(found) >= 15  # the equal ones at least: 9 pairs and 3 triples' other two


@pytest.mark.parametrize(
    ("layout", "radius"), [(PDQ, 31), (PHASH, 6), (PHASH, 4)], ids=["pdq 31", "phash 6", "phash 4"]
)
def test_the_search_is_complete_for_3000_clustered_codes(
    layout: HashLayout, radius: int, by_comparing_all: Callable[..., Rows]
) -> None:
    codes = clustered_codes(layout, 250, 12, np.random.default_rng(5))
    found = rows_of(hamming_pairs(codes, layout, radius))
    assert found == by_comparing_all(codes, layout, radius)
    assert len(found) > 2000


@pytest.mark.parametrize("distance", [0, 1, 16, 29, 30, 31, 32, 33])
def test_a_pair_is_found_up_to_the_radius_wherever_its_bits_differ(distance: int) -> None:
    rng = np.random.default_rng(distance)
    codes: list[NDArray[np.uint8]] = []
    for code in random_codes(PDQ, 80, rng):
        bits = np.unpackbits(turned_by(code, PDQ, len(codes) % 8))
        order = (np.arange(256), np.arange(256)[::-1], rng.permutation(256))[len(codes) % 3]
        bits[order[:distance]] ^= 1
        codes += [code, np.packbits(bits)]
    pairs = hamming_pairs(np.stack(codes), PDQ, 31)
    assert pairs.distance.tolist() == ([distance] * 80 if distance <= 31 else [])
    assert pairs.a.tolist() == (list(range(0, 160, 2)) if distance <= 31 else [])
    assert pairs.turn.tolist() == [INVERSE[2 * number % 8] for number in range(80)][: len(pairs.a)]


@pytest.mark.parametrize("layout", [PDQ, PHASH], ids=["pdq", "phash"])
@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("radius", [0, 6, 10])
def test_none_and_one_have_no_pairs_and_two_equals_have_one(layout: HashLayout, turned: bool, radius: int) -> None:
    code = random_codes(layout, 1, np.random.default_rng(0))
    for count, expected in ((0, []), (1, []), (2, [(0, 1, 0, 0)])):
        codes = np.repeat(code, count, axis=0)
        assert rows_of(hamming_pairs(codes, layout, radius, turned=turned)) == expected


@pytest.mark.parametrize("layout", [PDQ, PHASH], ids=["pdq", "phash"])
@pytest.mark.parametrize("radius", [0, 3, 15])
def test_codes_that_equal_their_own_turns_are_paired_once(
    layout: HashLayout, radius: int, by_comparing_all: Callable[..., Rows]
) -> None:
    rng = np.random.default_rng(2)
    upper = np.triu(rng.integers(0, 2, (20, layout.side, layout.side), dtype=np.uint8))
    symmetric = np.packbits((upper | upper.transpose(0, 2, 1)).reshape(20, -1), axis=1)
    blank = np.zeros((2, layout.bits // 8), dtype=np.uint8)
    codes = np.concatenate([symmetric, symmetric[:5], blank, ~blank])
    found = rows_of(hamming_pairs(codes, layout, radius))
    assert found == by_comparing_all(codes, layout, radius)
    assert len({(a, b) for a, b, _, _ in found}) == len(found)


def test_more_equals_than_a_block_holds_are_all_paired() -> None:
    codes = np.repeat(random_codes(PHASH, 1, np.random.default_rng(4)), 800, axis=0)  # 319,600 pairs, 262,144 a block
    pairs = hamming_pairs(codes, PHASH, 0, turned=False)
    assert len(pairs.a) == 800 * 799 // 2
    assert len(set(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True))) == 800 * 799 // 2
    assert (pairs.a < pairs.b).all()


layouts = st.sampled_from([PDQ, PHASH])


@settings(max_examples=40, deadline=None)
@given(layouts, st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_a_stricter_radius_never_adds_a_pair(layout: HashLayout, seed: int, one: int, other: int, turned: bool) -> None:
    codes = clustered_codes(layout, 8, 5, np.random.default_rng(seed))
    largest = 40 if layout is PDQ else 11
    strict, wide = sorted((min(one, largest), min(other, largest)))
    few = rows_of(hamming_pairs(codes, layout, strict, turned=turned))
    many = rows_of(hamming_pairs(codes, layout, wide, turned=turned))
    assert few == [row for row in many if row[2] <= strict]


@settings(max_examples=40, deadline=None)
@given(layouts, st.integers(0, 2**32 - 1), st.integers(0, 33), st.booleans())
def test_pairs_do_not_depend_on_the_order_of_rows(layout: HashLayout, seed: int, radius: int, turned: bool) -> None:
    rng = np.random.default_rng(seed)
    codes = clustered_codes(layout, 8, 5, rng)
    radius = min(radius, layout.bits // 7)
    order = rng.permutation(len(codes))
    straight = {(a, b): bits for a, b, bits, _ in rows_of(hamming_pairs(codes, layout, radius, turned=turned))}
    shuffled = {
        (min(order[a], order[b]), max(order[a], order[b])): bits
        for a, b, bits, _ in rows_of(hamming_pairs(codes[order], layout, radius, turned=turned))
    }
    assert shuffled == straight
