"""Perceptual hashes of a decoded image: 64-bit pHash and 256-bit PDQ.

Both hashes are linear in the pixels up to their last step, a comparison with a median: filter, decimate,
transform.  Filter and decimation are therefore small dense matrices that depend on the image's height and width
alone; they are made once for each size and applied as two matrix products.  An image that was decoded at a reduced
scale gets the same matrices, with the columns summed that fall on one reduced pixel: the hash stays that of the
full-size image, up to a few bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

PHASH_BITS = 64
PDQ_BITS = 256
_PDQ_GRID = 64
_PHASH_GRID = 32
_SIZES_CACHED = 2048  # matrices of about 100 KB each for photos


@dataclass(frozen=True, slots=True)
class PerceptualHashes:
    """The two perceptual hashes of one image.

    Attributes
    ----------
    phash : int
        64-bit pHash; bit 63 is the DC coefficient, row-major from there.  Its hexadecimal form is imagededup's.
    pdq : bytes
        32 bytes; their hexadecimal form is that of PDQ's reference code.
    pdq_quality : int
        PDQ's gradient measure, in [0, 100]; Meta discards hashes of 49 and below.
    luminance_entropy : float
        Bits, in [0, 5], of the histogram in 32 levels of the 64x64 luminance that PDQ transforms.  Photos have 2.2
        and more, letters, signs and other flat drawings less; their hashes agree by chance.
    """

    phash: int
    pdq: bytes
    pdq_quality: int
    luminance_entropy: float


def perceptual_hashes(
    gray: NDArray[np.uint8] | NDArray[np.float32], full_height: int, full_width: int
) -> PerceptualHashes:
    """Hash a greyscale image that may have been decoded at a reduced scale.

    Parameters
    ----------
    gray : ndarray of uint8 or float32, shape (height, width)
        Luminance (ITU-R 601-2) in [0, 255], at full or reduced scale.
    full_height, full_width : int
        Size in pixels of the image at full scale.

    Returns
    -------
    PerceptualHashes

    Notes
    -----
    PDQ follows Meta's "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (2019); at full
    scale its bits equal those of the reference code.  pHash follows imagededup's ``PHash``.
    """
    height, width = gray.shape
    rows, columns = _filters(full_height, height), _filters(full_width, width)
    half = rows @ gray.astype(np.float32)
    grid = half[:_PDQ_GRID] @ columns[:_PDQ_GRID].T
    thumbnail = half[_PDQ_GRID:] @ columns[_PDQ_GRID:].T
    return PerceptualHashes(
        phash=_phash_of_thumbnail(np.clip(np.rint(thumbnail), 0, 255)),
        pdq=_pdq_of_grid(grid),
        pdq_quality=_pdq_quality(grid),
        luminance_entropy=_luminance_entropy(grid),
    )


def phash_of_image(image: Image.Image) -> int:
    """64-bit pHash of a full-size image, bit for bit that of imagededup's ``PHash``.

    Parameters
    ----------
    image : PIL.Image.Image
        Mode RGB or L.
    """
    from PIL import Image

    thumbnail = image.resize((_PHASH_GRID, _PHASH_GRID), Image.Resampling.LANCZOS).convert("L")
    return _phash_of_thumbnail(np.asarray(thumbnail, dtype=np.float32))


def _phash_of_thumbnail(thumbnail: NDArray[np.float32]) -> int:
    transform = _dct(8, _PHASH_GRID, first=0)
    coefficients = (transform @ thumbnail.astype(np.float64) @ transform.T).ravel()
    bits = coefficients >= np.partition(coefficients[1:], 31)[31]  # the median of 63, without the DC term
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _pdq_of_grid(grid: NDArray[np.float32]) -> bytes:
    transform = _dct(16, _PDQ_GRID, first=1).astype(np.float32)
    coefficients = (transform @ grid @ transform.T).ravel()
    median = np.partition(coefficients, 127)[127]
    return np.packbits((coefficients > median)[::-1]).tobytes()


def _pdq_quality(grid: NDArray[np.float32]) -> int:
    scaled = grid * np.float32(100 / 255)
    gradient = np.abs(np.trunc(scaled[1:] - scaled[:-1])).sum() + np.abs(np.trunc(scaled[:, 1:] - scaled[:, :-1])).sum()
    return min(100, int(gradient / 90))


def _luminance_entropy(grid: NDArray[np.float32]) -> float:
    levels = np.clip(grid, 0, 255).astype(np.uint8).ravel() >> 3
    counts = np.bincount(levels, minlength=32)
    shares = counts[counts > 0] / levels.size
    return max(0.0, float(-(shares * np.log2(shares)).sum()))


@lru_cache(maxsize=_SIZES_CACHED)
def _filters(full: int, reduced: int) -> NDArray[np.float32]:
    """PDQ's filter-and-decimate matrix over pHash's Lanczos one, for an axis of `full` pixels seen as `reduced`."""
    both = np.concatenate([_pdq_filter(full), _lanczos_filter(full)])
    if full != reduced:
        starts = np.searchsorted(np.arange(full) * reduced // full, np.arange(reduced))
        both = np.add.reduceat(both, starts, axis=1)
    return both.astype(np.float32)


def _pdq_filter(full: int) -> NDArray[np.float64]:
    """Two passes of PDQ's box filter, then every 1/64th row: shape (64, full)."""
    window = (full + 2 * _PDQ_GRID - 1) // (2 * _PDQ_GRID)
    reach_right = (window + 2) // 2 - 1
    reach_left = window - reach_right - 1
    at = np.arange(full)
    box = ((at >= at[:, None] - reach_left) & (at <= at[:, None] + reach_right)).astype(np.float64)
    box /= box.sum(axis=1, keepdims=True)
    kept = ((np.arange(_PDQ_GRID) + 0.5) * full / _PDQ_GRID).astype(int)
    return np.asarray(box[kept] @ box)


def _lanczos_filter(full: int) -> NDArray[np.float64]:
    """Pillow's Lanczos resampling to 32 pixels: shape (32, full)."""
    scale = max(full / _PHASH_GRID, 1.0)
    centres = (np.arange(_PHASH_GRID) + 0.5) * full / _PHASH_GRID
    offsets = (np.arange(full) + 0.5 - centres[:, None]) / scale
    weights = np.where(np.abs(offsets) < 3, np.sinc(offsets) * np.sinc(offsets / 3), 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@lru_cache(maxsize=8)
def _dct(count: int, length: int, first: int) -> NDArray[np.float64]:
    """Rows `first` to `first + count - 1` of the DCT-II of `length` points."""
    frequency = np.arange(first, first + count)[:, None]
    return np.asarray(np.cos(np.pi / length * frequency * (np.arange(length) + 0.5)))
