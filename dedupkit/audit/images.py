"""Encoded images in, pixels of a model's size out, cut as training cuts them; and how far images are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import RunError, UsageError
from dedupkit.fingerprints.decode import Decoded, decode
from dedupkit.recipe import Limits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

TILES = 4  # a side: 16 tiles, as in arXiv 2301.13188


def fitted(data: bytes, size: tuple[int, int], limits: Limits | None = None) -> NDArray[np.uint8]:
    """Decode an image and fit it to a model's size: scaled until it covers it, then cut at the centre.

    That is what training scripts do that take square images: the shorter side is scaled, bilinear and antialiased, and
    what sticks out is cut off evenly.

    Parameters
    ----------
    data : bytes
        The encoded image.
    size : tuple of int
        Height and width in pixels, as in `Denoiser.image_size`.
    limits : Limits, optional
        What is refused before it is decoded; by default that of a recipe.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3), RGB
        Upright, transparency composited on white.

    Raises
    ------
    RunError
        If it cannot be decoded, or is larger than the limits.

    Examples
    --------
    >>> from dedupkit.mitigation.encoding import encoded
    >>> data, _ = encoded(np.zeros((20, 30, 3), np.uint8), "png")
    >>> fitted(data, (8, 8)).shape
    (8, 8, 3)
    """
    decoded = decode(data, limits or Limits(), draft=False)
    if not isinstance(decoded, Decoded) or decoded.rgb is None:
        detail = "no pixels" if isinstance(decoded, Decoded) else decoded.detail
        raise RunError(f"an image cannot be decoded: {detail}; leave it out, or raise the limits")
    return covering(decoded.rgb, size)


def covering(image: Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture scaled until it covers a height and width, and cut at the centre."""
    from PIL.Image import Resampling

    height, width = size
    scale = max(height / image.height, width / image.width)
    sides = max(width, int(image.width * scale + 1e-9)), max(height, int(image.height * scale + 1e-9))
    if sides != image.size:
        image = image.resize(sides, Resampling.BILINEAR)
    left, top = round((sides[0] - width) / 2), round((sides[1] - height) / 2)
    return np.asarray(image.convert("RGB").crop((left, top, left + width, top + height)), np.uint8)


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
