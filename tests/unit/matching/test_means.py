"""Means in two steps: what is looked up is what comparing with all means of the parts looked into gives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dedupkit.matching import means
from dedupkit.matching.means import Means
from dedupkit.scratch import Scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray


def unit_rows(count: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, 24)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.fixture
def made() -> tuple[Means, NDArray[np.float32]]:
    rows = unit_rows(6000, 0)
    with ThreadPoolExecutor(2) as pool:
        return Means.of(rows.astype(np.float16), np.arange(len(rows)), 300, 7, pool, Scratch()), rows


@pytest.mark.parametrize("visited", [3, 8, 1000])
def test_the_nearest_are_those_of_comparing_all_in_the_nearest_parts(
    made: tuple[Means, NDArray[np.float32]], visited: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, rows = made
    monkeypatch.setattr(means, "_VISITED_PARTS", visited)
    part = np.repeat(np.arange(len(found.rough)), np.diff(found.starts))
    expected = []
    for row in rows[:300]:
        parts = np.argsort(-(found.rough @ row))[:visited]
        likeness = np.where(np.isin(part, parts), found.fine @ row, -2)
        expected.append(np.argsort(-likeness)[:20])
    assert (found.nearest(rows[:300], 20) == np.array(expected)).mean() > 0.999  # equal ones in another order


def test_where_the_parts_have_fewer_means_the_rest_is_minus_one(made: tuple[Means, NDArray[np.float32]]) -> None:
    found, rows = made
    nearest = found.nearest(rows[:50], len(found.fine) + 5)
    assert (nearest[:, : len(found.fine)] >= 0).sum() >= 50
    assert (nearest[:, -5:] == -1).all()
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in nearest)


def test_a_mean_is_nearest_to_itself_and_no_point_gives_nothing(made: tuple[Means, NDArray[np.float32]]) -> None:
    found, _ = made
    lengths = np.linalg.norm(found.fine, axis=1)
    assert np.allclose(lengths, 1, atol=1e-3)
    assert (found.nearest(found.fine, 1)[:, 0] == np.arange(len(found.fine))).mean() > 0.98  # a border may part them
    assert found.nearest(found.fine[:0], 4).shape == (0, 4)
