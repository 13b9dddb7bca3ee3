"""From pixels to what networks take: the ranges and orders of axes that they were trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Scaling:
    """Mean and standard deviation by colour that a network expects to be taken out of pixels in [0, 1].

    Attributes
    ----------
    mean, std : tuple of float
        For red, green and blue.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scale pictures, shape (n, h, w, 3), to what the network takes in shape (n, 3, h, w)."""
        offset, factor = (np.array(each, np.float32) for each in (self.mean, self.std))
        scaled = (pictures.astype(np.float32) * np.float32(1 / 255) - offset) / factor
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


SCALINGS = {
    "imagenet": Scaling((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # torchvision's and timm's default
    "clip": Scaling((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),  # OpenAI's CLIP
    "half": Scaling((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # pixels in [-1, 1]
    "unit": Scaling((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # pixels in [0, 1]
    "none": Scaling((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),  # pixels in [0, 255]
}
