"""Encoded images in, pixels with their colour profile out, and the other way round."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dedupkit.errors import RunError
from dedupkit.fingerprints.decode import Decoded, decode
from dedupkit.fingerprints.pillow import opened_image
from dedupkit.sample import Fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.recipe import Limits

_MAX_SIDE = {"jpeg": 65_535, "webp": 16_383, "png": (1 << 31) - 1}  # pixels; the formats' own
_FULL_SCALE = 1 << 17  # a shorter side that no image has


@dataclass(frozen=True, slots=True)
class Opened:
    """An image at full scale.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB, upright, transparency composited on white.
    format : str
        Pillow's name of its encoding in lower case.
    profile : bytes or None
        ICC profile, where it is one of RGB.
    """

    pixels: NDArray[np.uint8]
    format: str
    profile: bytes | None


def opened(data: bytes, limits: Limits, name: str) -> Opened:
    """Decode an image at full scale.

    Parameters
    ----------
    data : bytes
        The encoded image.
    limits : Limits
        What is refused.
    name : str
        What it is called in an error.

    Raises
    ------
    RunError
        If it cannot be decoded, or is larger than the limits.

    Examples
    --------
    >>> from dedupkit.recipe import Limits
    >>> data, _ = encoded(np.zeros((20, 30, 3), np.uint8), "webp")
    >>> opened(data, Limits(), "black").pixels.shape
    (20, 30, 3)
    """
    decoded = decode(data, limits, min_side=_FULL_SCALE, colour=True)
    if isinstance(decoded, Decoded) and decoded.gray.shape != (decoded.height, decoded.width):
        decoded = decode(data, limits, draft=False)  # of very long images the first gives a reduction
    if isinstance(decoded, Fault):
        raise RunError(f"{name} cannot be augmented: {decoded.detail}; leave it out, or raise the limits in the recipe")
    pixels = np.asarray(decoded.colour if decoded.rgb is None else decoded.rgb, dtype=np.uint8)
    return Opened(pixels, decoded.format, _rgb_profile(data))


def encoded(
    pixels: NDArray[np.uint8], format: str, quality: int = 95, source: Opened | None = None
) -> tuple[bytes, str]:
    """Encode pixels.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        RGB.
    format : "same", "jpeg", "png" or "webp"
        "same" is that of `source`, if it is one of the three.  PNG where that is none of them, and for what is larger
        than the format can hold.
    quality : int
        Of JPEG and WebP.
    source : Opened, optional
        Where the pixels come from, whose colour profile they keep.

    Returns
    -------
    bytes, str
        The encoded image, and Pillow's name of its encoding in lower case.
    """
    kind = (source.format if source else "png") if format == "same" else format
    if kind not in _MAX_SIDE or max(pixels.shape) > _MAX_SIDE[kind]:
        kind = "png"
    choices: dict[str, dict[str, Any]] = {
        # 4:2:0 would average noise over four pixels in two of the three channels
        "jpeg": {"quality": quality, "subsampling": "4:4:4"},
        "webp": {"quality": quality, "method": 0},  # pictures with noise: 2.5 times as fast as 4, as large and as near
        "png": {},
    }
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, icc_profile=source.profile if source else None, **choices[kind])
    return buffer.getvalue(), kind


def _rgb_profile(data: bytes) -> bytes | None:
    """The ICC profile; one of CMYK or of grey does not fit pixels that became RGB."""
    with opened_image(data) as image:
        profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile[16:20] == b"RGB " else None
