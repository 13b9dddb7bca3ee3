"""How far apart images are, pixel by pixel: by these distances Carlini et al. 2023 (arXiv 2301.13188) define copies."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TILES = 4
"""Tiles along each side: 16 in all, as in section 4.2.1 of the paper."""
_BLOCK = 8192


def l2(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Root of the mean squared difference of levels in [0, 1], image by image.

    Parameters
    ----------
    a, b : ndarray of uint8, shape (n, height, width, 3)
        One of them may hold a single image.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 1].
    """
    gap = (a.astype(np.float32) - b.astype(np.float32)) / 255
    return np.asarray(np.sqrt(np.square(gap).mean(axis=(1, 2, 3), dtype=np.float64)))


def tiled_l2(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The largest `l2` of 16 tiles, image by image: images that are alike in most places only are far apart."""
    found = [l2(a[:, rows, columns], b[:, rows, columns]) for rows, columns in _tiles(a.shape[1], a.shape[2])]
    return np.asarray(np.max(found, axis=0))


def nearest_rows(
    queries: NDArray[np.float32], rows: NDArray[np.generic], k: int, *, by_cosine: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The nearest rows of a large table, exactly: squared Euclidean distances, or inner products.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, dimensions)
    rows : ndarray of a type that float32 holds, shape (m, dimensions)
        May be mapped from a file; it is read once, 8,192 rows at a time.
    k : int
        How many; fewer where there are fewer rows.
    by_cosine : bool
        Take the largest inner products, of rows of length 1.

    Returns
    -------
    values : ndarray of float32, shape (n, k)
    numbers : ndarray of int64, shape (n, k)
        Of the rows, nearest first.
    """
    import faiss

    k = min(k, len(rows))
    metric = faiss.METRIC_INNER_PRODUCT if by_cosine else faiss.METRIC_L2
    values = np.empty((len(queries), 0), np.float32)
    numbers = np.empty((len(queries), 0), np.int64)
    for start in range(0, len(rows), _BLOCK):
        block = np.ascontiguousarray(rows[start : start + _BLOCK], np.float32)
        near, which = faiss.knn(np.ascontiguousarray(queries, np.float32), block, min(k, len(block)), metric=metric)
        values, numbers = np.hstack([values, near]), np.hstack([numbers, which + start])
        order = np.argsort(-values if by_cosine else values, axis=1, kind="stable")[:, :k]
        values, numbers = np.take_along_axis(values, order, 1), np.take_along_axis(numbers, order, 1)
    return values, numbers


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Tiles that cover an image; of images of fewer pixels a side, as many as there are."""
    rows, columns = (np.linspace(0, side, min(TILES, side) + 1).astype(int).tolist() for side in (height, width))
    for top, bottom in pairwise(rows):
        yield from ((slice(top, bottom), slice(left, right)) for left, right in pairwise(columns))


def distances(
    images: NDArray[np.uint8], others: NDArray[np.uint8], tiles: int = TILES
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far images are from others, pixel by pixel, as a whole and in the tile that is farthest (arXiv 2301.13188).

    The distance is the root of the mean squared difference of pixels in [0, 1], so it does not depend on the size.  The
    farthest tile keeps pictures apart that share nothing but an even ground.

    Parameters
    ----------
    images, others : ndarray of uint8, shape (n, height, width, 3) and (m, height, width, 3)
        Of one size.
    tiles : int
        Tiles a side.

    Returns
    -------
    whole, farthest : ndarray of float64, shape (n, m), in [0, 1]
        Exact: sums of integers.  Takes n * m * height * width operations, and 24 bytes a pixel of either.

    Raises
    ------
    UsageError
        If they are not of one size, or smaller than the tiles.
    """
    if images.shape[1:] != others.shape[1:]:
        raise UsageError(
            f"images must be of one size, got {images.shape[1:]} and {others.shape[1:]}; scale one of them"
        )
    height, width = images.shape[1:3]
    if not 1 <= tiles <= min(height, width):
        raise UsageError(f"tiles must be in [1, {min(height, width)}] for {height} x {width} pixels, got {tiles}")
    whole = np.zeros((len(images), len(others)))
    farthest = np.zeros_like(whole)
    for rows in np.array_split(np.arange(height), tiles):
        for columns in np.array_split(np.arange(width), tiles):
            here = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            squares = _squared(images[:, *here], others[:, *here])
            whole += squares
            farthest = np.maximum(farthest, squares / (len(rows) * len(columns) * 3))
    return np.sqrt(whole / (height * width * 3)) / 255, np.sqrt(farthest) / 255


def _squared(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Sums of squared differences of all pairs."""
    a, b = (each.reshape(len(each), -1).astype(np.float64) for each in (one, other))
    found: NDArray[np.float64] = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T
    return found
