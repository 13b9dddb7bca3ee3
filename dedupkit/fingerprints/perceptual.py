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
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

PHASH_BITS = 64
PDQ_BITS = 256
_PDQ_GRID = 64
_PDQ_MIN_SIDE = 5  # the reference code gives smaller images a hash of zeros and quality 0
_PHASH_GRID = 32
_PHASH_SIDE = 8
_SIZES_CACHED = 512
_CACHED_SIDE = 512  # pixels; larger matrices, over 150 KB each, are made anew


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


@dataclass(frozen=True, slots=True)
class HashGrids:
    """What is left of an image before it is transformed: all that its hashes depend on.

    Attributes
    ----------
    pdq : ndarray of float32, shape (64, 64)
        Luminance, filtered and decimated as PDQ does it.
    phash : ndarray of float32, shape (8, 8)
        The lowest frequencies of the luminance, resampled to 32x32 with Lanczos' filter.
    """

    pdq: NDArray[np.float32]
    phash: NDArray[np.float32]


def hash_grids(gray: NDArray[np.uint8] | NDArray[np.float32], full_height: int, full_width: int) -> HashGrids:
    """Reduce a greyscale image, which may have been decoded at a reduced scale, to the grids that are hashed.

    Parameters
    ----------
    gray : ndarray of uint8 or float32, shape (height, width)
        Luminance (ITU-R 601-2) in [0, 255], at full or reduced scale.
    full_height, full_width : int
        Size in pixels of the image at full scale.

    Returns
    -------
    HashGrids
    """
    if min(full_height, full_width) < _PDQ_MIN_SIDE:
        return HashGrids(np.zeros((_PDQ_GRID,) * 2, np.float32), np.zeros((_PHASH_SIDE,) * 2, np.float32))
    height, width = gray.shape
    half = gray.astype(np.float32) @ _filters_across(full_width, width)
    rows = _filters(full_height, height)
    return HashGrids(rows[:_PDQ_GRID] @ half[:, :_PDQ_GRID], rows[_PDQ_GRID:] @ half[:, _PDQ_GRID:])


def hash_all(grids: Sequence[HashGrids]) -> list[PerceptualHashes]:
    """Hash many images at once; each as if it were alone.

    Notes
    -----
    PDQ follows Meta's "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (2019); at full
    scale its bits equal those of the reference code.  pHash follows imagededup's ``PHash``.
    """
    if not grids:
        return []
    large = np.stack([each.pdq for each in grids])
    small = np.stack([each.phash for each in grids])
    return [
        PerceptualHashes(int.from_bytes(phash.tobytes(), "big"), pdq.tobytes(), quality, entropy)
        for phash, pdq, quality, entropy in zip(
            _phash_of(small.reshape(-1, PHASH_BITS)),
            _pdq_of(large),
            _pdq_quality(large).tolist(),
            _luminance_entropy(large).tolist(),
            strict=True,
        )
    ]


def perceptual_hashes(
    gray: NDArray[np.uint8] | NDArray[np.float32], full_height: int, full_width: int
) -> PerceptualHashes:
    """Hash one greyscale image; parameters are those of `hash_grids`."""
    return hash_all([hash_grids(gray, full_height, full_width)])[0]


def phash_of_image(image: Image.Image) -> int:
    """64-bit pHash of a full-size image, bit for bit that of imagededup's ``PHash``.

    Parameters
    ----------
    image : PIL.Image.Image
        Mode RGB or L.
    """
    from PIL import Image

    thumbnail = image.resize((_PHASH_GRID, _PHASH_GRID), Image.Resampling.LANCZOS).convert("L")
    transform = _dct(_PHASH_SIDE, _PHASH_GRID, first=0)
    coefficients = transform @ np.asarray(thumbnail, dtype=np.float64) @ transform.T
    return int.from_bytes(_phash_of(coefficients.reshape(1, PHASH_BITS)).tobytes(), "big")


def _phash_of(coefficients: NDArray[Any]) -> NDArray[np.uint8]:
    """Hashes of coefficients of shape (n, 64): shape (n, 8)."""
    median = np.partition(coefficients[:, 1:], 31, axis=1)[:, 31:32]  # of 63, without the DC term
    return np.packbits(coefficients >= median, axis=1)


def _pdq_of(grids: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Hashes of grids of shape (n, 64, 64): shape (n, 32)."""
    transform = _dct(16, _PDQ_GRID, first=1).astype(np.float32)
    coefficients = (transform @ grids @ transform.T).reshape(-1, PDQ_BITS)
    median = np.partition(coefficients, 127, axis=1)[:, 127:128]
    return np.packbits((coefficients > median)[:, ::-1], axis=1)


def _pdq_quality(grids: NDArray[np.float32]) -> NDArray[np.int64]:
    scaled = grids * np.float32(100 / 255)
    gradient = np.zeros(len(grids))
    for steps in (scaled[:, 1:] - scaled[:, :-1], scaled[:, :, 1:] - scaled[:, :, :-1]):
        np.trunc(steps, out=steps)
        np.abs(steps, out=steps)
        gradient += steps.sum(axis=(1, 2))
    return np.asarray(np.minimum(100, gradient / 90), dtype=np.int64)


def _luminance_entropy(grids: NDArray[np.float32]) -> NDArray[np.float64]:
    levels = np.clip(grids, 0, 255).astype(np.int64).reshape(len(grids), -1)
    levels >>= 3
    levels += 32 * np.arange(len(grids))[:, None]
    shares = np.bincount(levels.ravel(), minlength=32 * len(grids)).reshape(-1, 32) / levels.shape[1]
    return np.asarray(np.abs((shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)))


def _filters(full: int, reduced: int) -> NDArray[np.float32]:
    """PDQ's filter-and-decimate matrix over pHash's resampling and transform, of an axis of `full` pixels.

    Shape (64 + 8, reduced).
    """
    return _kept_filters(full, reduced) if reduced <= _CACHED_SIDE else _new_filters(full, reduced)


def _filters_across(full: int, reduced: int) -> NDArray[np.float32]:
    """The same for the horizontal axis: transposed, and laid out anew, which BLAS takes a quarter less time for."""
    return _kept_filters_across(full, reduced) if reduced <= _CACHED_SIDE else _new_filters(full, reduced).T


@lru_cache(maxsize=_SIZES_CACHED)
def _kept_filters(full: int, reduced: int) -> NDArray[np.float32]:
    return _new_filters(full, reduced)


@lru_cache(maxsize=_SIZES_CACHED)
def _kept_filters_across(full: int, reduced: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(_kept_filters(full, reduced).T)


def _new_filters(full: int, reduced: int) -> NDArray[np.float32]:
    """Both filters are sparse, so the weights of single pixels are computed and summed up where they fall."""
    pdq = _summed(*_pdq_weights(full), _PDQ_GRID, full, reduced)
    lanczos = _summed(*_lanczos_weights(full), _PHASH_GRID, full, reduced)
    return np.concatenate([pdq, _dct(_PHASH_SIDE, _PHASH_GRID, first=0).astype(np.float32) @ lanczos])


def _summed(
    pixels: NDArray[np.int64], weights: NDArray[np.float64], rows: int, full: int, reduced: int
) -> NDArray[np.float32]:
    """The matrix of shape (rows, reduced) of weights of shape (rows, n) for the pixels they belong to."""
    places = np.arange(rows)[:, None] * reduced + np.clip(pixels, 0, full - 1) * reduced // full
    matrix = np.bincount(places.ravel(), weights.ravel(), minlength=rows * reduced)
    return matrix.reshape(rows, reduced).astype(np.float32)


def _pdq_weights(full: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Two passes of PDQ's box filter, then 64 rows of the result.

    A pass averages from `left` pixels before to `right` after, or as many as there are at the edges.
    """
    window = (full + 2 * _PDQ_GRID - 1) // (2 * _PDQ_GRID)
    right = (window + 2) // 2 - 1
    left = window - right - 1
    kept = ((np.arange(_PDQ_GRID) + 0.5) * full / _PDQ_GRID).astype(int)
    second = kept[:, None] + np.arange(-left, right + 1)
    inside = (second >= 0) & (second < full)
    shares = inside / (_covered(kept, left, right, full)[:, None] * _covered(second, left, right, full))
    running = np.concatenate([np.zeros((_PDQ_GRID, 1)), np.cumsum(shares, axis=1)], axis=1)
    # A pixel weighs what the pixels weigh that average over it in the first pass: a range of the second's window.
    reach = np.arange(-2 * left, 2 * right + 1)
    begin, end = np.clip(reach - right + left, 0, window), np.clip(reach + 2 * left + 1, 0, window)
    first = kept[:, None] + reach
    return first, (running[:, end] - running[:, begin]) * ((first >= 0) & (first < full))


def _covered(at: NDArray[np.int64], left: int, right: int, full: int) -> NDArray[np.int64]:
    """How many pixels the filter averages over at each place; 1 outside the image."""
    return np.asarray(np.maximum(np.minimum(at + right, full - 1) - np.maximum(at - left, 0) + 1, 1))


def _lanczos_weights(full: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pillow's Lanczos resampling to 32 pixels."""
    scale = max(full / _PHASH_GRID, 1.0)
    centres = (np.arange(_PHASH_GRID)[:, None] + 0.5) * full / _PHASH_GRID
    pixels = np.floor(centres - 3 * scale).astype(int) + np.arange(int(6 * scale) + 2)
    offsets = np.abs(pixels + 0.5 - centres) / scale
    inside = (offsets < 3) & (pixels >= 0) & (pixels < full)
    weights = np.interp(offsets, *_lanczos_kernel()) * inside
    return pixels, weights / weights.sum(axis=1, keepdims=True)


@lru_cache(maxsize=1)
def _lanczos_kernel() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lanczos' kernel of three lobes as a fine table: sines for every size of image would cost more than the rest."""
    offsets = np.linspace(0, 3, 3 * 1024 + 1)
    return offsets, np.sinc(offsets) * np.sinc(offsets / 3)


@lru_cache(maxsize=8)
def _dct(count: int, length: int, first: int) -> NDArray[np.float64]:
    """Rows `first` to `first + count - 1` of the DCT-II of `length` points."""
    frequency = np.arange(first, first + count)[:, None]
    return np.asarray(np.cos(np.pi / length * frequency * (np.arange(length) + 0.5)))
