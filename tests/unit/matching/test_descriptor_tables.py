"""Lists of descriptors: exact cosines, and what lists leave out is what is in no cell that was looked into."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dedupkit.matching import descriptor_tables
from dedupkit.matching.cell_means import CellMeans, ListRules
from dedupkit.matching.descriptor_tables import DescriptorQueries, DescriptorTable, Near, exact_cosines, rows_of
from dedupkit.matching.sketches import max_sketch_bits, sketches_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def drawn(count: int, seed: int, numbers: int = 16) -> NDArray[np.float16]:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, numbers)) + 2 * rng.standard_normal((8, numbers))[rng.integers(0, 8, count)]
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float16)


def queries_of(
    rows: NDArray[np.float16], means: CellMeans, limit: int, gone: tuple[int, ...] = ()
) -> DescriptorQueries:
    numbers = np.arange(len(rows))
    absent = np.array(gone, np.int64)
    sketches = sketches_of(rows) if means.trained_at else None
    return DescriptorQueries(rows, numbers, means.visits(rows), sketches, limit, 0.6, absent)


def signs_by_hand(rows: NDArray[np.float16]) -> NDArray[np.bool_]:
    """Signs of sums and differences, in whole numbers: those of float16 are multiples of 2^-24."""
    whole = (rows.astype(np.float64) * 2**24).astype(np.int64)
    signs = np.where(np.random.default_rng(7).random((rows.shape[1], 256)) < 0.5, -1, 1)
    return np.asarray(whole @ signs >= 0)


def by_hand(
    rows: NDArray[np.float16], means: CellMeans, limit: int, gone: tuple[int, ...] = ()
) -> set[tuple[int, int]]:
    """(entry, query) of the nearest earlier rows, in exact fractions, by comparing all."""
    exact = [[Fraction(float(value)) for value in row] for row in rows]
    wanted = set()
    visits, homes, bits = means.visits(rows), means.homes(rows), signs_by_hand(rows)
    for query in range(len(rows)):
        near = []
        for entry in range(query):
            if entry in gone or (visits is not None and homes[entry] not in visits[query]):
                continue
            if means.trained_at and (bits[entry] != bits[query]).sum() > max_sketch_bits(0.6):
                continue
            cosine = sum((x * y for x, y in zip(exact[query], exact[entry], strict=True)), Fraction(0))
            if cosine >= Fraction(0.6):
                near.append((-cosine, entry))
        wanted |= {(entry, query) for _, entry in sorted(near)[:limit]}
    return wanted


@pytest.mark.parametrize("few_rows", [0, 1 << 30])
@pytest.mark.parametrize("alone", [0, 1 << 30])
@pytest.mark.parametrize("limit", [3, 100])
def test_the_nearest_are_those_of_exact_arithmetic(
    few_rows: int, alone: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptor_tables, "_FEW_ROWS", few_rows)
    monkeypatch.setattr(descriptor_tables, "_ALONE", alone)
    monkeypatch.setattr(descriptor_tables, "_DENSE", 1 if limit == 3 else 1 << 30)
    rows = drawn(70, 1)
    trained = CellMeans.trained(drawn(400, 1), 8, 400, ListRules(visited_cells=3))
    no_lists = CellMeans.trained(rows, 1, 400, ListRules())
    for means in (CellMeans.none(), no_lists, trained):
        tables = [
            DescriptorTable.of(np.arange(start, stop), rows[start:stop], means) for start, stop in ((0, 30), (30, 70))
        ]
        queries = queries_of(rows, means, limit, gone=(7, 60))
        near = Near.joined([table.near(queries) for table in tables]).nearest(limit)
        found = set(zip(near.entry.tolist(), near.query.tolist(), strict=True))
        assert found == by_hand(rows, means, limit, gone=(7, 60))
        merged = DescriptorTable.merged(tables).near(queries)
        assert set(zip(merged.entry.tolist(), merged.query.tolist(), strict=True)) == found
    assert trained.visits(rows) is not None
    assert no_lists.visits(rows) is None


def test_sketches_pass_nine_in_ten_pairs_at_the_floor_and_few_unrelated_ones() -> None:
    rng = np.random.default_rng(0)
    one = rng.standard_normal((2000, 256))
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    aside = rng.standard_normal((2000, 256))
    aside -= (aside * one).sum(axis=1, keepdims=True) * one
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    passed = {}
    for cosine in (0.0, 0.5, 0.6, 0.7):
        other = (cosine * one + (1 - cosine**2) ** 0.5 * aside).astype(np.float16)
        bits = np.bitwise_count(sketches_of(one.astype(np.float16)) ^ sketches_of(other)).sum(axis=0)
        passed[cosine] = (bits <= max_sketch_bits(0.5)).mean()
    assert 0.87 < passed[0.5] < 0.93
    assert passed[0.6] > 0.99
    assert passed[0.7] == 1
    assert passed[0.0] < 0.001


def test_cosines_are_exact_in_any_order_of_addition() -> None:
    rows = drawn(40, 2, numbers=256)
    cosine = exact_cosines(rows, rows[::-1], np.arange(40), np.arange(40))
    for row in range(40):
        products = [Fraction(float(x)) * Fraction(float(y)) for x, y in zip(rows[row], rows[39 - row], strict=True)]
        assert Fraction(cosine[row]) == sum(products, Fraction(0))
    order = np.random.default_rng(0).permutation(256)
    assert (exact_cosines(rows[:, order], rows[::-1][:, order], np.arange(40), np.arange(40)) == cosine).all()


def test_rows_are_found_by_their_entries() -> None:
    rows = drawn(60, 3)
    rows[5] = 0
    means = CellMeans.trained(rows, 4, 60, ListRules())
    tables = [
        DescriptorTable.of(np.arange(0, 30), rows[:30], means),
        DescriptorTable.of(np.arange(40, 70), rows[30:], means),
    ]
    wanted = np.array([69, 0, 5, 35, 41])
    assert (rows_of(tables, wanted) == np.stack([rows[59], rows[0], rows[5], 0 * rows[0], rows[31]])).all()
