"""Pictures that a model is asked about, with what is known of them besides their pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.audit.model import Captions, Denoiser


@dataclass(frozen=True)
class Samples:
    """Pictures with their captions.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, height, width, 3), RGB
        Of the size that the model was trained on.
    captions : sequence of str or None, optional
        One each; by default the model is asked without a caption.
    file_bytes : array-like of int, shape (n,), optional
        Size of each picture's file, if it is known; only looked at to see whether files alone tell members.

    Raises
    ------
    UsageError
        If the images are of another kind, there are none, or captions or sizes are of another number.
    """

    images: NDArray[np.uint8] = field(repr=False)
    captions: Captions | None = field(default=None, repr=False)
    file_bytes: NDArray[np.int64] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        images = np.asarray(self.images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or not len(images):
            raise UsageError(
                f"images must be an array of uint8 of shape (n, height, width, 3), got {images.dtype} of shape "
                f"{images.shape}; stack RGB pictures of one size"
            )
        captions = tuple([None] * len(images) if self.captions is None else self.captions)
        sizes = None if self.file_bytes is None else np.asarray(self.file_bytes, np.int64)
        for name, given in (("captions", captions), ("file_bytes", sizes)):
            if given is not None and len(given) != len(images):
                raise UsageError(f"{name} must be {len(images)}, one for each image, got {len(given)}; give one each")
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "captions", captions)
        object.__setattr__(self, "file_bytes", sizes)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def prompts(self) -> tuple[str | None, ...]:
        """A caption for each image, or None."""
        return tuple(self.captions or ())

    def rows(self, chosen: NDArray[np.int64]) -> Samples:
        """Some of them, by number."""
        sizes = None if self.file_bytes is None else self.file_bytes[chosen]
        return Samples(self.images[chosen], [self.prompts[row] for row in chosen], sizes)

    def encoded(self, model: Denoiser, batch: int) -> NDArray[np.float32]:
        """The pictures in a model's space, some at once: shape (n, channels, height, width)."""
        starts = range(0, len(self), batch)
        return np.concatenate([model.encode(self.images[start : start + batch]) for start in starts])

    def flipped(self) -> Samples:
        """Each picture as in a mirror."""
        return Samples(np.ascontiguousarray(self.images[:, :, ::-1]), self.captions, self.file_bytes)

    def check_size(self, model: Denoiser) -> None:
        """Check that the pictures are of the size that a model was trained on.

        Raises
        ------
        UsageError
            If they are not.
        """
        if self.images.shape[1:3] != tuple(model.image_size):
            (height, width), (rows, columns) = self.images.shape[1:3], model.image_size
            raise UsageError(
                f"images must be {rows} x {columns} pixels, which the model was trained on, got {height} x {width}; "
                f"resize them as for its training"
            )


def pooled(first: Samples, second: Samples) -> Samples:
    """Two sets behind one another; file sizes stay if both have them."""
    sizes = None
    if first.file_bytes is not None and second.file_bytes is not None:
        sizes = np.concatenate([first.file_bytes, second.file_bytes])
    return Samples(np.concatenate([first.images, second.images]), (*first.prompts, *second.prompts), sizes)
