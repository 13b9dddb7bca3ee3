"""The spaces that diffusion models work in, and the way from images to them and back."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow converts to mode L


class Space(Protocol):
    """Where a model works."""

    @property
    def image_size(self) -> tuple[int, int]: ...

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]: ...

    def decode(self, clean: NDArray[np.float32]) -> NDArray[np.uint8]: ...

    def missing(self, pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which places of the space are missing where some pixels are."""
        ...


@dataclass(frozen=True, slots=True)
class PixelSpace:
    """Pixels in [-1, 1].

    Attributes
    ----------
    image_size : tuple of int
        Height and width.
    channels : int
        3, or 1 for a model of grey images: of colours their luminance is taken.
    """

    image_size: tuple[int, int]
    channels: int = 3

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Shape (n, channels, height, width)."""
        values = signed(images)
        if self.channels == 1:
            values = np.tensordot(values, _LUMINANCE, (1, 0))[:, None].astype(np.float32)
        return values

    def decode(self, clean: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Shape (n, height, width, 3); what lies outside [-1, 1] is clipped."""
        return levels(clean.transpose(0, 2, 3, 1) / 2 + 0.5)

    def missing(self, pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The same."""
        return pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentSpace:
    """What an autoencoder makes of images, as a diffusion model is trained on it.

    Attributes
    ----------
    image_size : tuple of int
        Height and width in pixels.
    autoencoder : AutoencoderKL or VQModel
        Of the former the mean of the posterior is taken; of the latter the latents before they are quantised.
    factor : int
        Pixels to a side of a place in the grid of latents.
    scale, shift : float or ndarray, shape (1, channels, 1, 1)
        ``latents = (encoded - shift) * scale``.
    decoding : mapping of str to object
        Options of the autoencoder's `decode`.
    batch : int
        Images at once.
    """

    image_size: tuple[int, int]
    autoencoder: Any
    factor: int
    scale: Any = 1.0
    shift: Any = 0.0
    decoding: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 8

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Shape (n, channels, height / factor, width / factor)."""
        import torch

        parts = []
        for start in range(0, len(images), self.batch):
            values = torch.from_numpy(signed(images[start : start + self.batch]))
            with torch.no_grad(), _in_range(self.autoencoder) as model:
                found = model.encode(values.to(model.device, model.dtype))
            latents = found.latent_dist.mode() if hasattr(found, "latent_dist") else found.latents
            parts.append((latents.float().cpu().numpy() - self.shift) * self.scale)
        return np.concatenate(parts).astype(np.float32)

    def decode(self, clean: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Shape (n, height, width, 3)."""
        import torch

        parts = []
        for start in range(0, len(clean), self.batch):
            encoded = (clean[start : start + self.batch] / self.scale + self.shift).astype(np.float32)
            with torch.no_grad(), _in_range(self.autoencoder) as model:
                found = model.decode(torch.from_numpy(encoded).to(model.device, model.dtype), **self.decoding).sample
            parts.append(levels(found.float().cpu().numpy().transpose(0, 2, 3, 1) / 2 + 0.5))
        return np.concatenate(parts)

    def missing(self, pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A place of the grid is missing where any of its pixels is."""
        n, height, width = pixels.shape
        grid = pixels.reshape(n, height // self.factor, self.factor, width // self.factor, self.factor)
        return np.asarray(grid.any(axis=(2, 4)))


def signed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images in [-1, 1], shape (n, 3, height, width)."""
    return np.ascontiguousarray((images.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2))


def levels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Images out of values in [0, 1], shape (n, height, width, 1 or 3), rounded as diffusers does; grey becomes RGB."""
    found = np.rint(np.clip(values.astype(np.float32), 0, 1) * 255).astype(np.uint8)
    return np.repeat(found, 3, axis=3) if found.shape[3] == 1 else found


@contextmanager
def _in_range(autoencoder: Any) -> Iterator[Any]:
    """The autoencoder, in float32 for a while if its configuration says that it overflows in float16."""
    import torch

    upcast = autoencoder.dtype == torch.float16 and bool(getattr(autoencoder.config, "force_upcast", False))
    try:
        yield autoencoder.to(torch.float32) if upcast else autoencoder
    finally:
        if upcast:
            autoencoder.to(torch.float16)
