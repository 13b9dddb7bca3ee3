"""Pictures as a model sees them: decoded, brought to its size as text-to-image training does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dedupkit.fingerprints.decode import decode
from dedupkit.sample import Fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.recipe import Limits


def fitted(data: bytes, size: tuple[int, int], limits: Limits | None = None) -> NDArray[np.uint8] | Fault:
    """Decode an image and bring it to a size: the shorter side resized, the middle kept.

    Parameters
    ----------
    data : bytes
        The encoded image.
    size : tuple of int
        Height and width in pixels.
    limits : Limits, optional
        Bytes and pixels that are refused before any decoding.

    Returns
    -------
    ndarray of uint8, shape (*size, 3), RGB, or Fault
        An image that has the size already stays as it is.  Never raises for what the bytes hold.
    """
    from dedupkit.recipe import Limits

    decoded = decode(data, limits or Limits(), min_side=max(size), colour=True)
    if isinstance(decoded, Fault):
        return decoded
    pixels = decoded.colour if decoded.rgb is None else np.asarray(decoded.rgb)
    return fitted_pixels(np.asarray(pixels, np.uint8), size)


def fitted_pixels(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image of any size brought to a size: scaled until it covers it, the middle kept."""
    import cv2

    height, width = size
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    if scale != 1:
        wanted = max(width, round(pixels.shape[1] * scale)), max(height, round(pixels.shape[0] * scale))
        pixels = np.asarray(
            cv2.resize(pixels, wanted, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8
        )
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])
