"""Encoded images in, pixels of a model's size out, cut as training cuts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dedupkit.errors import RunError
from dedupkit.fingerprints.decode import Decoded, decode
from dedupkit.recipe import Limits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image


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


def fitted_pixels(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The same of an image that is decoded, shape (height, width, 3); one that has the size stays as it is."""
    from PIL import Image

    return pixels if pixels.shape[:2] == size else covering(Image.fromarray(pixels), size)


def at_size(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Images of any one size, or none, brought to another, shape (n, *size, 3)."""
    if not len(images):
        return np.empty((0, *size, 3), np.uint8)
    return images if images.shape[1:3] == size else np.stack([fitted_pixels(each, size) for each in images])


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
