"""Noise, brightness and their like on pixels, the same for the same seed, key, copy and epoch: all of albumentations.

Crop, mirror, blur, tone, noise, JPEG, in this order: noise after blur, so that it is as strong as was asked.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import UsageError
from dedupkit.hygiene.boxes import blurred
from dedupkit.mitigation.encoding import encoded, opened
from dedupkit.recipe import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from PIL import Image

    from dedupkit.recipe import Augment
    from dedupkit.sinks.base import KeptSample

_MAX_SIGMA, _MAX_CHANGE = 128.0, 0.9  # the recipe's own limits, which repetition must not pass
_TWIN_SIGMA = 1.0  # levels
_BAND_VALUES = 1 << 20  # of noise at a time: ten bytes each while it is drawn
_PARTS = 32  # of a level, between tone and noise, so that rounding comes once and 255 levels of noise fit in int16


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What was drawn for one picture.

    Attributes
    ----------
    noise_sigma : float
        Standard deviation of the noise, in levels of 0-255.
    brightness, contrast : float
        What levels, and distances from the mean level, are multiplied by.
    blur_sigma : float
        Of the blur, in pixels.
    jpeg_quality : int or None
        At which the pixels go through JPEG, if so.
    crop : tuple of float
        Share of each side that is cut away, and how much of that lies left and above, each in [0, 1].
    flipped : bool
        Whether it is mirrored.
    """

    noise_sigma: float = 0.0
    brightness: float = 1.0
    contrast: float = 1.0
    blur_sigma: float = 0.0
    jpeg_quality: int | None = None
    crop: tuple[float, float, float] = (0.0, 0.0, 0.0)
    flipped: bool = False

    def words(self) -> str:
        """What is changed, for people.

        Examples
        --------
        >>> Drawn(noise_sigma=10, brightness=1.08).words()
        'noise 10.0, brightness x1.08'
        """
        parts = {
            f"noise {self.noise_sigma:.1f}": self.noise_sigma > 0,
            f"brightness x{self.brightness:.2f}": self.brightness != 1,
            f"contrast x{self.contrast:.2f}": self.contrast != 1,
            f"blur {self.blur_sigma:.1f} px": self.blur_sigma > 0,
            f"JPEG {self.jpeg_quality}": self.jpeg_quality is not None,
            f"{self.crop[0]:.0%} cut": self.crop[0] > 0,
            "mirrored": self.flipped,
        }
        return ", ".join(words for words, done in parts.items() if done) or "unchanged"


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Changes pictures as a recipe's ``[augment]`` says (Carlini et al. 2023, arXiv 2301.13188).

    Parameters
    ----------
    options : Augment
        What to do, and how far.
    seed : int
        The recipe's.  All chance comes from it and from what a picture is called, so that neither order nor workers
        nor resumption change a byte.
    limits : Limits
        What `materialised` refuses to decode.

    Notes
    -----
    Levels are whole numbers in [0, 255], and what noise or brightness moves out of that range is cut off.  So pixels
    within about four standard deviations of 0 or 255 get less noise than was asked, and on average move inwards: pure
    white becomes darker by 0.4 standard deviations.  Everywhere else mean and variance are what was asked.

    Examples
    --------
    >>> from dedupkit.recipe import Augment
    >>> grey = np.full((300, 300, 3), 128, np.uint8)
    >>> noisy = Augmenter(Augment(noise_sigma=10), seed=7).pixels(grey, "a.jpg")
    >>> round(float(noisy.std()), 1)
    10.0
    """

    options: Augment
    seed: int
    limits: Limits = field(default_factory=Limits)

    def drawn(self, key: str, copy: int = 0, epoch: int | None = None, repetition: int = 1) -> Drawn:
        """What `pixels` does to a picture, whatever it shows; arguments as there."""
        return self._drawn(self._generator(key, copy, epoch), copy, repetition)

    def pixels(
        self, image: NDArray[np.uint8], key: str, copy: int = 0, epoch: int | None = None, repetition: int = 1
    ) -> NDArray[np.uint8]:
        """The picture, changed.

        Parameters
        ----------
        image : ndarray of uint8, shape (height, width, 3)
            RGB; left as it is.
        key : str
            Name of the sample, unique in the set.
        copy : int
            Which of several copies of one picture, from 0.  Two copies always get different noise: where none is
            asked for, those after the first get one level of it.
        epoch : int or None
            Pass over the set, for changes while training; None for those that are written.
        repetition : int
            How often the picture stood in the source.

        Returns
        -------
        ndarray of uint8, shape (height, width, 3)
            Smaller than `image` where the recipe asks for crops.  Takes 2 ms at 400 x 400 for noise and brightness,
            and three times the image in memory.

        Raises
        ------
        UsageError
            If the array is not of this type and shape, holds no pixel, or a number is out of range.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise UsageError(
                f"image must be uint8 of shape (height, width, 3), got {image.dtype} {image.shape}; convert it to RGB"
            )
        rng = self._generator(key, copy, epoch)
        drawn = self._drawn(rng, copy, repetition)
        fine = _toned(_blurred(_flipped(_cropped(image, drawn), drawn), drawn), drawn)
        return _through_jpeg(_noisy(fine, drawn.noise_sigma, rng), drawn)

    def materialised(self, sample: KeptSample, copy: int = 0) -> KeptSample:
        """A sample to be emitted, its image changed and encoded anew.

        Parameters
        ----------
        sample : KeptSample
            As it is kept.  Its `group_size` is the repetition; its `faces` are blurred first.
        copy : int
            Which copy of its picture it is, from 0.

        Returns
        -------
        KeptSample
            With a new image, format, width and height; the sample itself where the recipe changes nothing.  What is
            written is RGB, upright, with the colour profile and without other metadata: transparency is composited on
            white, and of an animation the first frame remains.

        Raises
        ------
        RunError
            If the image cannot be decoded, or is larger than the limits.
        """
        if not self.options.changes_pixels:
            return sample
        source = opened(sample.image, self.limits, sample.key)
        plain = blurred(source.pixels, sample.faces) if sample.faces else source.pixels
        changed = self.pixels(plain, sample.key, copy, repetition=sample.group_size)
        image, kind = encoded(changed, self.options.format, self.options.quality, source)
        height, width, _ = changed.shape
        return replace(sample, image=image, format=kind, width=width, height=height)

    def _generator(self, key: str, copy: int, epoch: int | None) -> np.random.Generator:
        name = json.dumps(["augment/1", self.seed, key, copy, epoch])
        return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(name.encode()).digest())))

    def _drawn(self, rng: np.random.Generator, copy: int, repetition: int) -> Drawn:
        """Always the same number of draws, so that an option does not change what others draw."""
        if copy < 0 or repetition < 1:
            raise UsageError(f"copy must be 0 or more and repetition 1 or more, got {copy} and {repetition}")
        options, (tone, spread, blur, jpeg, share, left, top, flip) = self.options, rng.random(8)
        more = self._repetition_factor(max(repetition, copy + 1))
        sigma = min(options.sigma * more, _MAX_SIGMA)
        low, high = options.jpeg_quality or (0, 0)
        return Drawn(
            noise_sigma=max(sigma, _TWIN_SIGMA) if copy else sigma,
            brightness=1 + min(options.brightness_change * more, _MAX_CHANGE) * (2 * tone - 1),
            contrast=1 + min(options.contrast * more, _MAX_CHANGE) * (2 * spread - 1),
            blur_sigma=options.blur_sigma * blur,
            jpeg_quality=low + int(jpeg * (high - low + 1)) if options.jpeg_quality else None,
            crop=(options.crop_share * share, left, top),
            flipped=bool(flip < options.flip_probability),
        )

    def _repetition_factor(self, times: int) -> float:
        if not self.options.by_repetition:
            return 1.0
        return min(1 + math.log2(times) / 2, self.options.max_repetition_factor)


def before_and_after(samples: Iterable[KeptSample], augmenter: Augmenter) -> Image.Image:
    """A contact sheet: the middle of each picture at full scale, below it what is made of it and how.

    Parameters
    ----------
    samples : iterable of KeptSample
        What to show, five in a row.
    augmenter : Augmenter
        Changes them.

    Returns
    -------
    PIL.Image.Image
        In mode RGB.

    Raises
    ------
    RunError
        If an image cannot be decoded, or is larger than the limits.
    """
    from dedupkit.report.contact_sheet import SIDE, contact_sheet

    before: list[tuple[bytes, str]] = []
    after: list[tuple[bytes, str]] = []
    for sample in samples:
        changed = augmenter.materialised(sample)
        words = augmenter.drawn(sample.key, repetition=sample.group_size).words()
        for side, each, caption in ((before, sample, sample.key), (after, changed, f"after: {words}")):
            pixels = opened(each.image, augmenter.limits, each.key).pixels
            side.append((encoded(_middle(pixels, SIDE), "png")[0], caption))
    shown: list[tuple[bytes, str]] = []
    for start in range(0, len(before), 5):
        row = before[start : start + 5]
        gap = [(_white(), "")] * (5 - len(row) if len(before) > 2 else 0)
        shown += [*row, *gap, *after[start : start + 5], *gap]
    return contact_sheet([image for image, _ in shown], [caption for _, caption in shown])


def _middle(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    top, left = (max(0, (each - side) // 2) for each in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _white() -> bytes:
    return encoded(np.full((1, 1, 3), 255, np.uint8), "png")[0]


def prepare() -> None:
    """Import what changes pixels, once in a process."""
    _operations()


@lru_cache(maxsize=1)
def _operations() -> dict[str, Any]:
    """Albumentations' transforms, of which `apply` is used, with numbers that are drawn here."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or its import asks PyPI for a newer version
    library = import_module("albumentations")
    return {
        "crop": library.Crop(),
        "flip": library.HorizontalFlip(),
        "tone": library.RandomBrightnessContrast(),
        "blur": library.GaussianBlur(),
        "jpeg": library.ImageCompression(),
    }


def _cropped(image: NDArray[np.uint8], drawn: Drawn) -> NDArray[np.uint8]:
    share, left, top = drawn.crop
    if not share:
        return image
    height, width = (max(1, round(each * (1 - share))) for each in image.shape[:2])
    x, y = round(left * (image.shape[1] - width)), round(top * (image.shape[0] - height))
    cropped: NDArray[np.uint8] = _operations()["crop"].apply(image, crop_coords=(x, y, x + width, y + height))
    return cropped


def _flipped(image: NDArray[np.uint8], drawn: Drawn) -> NDArray[np.uint8]:
    return np.asarray(_operations()["flip"].apply(image) if drawn.flipped else image)


def _blurred(image: NDArray[np.uint8], drawn: Drawn) -> NDArray[np.uint8]:
    import cv2

    radius = math.ceil(4 * drawn.blur_sigma)  # what lies beyond is below one level
    if not radius:
        return image
    kernel = cv2.getGaussianKernel(2 * radius + 1, drawn.blur_sigma)
    return np.asarray(_operations()["blur"].apply(image, kernel=kernel), dtype=np.uint8)


def _toned(image: NDArray[np.uint8], drawn: Drawn) -> NDArray[np.int16]:
    """Brightness and contrast; the result in 32nds of a level, as a hundredth more of a dark level is less than one.

    Albumentations cuts off fractions of uint8, which darkens by half a level.  So it gets the 256 levels as float32.
    """
    import cv2

    mean = float(image.mean()) / 255 if drawn.contrast != 1 else 0.0
    levels = np.linspace(0, 1, 256, dtype=np.float32)[:, None, None]
    slope, offset = drawn.brightness * drawn.contrast, drawn.brightness * (1 - drawn.contrast) * mean
    toned = _operations()["tone"].apply(levels, alpha=slope, beta=offset)
    return np.asarray(cv2.LUT(image, np.rint(toned * (255 * _PARTS)).astype(np.int16).reshape(256)), dtype=np.int16)


def _through_jpeg(image: NDArray[np.uint8], drawn: Drawn) -> NDArray[np.uint8]:
    if drawn.jpeg_quality is None:
        return image
    swapped = np.ascontiguousarray(image[:, :, ::-1])  # albumentations hands OpenCV, which takes BGR, what it gets
    artefacts = _operations()["jpeg"].apply(swapped, quality=drawn.jpeg_quality, image_type=".jpg")
    return np.ascontiguousarray(artefacts[:, :, ::-1])


def _noisy(fine: NDArray[np.int16], sigma: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Gaussian noise in every pixel and channel; whole levels, cut off at 0 and 255.

    Not albumentations' GaussNoise: on uint8 images albucore truncates the noise towards zero before it adds it
    (`_prepare_array_value` of 0.0.24), so that 10 levels become sqrt(100 - 2 * 0.5 * 7.98 + 0.33) = 9.6.  Nor
    `Generator.standard_normal`, which takes eight times as long as 16 random bits and a table of quantiles.
    """
    import cv2

    table = _noise_table(sigma)
    noisy = np.empty(fine.shape, np.uint8)
    rows = max(1, _BAND_VALUES // (fine.shape[1] * 3))
    for top in range(0, fine.shape[0], rows):
        band = fine[top : top + rows]
        noise = table.take(_sixteen_bits(rng, band.size)).reshape(band.shape) if sigma else band
        share = 1 / _PARTS if sigma else 0.0
        noisy[top : top + rows] = cv2.addWeighted(band, 1 / _PARTS, noise, share, 0, dtype=cv2.CV_8U)
    return noisy


def _sixteen_bits(rng: np.random.Generator, count: int) -> NDArray[np.uint16]:
    return rng.bit_generator.random_raw(-(-count // 4)).astype("<u8", copy=False).view("<u2")[:count]


@lru_cache(maxsize=1)
def _quantiles() -> NDArray[np.float64]:
    """Quantiles of the standard normal distribution in the middles of 65,536 equal parts; they end at 4.3."""
    upper = np.array([NormalDist().inv_cdf(0.5 + (part + 0.5) / 65536) for part in range(32768)])
    return np.concatenate([-upper[::-1], upper])


@lru_cache(maxsize=32)
def _noise_table(sigma: float) -> NDArray[np.int16]:
    """Noise in 32nds of a level, equally likely, such that rounding it to whole levels leaves the variance asked."""
    low, high = 0.0, sigma + 1
    for _ in range(30):
        middle = (low + high) / 2
        levels = np.rint(np.rint(_quantiles() * (middle * _PARTS)) / _PARTS)
        low, high = (low, middle) if float(np.mean(np.square(levels))) >= sigma**2 else (middle, high)
    return np.rint(_quantiles() * (high * _PARTS)).astype(np.int16)
