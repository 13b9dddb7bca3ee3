"""Models whose answers are known: the best denoisers there are of a finite set and of a Gaussian.

Both are exact: what a diffusion model would learn with all the time and width in the world, of its training set (then
it is a lookup table of it) and of the true distribution (then it has memorised nothing).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.audit.diffusion import Drawing, draw
from dedupkit.audit.diffusion import inpaint as filled_in
from dedupkit.audit.model import Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dedupkit.audit.model import Captions

TIMESTEPS = 1000
_BETAS = np.linspace(1e-4, 0.02, TIMESTEPS)
_KEPT = np.cumprod(1 - _BETAS)  # DDPM's linear schedule, arXiv 2006.11239


class PixelSpace:
    """The parts that both share: a linear schedule, and pixels in [-1, 1]."""

    size: int

    @property
    def timesteps(self) -> int:
        return TIMESTEPS

    @property
    def image_size(self) -> tuple[int, int]:
        return self.size, self.size

    def coefficients(self, timesteps: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.sqrt(_KEPT[timesteps]), np.sqrt(1 - _KEPT[timesteps])

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return (images.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2)

    def decode(self, clean: NDArray[np.float32]) -> NDArray[np.uint8]:
        levels = np.rint((clean.clip(-1, 1) + 1) * 127.5)
        return levels.astype(np.uint8).transpose(0, 2, 3, 1)

    def predict(self, noisy: NDArray[np.float32], timesteps: NDArray[np.int64], captions: Captions) -> Prediction:
        raise NotImplementedError

    def generate(self, captions: Captions, seeds: Sequence[int]) -> NDArray[np.uint8]:
        return self.decode(draw(self, (3, *self.image_size), captions, seeds, Drawing(steps=20)))

    def inpaint(
        self, images: NDArray[np.uint8], missing: NDArray[np.bool_], captions: Captions, seeds: Sequence[int]
    ) -> NDArray[np.uint8]:
        how = Drawing(steps=10, noisiness=1.0)
        return self.decode(filled_in(self, self.encode(images), missing, captions, seeds, how, resamplings=2))

    def _split(
        self, noisy: NDArray[np.float32], timesteps: NDArray[np.int64], clean: NDArray[np.float64]
    ) -> Prediction:
        signal, level = (each[:, None, None, None] for each in self.coefficients(timesteps))
        return Prediction(clean.astype(np.float32), ((noisy - signal * clean) / level).astype(np.float32))


@dataclass
class LookupModel(PixelSpace):
    """The best denoiser of a finite set: the mean of its images, each weighed by how likely it was the clean one.

    With a caption it knows the images of that caption alone, if there are any.
    """

    images: NDArray[np.uint8]
    captions: tuple[str, ...] | None = None
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.images.shape[1]
        self._clean = self.encode(self.images).astype(np.float64)

    def predict(self, noisy: NDArray[np.float32], timesteps: NDArray[np.int64], captions: Captions) -> Prediction:
        signal, level = self.coefficients(timesteps)
        clean = np.empty(noisy.shape)
        for row, caption in enumerate(captions):
            known = self._known(caption)
            far = np.square(noisy[row] - signal[row] * known).sum(axis=(1, 2, 3)) / (2 * level[row] ** 2)
            weights = np.exp(far.min() - far)
            clean[row] = np.tensordot(weights / weights.sum(), known, 1)
        return self._split(noisy, timesteps, clean)

    def _known(self, caption: str | None) -> NDArray[np.float64]:
        if caption is None or self.captions is None or caption not in self.captions:
            return self._clean
        return self._clean[[each == caption for each in self.captions]]


@dataclass
class FreshModel(PixelSpace):
    """The best denoiser of the true distribution, independent Gaussian pixels: it knows no image of any set."""

    size: int = 8
    deviation: float = 0.3

    def predict(self, noisy: NDArray[np.float32], timesteps: NDArray[np.int64], captions: Captions) -> Prediction:
        signal, level = (each[:, None, None, None] for each in self.coefficients(timesteps))
        shrink = signal * self.deviation**2 / (signal**2 * self.deviation**2 + level**2)
        return self._split(noisy, timesteps, shrink * noisy)

    def images(self, count: int, seed: int) -> NDArray[np.uint8]:
        """Fresh images of the distribution."""
        values = np.random.default_rng(seed).normal(0, self.deviation, (count, 3, *self.image_size))
        return self.decode(values.astype(np.float32))
