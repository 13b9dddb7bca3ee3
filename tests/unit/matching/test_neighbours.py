"""Nearest descriptors against a comparison of all pairs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dedupkit.engines.local import LocalEngine
from dedupkit.errors import UsageError
from dedupkit.matching import cells, means, neighbours
from dedupkit.matching.neighbours import NeighbourPairs, find_neighbours, neighbour_pairs
from dedupkit.scratch import scratch_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

LIMIT = 0.6


def unit(rows: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def clustered(count: int, rng: np.random.Generator, *, members: int = 5, spread: float = 0.6) -> NDArray[np.float32]:
    """Unit rows in clusters; two of one cluster are at a cosine of 1 / (1 + spread^2) or so."""
    centres = np.repeat(rng.standard_normal((-(-count // members), 32)), members, axis=0)[:count]
    rows = centres + spread * rng.standard_normal(centres.shape)
    return unit(rows)[rng.permutation(count)].astype(np.float32)


def cosines(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Of all pairs; no descriptor is near nothing."""
    values = np.where(np.isnan(rows).any(axis=1, keepdims=True), 0, rows.astype(np.float64))
    return np.asarray(values @ values.T)


def brute_pairs(rows: NDArray[Any], least: float) -> set[tuple[int, int]]:
    """All pairs a < b; of equal rows only the first, and each of the others with it."""
    first: dict[bytes, int] = {}
    copy_of = [first.setdefault(row.tobytes(), number) for number, row in enumerate(rows)]
    near = cosines(rows) >= least
    pairs = {(int(a), int(b)) for a, b in np.argwhere(np.triu(near, 1)) if copy_of[a] == a and copy_of[b] == b}
    present = cosines(rows).diagonal() > 0
    return pairs | {(copy_of[b], b) for b in range(len(rows)) if copy_of[b] != b and present[b]}


def pairs_of(found: NeighbourPairs) -> list[tuple[int, int]]:
    return list(zip(found.a.tolist(), found.b.tolist(), strict=True))


def assert_same(one: NeighbourPairs, other: NeighbourPairs) -> None:
    for name in ("a", "b", "cosine", "capped"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.recall == other.recall


@pytest.fixture
def small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells as they are in large sets, for a small one."""
    monkeypatch.setattr(cells, "_CELL_ROWS", 25)
    monkeypatch.setattr(cells, "_VISITED_CELLS", 8)
    monkeypatch.setattr(means, "_VISITED_PARTS", 5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("count", [2, 7, 2500])
def test_an_exact_search_finds_what_comparing_all_pairs_finds(dtype: type, count: int) -> None:
    rng = np.random.default_rng(count)
    rows: NDArray[Any] = clustered(count, rng).astype(dtype)
    rows[rng.permutation(count)[: count // 10]] = rows[0]
    rows[rng.permutation(count)[: count // 20]] = 0
    rows[rng.permutation(count)[: count // 20], 3] = np.nan
    found = neighbour_pairs(rows, LIMIT)
    assert pairs_of(found) == sorted(brute_pairs(rows, LIMIT))
    np.testing.assert_allclose(found.cosine, cosines(rows)[found.a, found.b], atol=2e-3)
    assert found.recall is None
    assert found.capped.size == 0
    assert [str(each.dtype) for each in (found.a, found.b, found.cosine)] == ["int64", "int64", "float32"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_pairs_out_of_cells_are_true_and_nearly_all(dtype: type, small_cells: None) -> None:
    rows: NDArray[Any] = clustered(3000, np.random.default_rng(1)).astype(dtype)
    found, expected = neighbour_pairs(rows, LIMIT, exact_below=0), brute_pairs(rows, LIMIT)
    assert len(expected) > 4000
    assert set(pairs_of(found)) <= expected
    assert len(found.a) >= 0.95 * len(expected)
    assert pairs_of(found) == sorted(set(pairs_of(found)))
    np.testing.assert_allclose(found.cosine, cosines(rows)[found.a, found.b], atol=2e-3)
    assert found.recall == pytest.approx(len(found.a) / len(expected), abs=0.02)


def test_the_measured_recall_is_that_of_comparing_all_pairs(small_cells: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_VISITED_CELLS", 1)
    rows = clustered(500, np.random.default_rng(2), spread=0.7)  # fewer than are sampled, so all of them are
    found, expected = neighbour_pairs(rows, LIMIT, exact_below=0), brute_pairs(rows, LIMIT)
    assert 0.3 < len(found.a) / len(expected) < 0.95
    assert found.recall == pytest.approx(len(found.a) / len(expected), abs=1e-12)


def test_parts_with_too_many_cells_take_rows_for_their_means(
    small_cells: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(means, "_MOST_MEANS", 3)
    rows = clustered(2000, np.random.default_rng(9))
    found, expected = neighbour_pairs(rows, LIMIT, exact_below=0), brute_pairs(rows, LIMIT)
    assert set(pairs_of(found)) <= expected
    assert len(found.a) >= 0.8 * len(expected)
    assert found.recall == pytest.approx(len(found.a) / len(expected), abs=0.04)


def test_a_sample_without_neighbours_measures_nothing(small_cells: None) -> None:
    found = neighbour_pairs(np.eye(300, dtype=np.float32), LIMIT, exact_below=0)
    assert len(found.a) == 0
    assert found.recall is not None
    assert np.isnan(found.recall)


@pytest.mark.parametrize("exact_below", [0, 10_000])
def test_threads_scratch_files_and_memory_maps_change_nothing(
    exact_below: int, small_cells: None, tmp_path: Path
) -> None:
    rows = clustered(2000, np.random.default_rng(3), members=40).astype(np.float16)
    rows[5::100] = rows[4]
    mapped = np.memmap(tmp_path / "rows", np.float16, "w+", shape=rows.shape)
    mapped[:] = rows
    straight = neighbour_pairs(rows, LIMIT, max_neighbours=8, exact_below=exact_below)
    assert_same(neighbour_pairs(rows, LIMIT, max_neighbours=8, exact_below=exact_below, threads=3), straight)
    options: dict[str, Any] = {"max_neighbours": 8, "exact_below": exact_below, "work": tmp_path / "work"}
    assert_same(neighbour_pairs(mapped, LIMIT, threads=2, **options), straight)
    np.testing.assert_array_equal(mapped, rows)
    assert list((tmp_path / "work").iterdir()) == []
    assert len(straight.a) > 2000 * 39 / 2 * 0.8


@pytest.mark.parametrize("exact_below", [0, 10_000])
def test_a_list_that_is_too_short_is_made_again(exact_below: int, small_cells: None) -> None:
    rows = np.concatenate([clustered(120, np.random.default_rng(4), members=120, spread=0.3), np.eye(32)])
    rows = rows.astype(np.float32)
    found = neighbour_pairs(rows, LIMIT, max_neighbours=4, exact_below=exact_below)
    expected = brute_pairs(rows, LIMIT)
    assert len(expected) >= 120 * 119 / 2
    assert found.capped.size == 0
    assert set(pairs_of(found)) <= expected
    assert len(found.a) > (0.9 if exact_below == 0 else 0.9999) * len(expected)


def test_no_list_exceeds_the_hard_limit_and_full_ones_are_named() -> None:
    rows = np.concatenate([clustered(100, np.random.default_rng(5), members=100, spread=0.3), -np.eye(32)])
    rows = rows.astype(np.float32)
    found = neighbour_pairs(rows, LIMIT, max_neighbours=4, hard_limit=12)
    similar = cosines(rows) - 3 * np.eye(len(rows))
    nearest = np.argsort(-similar, axis=1)[:, :12]
    expected = {(min(a, b), max(a, b)) for a in range(100) for b in nearest[a].tolist() if similar[a, b] >= LIMIT}
    assert set(pairs_of(found)) == expected
    assert found.capped.tolist() == np.flatnonzero((similar >= LIMIT).sum(axis=1) > 12).tolist()
    assert len(found.capped) == 100


def test_lists_are_not_lengthened_beyond_what_all_together_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_FEW_PAIRS", 0)
    rows = clustered(200, np.random.default_rng(6), members=200, spread=0.3)
    found = neighbour_pairs(rows, LIMIT, max_neighbours=6)
    assert len(found.a) <= 200 * 6
    assert found.capped.tolist() == list(range(200))


def test_hits_dropped_on_the_way_are_those_no_list_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = clustered(2000, np.random.default_rng(9), members=50)
    straight = neighbour_pairs(rows, LIMIT, max_neighbours=8)
    monkeypatch.setattr(neighbours, "_HELD_HITS", 1)
    assert_same(neighbour_pairs(rows, LIMIT, max_neighbours=8), straight)


@pytest.mark.parametrize("exact_below", [0, 10_000])
def test_a_picture_that_stands_5000_times_costs_one_pair_each(exact_below: int, small_cells: None) -> None:
    rows = clustered(5400, np.random.default_rng(7), members=2, spread=0.4).astype(np.float16)
    rows[200:5200] = rows[100]
    found = neighbour_pairs(rows, LIMIT, exact_below=exact_below)
    copies = found.b[found.a == 100]
    assert set(range(200, 5200)) <= set(copies.tolist())
    assert (found.cosine[(found.a == 100) & (found.b >= 200) & (found.b < 5200)] == 1).all()
    assert found.capped.size == 0
    assert len(found.a) < 5400


def test_rows_whose_digests_agree_are_compared_before_they_count_as_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_digests", lambda values: np.zeros(len(values), dtype=np.uint64))
    rows = clustered(60, np.random.default_rng(8))
    assert pairs_of(neighbour_pairs(rows, LIMIT)) == sorted(brute_pairs(rows, LIMIT))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_none_one_and_only_absent_ones_have_no_pairs(count: int) -> None:
    rows = np.zeros((count, 8), dtype=np.float16)
    rows[:1, 0] = 1
    for exact_below in (0, 100):
        found = neighbour_pairs(rows, LIMIT, exact_below=exact_below)
        assert (len(found.a), len(found.b), len(found.cosine), len(found.capped)) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (np.zeros((2, 2)), {}, "descriptors must be float16 or float32 of shape"),
        (np.zeros(2, dtype=np.float32), {}, "descriptors must be float16 or float32 of shape"),
        (np.eye(2, dtype=np.float32), {"min_cosine": 0}, r"min_cosine must be in \(0, 1\], got 0"),
        (np.eye(2, dtype=np.float32), {"min_cosine": 1.2}, r"min_cosine must be in \(0, 1\], got 1.2"),
        (np.eye(2, dtype=np.float32), {"max_neighbours": 0}, "max_neighbours must be in"),
        (np.eye(2, dtype=np.float32), {"max_neighbours": 9, "hard_limit": 8}, "got 9 and 8"),
    ],
)
def test_an_argument_out_of_range_is_named(rows: NDArray[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        neighbour_pairs(rows, **{"min_cosine": LIMIT, **options})


def test_without_faiss_a_large_set_names_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UsageError, match="pip install faiss-cpu"):
        neighbour_pairs(np.eye(8, dtype=np.float32), LIMIT, exact_below=0)


def test_lists_made_in_other_processes_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_LISTED", 4000)  # of 500 rows a task
    rows = clustered(6000, np.random.default_rng(12)).astype(np.float16)
    straight = neighbour_pairs(rows, LIMIT, exact_below=0, max_neighbours=8, hard_limit=64)
    with scratch_files(tmp_path) as scratch:
        mapped = scratch.array(rows.shape, rows.dtype)
        mapped[:] = rows
        given: list[int] = []

        def spread(task: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
            given.append(len(items))
            return LocalEngine(2).map(task, items)

        options: Any = {"exact_below": 0, "max_neighbours": 8, "hard_limit": 64}
        found = find_neighbours(mapped, LIMIT, scratch, spread=spread, **options)
        hits = np.concatenate(list(found.pairs.merged()))
    assert given
    for name, expected in (("a", straight.a), ("b", straight.b), ("cosine", straight.cosine)):
        np.testing.assert_array_equal(hits[name], expected)
    assert (found.recall, found.capped.tolist()) == (straight.recall, straight.capped.tolist())
