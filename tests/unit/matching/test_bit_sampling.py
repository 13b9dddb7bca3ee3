"""Sampling of bits against a comparison of all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from dedupkit.engines.local import LocalEngine
from dedupkit.matching.bit_sampling import expected_recall, sampled_pairs
from dedupkit.matching.hamming import hamming_pairs, hamming_parts
from dedupkit.matching.runs import unpack
from dedupkit.matching.turns import PDQ, PHASH, HashLayout
from dedupkit.scratch import scratch_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Rows = list[tuple[int, int, int, int]]

LAYOUTS = pytest.mark.parametrize(("layout", "radius"), [(PDQ, 31), (PHASH, 6)], ids=["pdq", "phash"])


def random_codes(layout: HashLayout, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (count, layout.bits // 8), dtype=np.uint8)


def changed(codes: NDArray[np.uint8], bits: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each code with so many of its bits turned round."""
    each = np.unpackbits(codes, axis=1)
    each ^= rng.random(each.shape).argsort(axis=1).argsort(axis=1) < bits
    return np.packbits(each, axis=1)


def turned_by(codes: NDArray[np.uint8], layout: HashLayout, turn: int) -> NDArray[np.uint8]:
    """Codes under a turn, by the signs of the DCT's odd frequencies."""
    bits = np.unpackbits(codes, axis=1)
    grid = (bits[:, ::-1] if layout is PDQ else bits).reshape(-1, layout.side, layout.side)
    odd = ((np.arange(layout.side) + (layout is PDQ)) % 2).astype(np.uint8)
    grid = grid.transpose(0, 2, 1) if turn & 4 else grid
    grid = grid ^ odd[None, None, :] if turn & 1 else grid
    grid = grid ^ odd[None, :, None] if turn & 2 else grid
    flat = grid.reshape(len(codes), -1)
    return np.packbits(flat[:, ::-1] if layout is PDQ else flat, axis=1)


def words_of(codes: NDArray[np.uint8], layout: HashLayout) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    return layout.words(codes), layout.words(layout.transposed(codes))


def share_found(
    layout: HashLayout, distance: int, turn: int, *, turned: bool, pairs: int, rng: np.random.Generator
) -> float:
    """Of so many pairs at a distance, among as many unrelated hashes."""
    codes = random_codes(layout, pairs, rng)
    both = np.concatenate([codes, turned_by(changed(codes, distance, rng), layout, turn)])
    words, transposed = words_of(both, layout)
    a, b = unpack(np.concatenate(list(sampled_pairs(words, transposed if turned else None, distance).merged())))
    return float(((b - a) == pairs).sum() / pairs)


@LAYOUTS
@pytest.mark.parametrize("turned", [True, False])
def test_pairs_are_true_and_nearly_all_that_comparing_all_pairs_finds(
    layout: HashLayout, radius: int, turned: bool, by_comparing_all: Callable[..., Rows]
) -> None:
    rng = np.random.default_rng(radius)
    codes = random_codes(layout, 150, rng)
    near = [changed(codes, bits, rng) for bits in (1, radius - 1, radius, radius + 1)]
    near += [turned_by(changed(codes, radius, rng), layout, turn) for turn in (3, 5)]
    codes = rng.permutation(np.unique(np.concatenate([codes, *near]), axis=0))
    found = hamming_pairs(codes, layout, radius, turned=turned, complete_below=0)
    rows = list(zip(*(each.tolist() for each in (found.a, found.b, found.distance, found.turn)), strict=True))
    expected = by_comparing_all(codes, layout, radius, turned=turned)
    assert rows == sorted(set(rows))
    assert set(rows) <= set(expected)  # distance and turn are exact
    assert len(rows) >= 0.99 * len(expected) > 400


@pytest.mark.parametrize(("distance", "turn"), [(40, 0), (56, 3), (56, 2), (64, 1), (72, 0)])
def test_the_share_found_is_the_expected_one(distance: int, turn: int) -> None:
    share = share_found(PDQ, distance, turn, turned=True, pairs=3000, rng=np.random.default_rng(distance))
    expected = expected_recall(6000, PDQ, distance)
    assert 0.2 < expected < 1
    assert share == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize("turn", [4, 5, 6, 7])
def test_transposed_pairs_are_found_at_least_as_often(turn: int) -> None:
    share = share_found(PDQ, 64, turn, turned=True, pairs=3000, rng=np.random.default_rng(turn))
    assert share >= expected_recall(6000, PDQ, 64) - 0.03


def test_without_turns_the_share_found_is_the_expected_one_too() -> None:
    for layout, distance in ((PDQ, 72), (PHASH, 17)):
        share = share_found(layout, distance, 0, turned=False, pairs=3000, rng=np.random.default_rng(distance))
        expected = expected_recall(6000, layout, distance, turned=False)
        assert 0.2 < expected < 1
        assert share == pytest.approx(expected, abs=0.04)


def test_the_expected_recall_falls_with_distance_and_size_as_the_binomials_say() -> None:
    # 22 of 256 bits are compared at 2^21 hashes: those that a pair at distance 1 differs in are missed by 234 / 256.
    assert expected_recall(1 << 21, PDQ, 1) == pytest.approx(1 - (22 / 256) ** 64)
    assert expected_recall(1 << 21, PDQ, 0) == 1
    by_distance = [expected_recall(10**7, PDQ, distance) for distance in range(32)]
    assert by_distance == sorted(by_distance, reverse=True)
    assert by_distance[31] > 0.9
    assert expected_recall(10**6, PDQ, 31) > 0.98


@LAYOUTS
def test_threads_do_not_change_what_is_found(layout: HashLayout, radius: int) -> None:
    rng = np.random.default_rng(3)
    codes = random_codes(layout, 2000, rng)
    codes = np.concatenate([codes, changed(codes, radius, rng)])
    straight, threaded = (hamming_pairs(codes, layout, radius, complete_below=0, threads=each) for each in (1, 3))
    for name in ("a", "b", "distance", "turn"):
        np.testing.assert_array_equal(getattr(straight, name), getattr(threaded, name))


@LAYOUTS
def test_equal_hashes_are_each_paired_with_the_first(layout: HashLayout, radius: int) -> None:
    codes = random_codes(layout, 500, np.random.default_rng(4))
    codes[100:400] = codes[50]
    found = hamming_pairs(codes, layout, radius, complete_below=0)
    near = found.distance == 0
    assert found.a[near].tolist() == [50] * 300
    assert found.b[near].tolist() == list(range(100, 400))
    assert found.turn[near].tolist() == [0] * 300


def test_a_crowd_of_near_hashes_costs_its_size_and_leaves_none_alone() -> None:
    rng = np.random.default_rng(5)
    crowd = np.unique(changed(np.repeat(random_codes(PDQ, 1, rng), 2000, axis=0), 6, rng), axis=0)
    words, transposed = words_of(crowd, PDQ)
    a, b = unpack(np.concatenate(list(sampled_pairs(words, transposed, 31).merged())))
    partners = np.bincount(np.concatenate([a, b]), minlength=len(crowd))
    assert partners.min() >= 12
    assert len(a) < 64 * 40 * len(crowd)
    assert len(a) < 0.5 * len(crowd) ** 2 / 2  # all of them are within the radius


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("turned", [True, False])
def test_none_and_one_have_no_pairs_and_two_near_ones_have_one(count: int, turned: bool) -> None:
    rng = np.random.default_rng(6)
    code = random_codes(PDQ, 1, rng)
    codes = np.concatenate([code, changed(code, 3, rng)])[:count]
    found = hamming_pairs(codes, PDQ, 31, turned=turned, complete_below=0)
    assert list(zip(found.a, found.b, found.distance, strict=True)) == ([(0, 1, 3)] if count == 2 else [])
    assert found.turn.tolist() == [0] * len(found.a)


def test_from_the_limit_on_bits_are_sampled_and_below_it_the_search_is_complete() -> None:
    codes = np.repeat(random_codes(PDQ, 1, np.random.default_rng(7)), 30, axis=0)
    assert len(hamming_pairs(codes, PDQ, 0, complete_below=31).a) == 30 * 29 // 2
    assert len(hamming_pairs(codes, PDQ, 0, complete_below=30).a) == 29


@pytest.mark.parametrize("turned", [True, False])
def test_a_budget_of_memory_and_files_change_no_pair(turned: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    codes = random_codes(PDQ, 8_000, rng)
    codes[:500] = codes[500:1000]
    codes[2000:2800] = changed(np.repeat(codes[:1], 800, axis=0), 5, rng)  # a crowd, in one slice of each choice
    codes[4000:5000] = changed(codes[6000:7000], 12, rng)
    free = hamming_pairs(codes, PDQ, 24, turned=turned, complete_below=0)
    with scratch_files(tmp_path) as scratch:
        parts = list(
            hamming_parts(codes, PDQ, 24, turned=turned, complete_below=0, threads=2, memory=1, scratch=scratch)
        )
    bounded = type(free).joined(parts)
    assert len(free.a) > 5000
    for name in ("a", "b", "distance", "turn"):
        np.testing.assert_array_equal(getattr(bounded, name), getattr(free, name))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("memory", [None, 1 << 20])
def test_slices_searched_in_other_processes_give_the_same(memory: int | None, tmp_path: Path) -> None:
    codes = random_codes(PDQ, 20_000, np.random.default_rng(13))
    codes[10_000:12_000] = changed(codes[:2000], 10, np.random.default_rng(14))
    straight = hamming_pairs(codes, PDQ, 20, complete_below=0)
    assert len(straight.a) == 2000
    with scratch_files(tmp_path) as scratch:
        spread = LocalEngine(2).map
        parts = hamming_parts(codes, PDQ, 20, complete_below=0, memory=memory, scratch=scratch, spread=spread)
        found = type(straight).joined(list(parts))
    for name in ("a", "b", "distance", "turn"):
        np.testing.assert_array_equal(getattr(found, name), getattr(straight, name))
