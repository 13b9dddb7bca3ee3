"""Distances against their definitions written out, and the search against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from dedupkit.audit.distances import distances, l2, nearest_rows, tiled_l2


def some_images(count: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def test_distances_of_hand_arithmetic() -> None:
    black = np.zeros((1, 8, 8, 3), np.uint8)
    corner = black.copy()
    corner[0, :2, :2] = 255  # one tile of 16
    assert l2(black, corner).tolist() == [0.25]  # sqrt(1 / 16)
    assert tiled_l2(black, corner).tolist() == [1.0]
    assert l2(black, np.full_like(black, 51)) == pytest.approx([0.2])


@pytest.mark.parametrize("side", [4, 8, 16])
def test_the_matrix_is_that_of_all_pairs(side: int) -> None:
    images = some_images(7, side)
    images[3] = images[2]
    expected = np.array([[tiled_l2(a[None], b[None])[0] for b in images] for a in images])
    assert distances(images, images)[1] == pytest.approx(expected, abs=1e-7)


def test_the_nearest_rows_are_those_of_scikit_learn_over_blocks() -> None:
    rng = np.random.default_rng(1)
    rows, queries = rng.integers(0, 256, (20_000, 12)).astype(np.uint8), rng.random((9, 12), np.float32) * 255
    apart, numbers = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(rows).kneighbors(queries)
    found, which = nearest_rows(queries, rows, 4)
    assert np.array_equal(which, numbers)
    assert np.sqrt(found) == pytest.approx(apart, rel=1e-4)


def test_the_largest_cosines_are_found_and_no_more_than_there_are() -> None:
    rows = np.random.default_rng(2).standard_normal((5, 6)).astype(np.float16)
    found, which = nearest_rows(rows[:2].astype(np.float32), rows, 9, by_cosine=True)
    products = rows[:2].astype(np.float32) @ rows.astype(np.float32).T
    assert np.array_equal(which, np.argsort(-products, axis=1))
    assert found.shape == (2, 5)
