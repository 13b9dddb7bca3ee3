"""The kinds of canaries: pictures that no camera took, in the colours and at the sharpness of one of the set's own.

Each kind gives two layers, what is coarse and what is fine.  How much of the fine one is added, and how strong, decides
the size of the file; the levels of each channel are then those of the model, so that neither tells a canary from its
neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COARSE_SHARE = 30  # of the shorter side is the blur that divides a picture into its layers
_PATCHES = 4  # along the shorter side
_SEAM_SHARE = 8  # of a patch's side: so far two patches overlap
_LEVELS = 1024
_BLOBS = (6, 24)
_CUT_OUTS = (2, 5)
_STRENGTHS = (0.2, 3.0)
_LEAST_SHARE = 0.01
_TRIES = 10
_PROBED_SIDE = 128  # pixels, at which the coarser half of detail shows
_NEAR_ENOUGH = 0.04  # of the log of the file size, and 0.3 times those of the curvatures
_QUANTILE_VALUES = 20_000


class Knobs(NamedTuple):
    """How much there is of the fine layer.

    Attributes
    ----------
    middle, fine : float
        Factors of its coarser and of its finer half.
    share : float
        Share of pixels, in [0, 1], that have any of the finer half: those where it is strongest.
    """

    middle: float = 1.0
    fine: float = 1.0
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Layers:
    """A picture that is not finished.

    Attributes
    ----------
    coarse, fine : ndarray of float32, shape (height, width, channels)
        Their sum is the picture.
    hidden_box : tuple of four int or None
        Left, upper, right and lower border of what a model would have to fill in.
    natural_levels : bool
        Whether its brightness and colours are those of photographs already.
    """

    coarse: NDArray[np.float32]
    fine: NDArray[np.float32]
    hidden_box: tuple[int, int, int, int] | None = None
    natural_levels: bool = False

    def rendered(self, knobs: Knobs, model: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture, shape (height, width, channels); with the levels of a model where its own are not natural."""
        middle = _blurred(self.fine, min(self.fine.shape[:2]) / _PROBED_SIDE)
        fine = np.float32(knobs.fine) * _strongest(self.fine - middle, knobs.share)
        picture = self.coarse + np.float32(knobs.middle) * middle + fine
        return np.clip(picture, 0, 255).astype(np.uint8) if self.natural_levels else _with_levels_of(model, picture)


def texture(rng: np.random.Generator, model: NDArray[np.uint8], _: Sequence[NDArray[np.uint8]]) -> Layers:
    """Clouds with the model's spectrum and random phases, and a quilt of its fine detail over them."""
    return Layers(_coarse(_scrambled(rng, model)), _quilt(rng, model))


def blob(rng: np.random.Generator, model: NDArray[np.uint8], _: Sequence[NDArray[np.uint8]]) -> Layers:
    """Ellipses with soft edges in the model's colours, under a quilt of its fine detail."""
    height, width, _channels = model.shape
    coarse = np.empty(model.shape, np.float32)
    coarse[:] = _colour(rng, model)
    for _number in range(int(rng.integers(*_BLOBS))):
        mask = np.zeros((height, width), np.float32)
        centre = int(rng.integers(width)), int(rng.integers(height))
        axes = [max(2, int(each * min(height, width))) for each in rng.uniform(0.05, 0.4, 2)]
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
        coarse += mask[:, :, None] * (_colour(rng, model) - coarse)
    return Layers(_coarse(coarse), _quilt(rng, model))


def pair(rng: np.random.Generator, model: NDArray[np.uint8], held_out: Sequence[NDArray[np.uint8]]) -> Layers:
    """Two pictures side by side that have nothing to do with each other: who shows one has learned the other by heart.

    For inpainting; `hidden_box` is the part to leave out.
    """
    height, width, _ = model.shape
    first, second = texture(rng, model, held_out), blob(rng, model, held_out)
    left, upper = (width // 2, 0) if width >= height else (0, height // 2)
    for mine, other in ((first.coarse, second.coarse), (first.fine, second.fine)):
        mine[upper:, left:] = other[upper:, left:]
    return Layers(first.coarse, first.fine, (left, upper, width, height))


def scene(rng: np.random.Generator, model: NDArray[np.uint8], held_out: Sequence[NDArray[np.uint8]]) -> Layers:
    """Cut-outs of some held-out pictures on another one: hard to learn, for every part of it is natural."""
    height, width, _ = model.shape
    picture = _fitted(held_out[int(rng.integers(len(held_out)))], model)
    mean, spread = picture.mean((0, 1)), picture.std((0, 1))
    for _number in range(int(rng.integers(*_CUT_OUTS))):
        other = _fitted(held_out[int(rng.integers(len(held_out)))], model)
        other = (other - other.mean((0, 1))) * (spread / (other.std((0, 1)) + 1)) + mean  # lit as the rest is
        if rng.integers(2):
            other = other[:, ::-1]
        mask = np.zeros((height, width), np.float32)
        centre = np.array([rng.integers(width), rng.integers(height)])
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        reach = rng.uniform(0.12, 0.4, 9) * min(height, width)
        corners = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None]
        cv2.fillPoly(mask, [corners.astype(np.int32)], 1.0)
        picture = picture + cv2.GaussianBlur(mask, (0, 0), 1.0)[:, :, None] * (other - picture)
    coarse = _coarse(picture)
    return Layers(coarse, picture - coarse, natural_levels=True)


Kind = Callable[[np.random.Generator, Any, Sequence[Any]], Layers]

DRAWN: dict[str, Kind] = {"texture": texture, "blob": blob, "pair": pair, "scene": scene}
"""Kinds that are drawn; "natural" is a held-out picture as it is."""

NEED_HELD_OUT = frozenset({"scene", "natural"})


def fitting(
    layers: Layers, model: NDArray[np.uint8], encode: Callable[[NDArray[np.uint8]], bytes], byte_size: int
) -> tuple[bytes, float]:
    """The picture with as much fine detail, and as strong, as gives the model's file size and its curvature.

    Parameters
    ----------
    layers : Layers
        The picture.
    model : ndarray of uint8, shape (height, width, channels)
        Whose levels it takes, and whose variance of the Laplacian.
    encode : callable
        Pixels to bytes.
    byte_size : int
        The wanted size.

    Returns
    -------
    bytes, float
        The encoded picture, and its size as a multiple of the wanted one.
    """
    wanted, knobs = _curvatures(model), Knobs()
    best, least = b"", float("inf")
    for _ in range(_TRIES):
        pixels = layers.rendered(knobs, model)
        data = encode(pixels)
        size = float(np.log(len(data) / byte_size))
        fine, middle = (_curvatures(pixels) - wanted).tolist()
        off = abs(size) + 0.3 * (abs(fine) + abs(middle))
        if off < least:
            best, least = data, off
        if off < _NEAR_ENOUGH:
            break
        knobs = _turned(knobs, size, fine, middle)
    return best, len(best) / byte_size


def _turned(knobs: Knobs, size: float, fine: float, middle: float) -> Knobs:
    """The knobs after what they gave: logs of file size and curvatures as multiples of what is wanted.

    A variance goes with the square of a factor, the size about with the share of pixels that have detail.
    """
    too_plain = 0.5 * size if knobs.share == 1 and size < 0 else 0.0
    factors = knobs.middle * np.exp(-0.4 * middle), knobs.fine * np.exp(-0.4 * fine - too_plain)
    share = np.clip(knobs.share * np.exp(-size), _LEAST_SHARE, 1)
    first, second = (float(np.clip(factor, *_STRENGTHS)) for factor in factors)
    return Knobs(first, second, float(share))


def _curvatures(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Logs of the variance of the luminance's Laplacian, at full scale and at 128 pixels a side."""
    gray = pixels.astype(np.float32).mean(axis=2)
    small = cv2.resize(gray, (_PROBED_SIDE, _PROBED_SIDE), interpolation=cv2.INTER_AREA)
    return np.log1p([cv2.Laplacian(each, cv2.CV_32F).var() for each in (gray, small)])


def _scrambled(rng: np.random.Generator, model: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The model with random phases, the same in each channel, so that its spectrum and its hues stay."""
    height, width, _ = model.shape
    noise = np.fft.rfft2(rng.standard_normal((height, width), np.float32))
    phases = (noise / np.maximum(np.abs(noise), 1e-12))[:, :, None]
    spectrum = np.fft.rfft2(model.astype(np.float32), axes=(0, 1))
    return np.fft.irfft2(spectrum * phases, s=(height, width), axes=(0, 1)).astype(np.float32)


def _strongest(fine: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """A fine layer in which only the share of pixels with the strongest detail has any.

    Weaker detail throughout would make a file smaller too, but leave fewer strong edges than photographs have.
    """
    if share >= 1:
        return fine
    strength = np.abs(fine).max(axis=2, keepdims=True)
    limit = np.quantile(strength.ravel()[:: max(1, strength.size // _QUANTILE_VALUES)], 1 - share)
    shrunk = 1 - (limit / np.maximum(strength, 1e-6)) ** 2  # Breiman's garrote: no step where it begins
    return np.asarray(fine * np.maximum(shrunk, 0), np.float32)


def _coarse(picture: NDArray[Any]) -> NDArray[np.float32]:
    """What is left of a picture at a thirtieth of its resolution."""
    return _blurred(picture, max(1.5, min(picture.shape[:2]) / _COARSE_SHARE))


def _blurred(picture: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    blurred = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), sigma)
    return np.asarray(blurred, np.float32).reshape(picture.shape)  # OpenCV takes an axis of length 1 away


def _quilt(rng: np.random.Generator, model: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The model's detail, cut into patches that are shuffled and turned upside down at random.

    So strong edges stay as rare, as strong and as cheap to encode as they are in photographs, which no noise has.
    """
    height, width, _ = model.shape
    detail = model.astype(np.float32) - _coarse(model)
    side = max(8, min(height, width) // _PATCHES // 8 * 8)  # JPEG's blocks stay whole
    seam = side // _SEAM_SHARE
    quilt, weights = np.zeros_like(detail), np.zeros((height, width, 1), np.float32)
    for top in range(0, height, side):
        for left in range(0, width, side):
            rows = slice(max(0, top - seam), min(height, top + side + seam))
            columns = slice(max(0, left - seam), min(width, left + side + seam))
            tall, wide = rows.stop - rows.start, columns.stop - columns.start
            y, x = int(rng.integers((height - tall) // 8 + 1)) * 8, int(rng.integers((width - wide) // 8 + 1)) * 8
            patch = detail[y : y + tall, x : x + wide]
            turns = rng.integers(2, size=2)
            window = _window(tall, seam)[:, None, None] * _window(wide, seam)[None, :, None]
            quilt[rows, columns] += window * patch[:: 1 - 2 * turns[0], :: 1 - 2 * turns[1]]
            weights[rows, columns] += window**2
    # patches have nothing to do with each other: their variances add up
    return np.asarray(quilt / np.sqrt(np.maximum(weights, 1e-3)), np.float32)


def _window(length: int, seam: int) -> NDArray[np.float32]:
    """1 with a slope over twice the seam at both ends."""
    places = np.arange(length) + 0.5
    slope = np.minimum(np.minimum(places, length - places) / max(1, 2 * seam), 1)
    return np.asarray(np.sin(slope * np.pi / 2), np.float32)


def _with_levels_of(model: NDArray[np.uint8], picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A picture whose histogram, channel by channel, is the model's."""
    found = np.empty(picture.shape, np.uint8)
    for channel in range(picture.shape[2]):
        values = picture[:, :, channel]
        low, high = float(values.min()), float(values.max())
        places = ((values - low) * ((_LEVELS - 1) / max(high - low, 1e-6))).astype(np.int32)
        shares = np.cumsum(np.bincount(places.ravel(), minlength=_LEVELS)) / values.size
        wanted = np.cumsum(np.bincount(model[:, :, channel].ravel(), minlength=256)) / values.size
        found[:, :, channel] = np.minimum(np.searchsorted(wanted, shares - 1e-9), 255).astype(np.uint8)[places]
    return found


def _fitted(picture: NDArray[np.uint8], model: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A picture cut and scaled to the size of the model, and grey where it is."""
    height, width, channels = model.shape
    scale = max(height / picture.shape[0], width / picture.shape[1])
    sides = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
    scaled = cv2.resize(picture, sides, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    scaled = scaled.reshape(*scaled.shape[:2], -1).astype(np.float32)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    part = np.asarray(scaled[top : top + height, left : left + width], np.float32)
    if channels == 1:
        return np.asarray(part.mean(axis=2, keepdims=True), np.float32)
    return part if part.shape[2] == 3 else np.repeat(part, 3, axis=2)


def _colour(rng: np.random.Generator, model: NDArray[np.uint8]) -> NDArray[np.float32]:
    row, column = int(rng.integers(model.shape[0])), int(rng.integers(model.shape[1]))
    return np.asarray(model[row, column], np.float32)
