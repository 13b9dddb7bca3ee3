"""What an audit asks of a model: three small protocols, in numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Captions = Sequence[str | None]
"""A caption for each image; None asks the model without one."""


class Prediction(NamedTuple):
    """What a denoiser sees in a noisy image: its two parts, related by ``noisy = signal * clean + level * noise``.

    Attributes
    ----------
    clean, noise : ndarray of float32, shape (n, channels, height, width)
        The image without the noise, and the noise without the image.
    """

    clean: NDArray[np.float32]
    noise: NDArray[np.float32]


@runtime_checkable
class Generator(Protocol):
    """A model that draws images."""

    def generate(self, captions: Captions, seeds: Sequence[int]) -> NDArray[np.uint8]:
        """One image for each caption and seed.

        Parameters
        ----------
        captions : sequence of str or None
            What to draw.
        seeds : sequence of int, in [0, 2**63)
            As many; the same caption and seed give the same image, whatever else is in the call.

        Returns
        -------
        ndarray of uint8, shape (n, height, width, 3), RGB
        """
        ...


@runtime_checkable
class Denoiser(Protocol):
    """A diffusion model looked at from inside, in the space that it works in: pixels or latents.

    Noise is mixed in as ``noisy = signal * clean + level * noise``: diffusion that preserves variance has
    ``signal**2 + level**2 = 1``, flow matching ``signal + level = 1``.

    Attributes
    ----------
    timesteps : int
        Number of timesteps in training; a timestep is in [0, timesteps), and 0 is the least noisy.
    image_size : tuple of int
        Height and width in pixels of the images that it was trained on.
    """

    @property
    def timesteps(self) -> int: ...

    @property
    def image_size(self) -> tuple[int, int]: ...

    def coefficients(self, timesteps: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Signal and level at some timesteps, of their shape, in [0, 1]."""
        ...

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images in the model's space; draws nothing at random.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, *image_size, 3), RGB

        Returns
        -------
        ndarray of float32, shape (n, channels, height, width)
        """
        ...

    def decode(self, clean: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The images of what stands in the model's space, shape (n, *image_size, 3)."""
        ...

    def predict(self, noisy: NDArray[np.float32], timesteps: NDArray[np.int64], captions: Captions) -> Prediction:
        """What the model sees in noisy images; no guidance.

        Parameters
        ----------
        noisy : ndarray of float32, shape (n, channels, height, width)
        timesteps : ndarray of int64, shape (n,)
        captions : sequence of str or None
            None is the unconditional prediction, that of an empty caption.
        """
        ...


@runtime_checkable
class Inpainter(Protocol):
    """A model that fills in what is missing of an image."""

    def inpaint(
        self, images: NDArray[np.uint8], missing: NDArray[np.bool_], captions: Captions, seeds: Sequence[int]
    ) -> NDArray[np.uint8]:
        """Fill in images.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, height, width, 3), RGB
        missing : ndarray of bool, shape (n, height, width)
            Where they are to be filled in; what stands there is not looked at.
        captions : sequence of str or None
        seeds : sequence of int

        Returns
        -------
        ndarray of uint8, shape (n, height, width, 3), RGB
        """
        ...


_WHAT: dict[Any, str] = {Generator: "draw images", Denoiser: "be asked for its noise", Inpainter: "fill in images"}


def can(model: Any, *needed: type) -> bool:
    """Whether a model has what an attack needs."""
    return all(isinstance(model, each) for each in needed)


def require(model: Any, attack: str, *needed: type) -> None:
    """Check that a model has what an attack needs.

    Raises
    ------
    UsageError
        If not; it names what is missing.
    """
    for each in needed:
        if not isinstance(model, each):
            methods = ", ".join(sorted(name for name in vars(each) if not name.startswith("_")))
            raise UsageError(
                f"{attack} needs a model that can {_WHAT[each]}, which {type(model).__name__} cannot: it lacks some of "
                f"{methods}; hand in another adapter, or leave {attack} out"
            )
