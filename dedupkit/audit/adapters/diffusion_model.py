"""A diffusers pipeline as an audit sees it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.adapters.networks import quiet
from dedupkit.audit.adapters.spaces import levels
from dedupkit.audit.diffusion import Drawing, guided
from dedupkit.audit.diffusion import inpaint as filled_in
from dedupkit.audit.model import Prediction
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dedupkit.audit.adapters.networks import Network
    from dedupkit.audit.model import Captions, Denoiser

_STEPS = 50  # of filling in, where none are given
_HIDDEN = 128  # grey, in place of missing pixels: an encoder would see them from afar


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionModel:
    """A pipeline of diffusers that draws, tells its noise, and fills in: `Generator`, `Denoiser` and `Inpainter`.

    Seeds are those of one `torch.Generator` a sample, on the CPU whatever the device.  A sample's image does not depend
    on what else is in a call, up to the rounding of floating-point sums, which may differ with the size of a batch.

    Attributes
    ----------
    kind : str
        The pipeline's class.
    network : Network
        What it does in its own way.
    batch : int
        Samples that go through the network at once.
    steps : int or None
        Steps of filling in; None takes 50.
    resamplings : int
        Times that each step of filling in is taken.
    notes : tuple of str
        What was left off or chosen, in sentences.
    identity : str
        Changes whenever it would draw otherwise; empty where nobody looked.
    """

    kind: str
    network: Network
    batch: int = 8
    steps: int | None = None
    resamplings: int = 5
    notes: tuple[str, ...] = ()
    identity: str = ""

    @property
    def takes_captions(self) -> bool:
        """Whether a caption changes anything."""
        return self.kind not in ("DDPMPipeline", "DDIMPipeline")

    @property
    def timesteps(self) -> int:
        """Number of timesteps in training."""
        return len(self.network.schedule.signal)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of what `encode` takes: of a cascade, those of its first stage."""
        return self.network.space.image_size

    def coefficients(self, timesteps: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Signal and level at some timesteps."""
        return self.network.schedule.signal[timesteps], self.network.schedule.level[timesteps]

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images in the model's space; of an autoencoder's posterior the mean.

        Raises
        ------
        UsageError
            If they are not uint8 of shape (n, *image_size, 3).
        """
        self._check_images(images)
        with _asked():
            return self.network.space.encode(images)

    def decode(self, clean: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The images of what stands in the model's space, shape (n, *image_size, 3)."""
        with _asked():
            return self.network.space.decode(clean)

    def predict(self, noisy: NDArray[np.float32], timesteps: NDArray[np.int64], captions: Captions) -> Prediction:
        """Image and noise in noisy samples, without guidance; nothing is clipped.

        Raises
        ------
        UsageError
            If there are not as many timesteps and captions.
        """
        _check_lengths(noisy=noisy, timesteps=timesteps, captions=captions)
        parts = [self._predicted(noisy[rows], timesteps[rows], captions[rows]) for rows in self._batches(len(noisy))]
        clean, noise = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Prediction(clean, noise)

    def generate(self, captions: Captions, seeds: Sequence[int]) -> NDArray[np.uint8]:
        """One image for each caption and seed, drawn by the pipeline itself with its own scheduler.

        Raises
        ------
        UsageError
            If there are not as many seeds.
        """
        import torch

        _check_lengths(captions=captions, seeds=seeds)
        parts = []
        for rows in self._batches(len(captions)):
            generators = [torch.Generator("cpu").manual_seed(int(seed)) for seed in seeds[rows]]
            with _asked():
                parts.append(levels(self.network.draw(_texts(captions[rows]), generators)))
        return np.concatenate(parts)

    def inpaint(
        self, images: NDArray[np.uint8], missing: NDArray[np.bool_], captions: Captions, seeds: Sequence[int]
    ) -> NDArray[np.uint8]:
        """Fill in by RePaint (arXiv 2201.09865); pixels that are not missing come back unchanged.

        A latent model fills in each place of its grid of which any pixel is missing, 8x8 pixels mostly; missing pixels
        are grey to its encoder, and colour a little of what it makes of the known ones beside them.

        Raises
        ------
        UsageError
            If images are not of `image_size`, or there are not as many of the others.
        """
        self._check_images(images)
        _check_lengths(images=images, missing=missing, captions=captions, seeds=seeds)
        hole = missing[..., None]
        known = self.encode(np.where(hole, np.uint8(_HIDDEN), images))
        how = Drawing(steps=self.steps or _STEPS, noisiness=1.0)
        holes = self.network.space.missing(missing)
        parts = [
            filled_in(
                _Held(self), known[rows], holes[rows], captions[rows], seeds[rows], how, resamplings=self.resamplings
            )
            for rows in self._batches(len(images))
        ]
        return np.where(hole, self.decode(np.concatenate(parts)), images)

    def _predicted(self, noisy: NDArray[np.float32], at: NDArray[np.int64], captions: Captions) -> Prediction:
        import torch

        network = self.network
        with _asked():
            samples = torch.from_numpy(np.ascontiguousarray(noisy, np.float32)).to(network.device, network.dtype)
            told = torch.from_numpy(network.schedule.told[at]).to(network.device)
            answer = network.output(samples, told, _texts(captions))
            output: NDArray[np.float32] = answer[:, : noisy.shape[1]].float().cpu().numpy()  # then comes the variance
        return network.schedule.split(noisy, output, at)

    def _batches(self, count: int) -> Iterator[slice]:
        _check_some(count)
        return (slice(start, start + self.batch) for start in range(0, count, self.batch))

    def _check_images(self, images: NDArray[Any]) -> None:
        _check_some(len(images))
        if images.dtype != np.uint8 or images.shape[1:] != (*self.image_size, 3):
            height, width = self.image_size
            raise UsageError(
                f"{self.kind} takes uint8 images of shape (n, {height}, {width}, 3), got {images.dtype} "
                f"{images.shape}; resize them first"
            )


@dataclass(frozen=True, slots=True)
class _Held:
    """A model as drawing needs it: guided, and its image held to the range that its scheduler holds it to."""

    model: DiffusionModel

    @property
    def timesteps(self) -> int:
        return self.model.timesteps

    @property
    def image_size(self) -> tuple[int, int]:
        return self.model.image_size

    def coefficients(self, timesteps: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.model.coefficients(timesteps)

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.model.encode(images)

    def decode(self, clean: NDArray[np.float32]) -> NDArray[np.uint8]:
        return self.model.decode(clean)

    def predict(self, noisy: NDArray[np.float32], timesteps: NDArray[np.int64], captions: Captions) -> Prediction:
        denoiser: Denoiser = self.model
        seen = guided(denoiser, noisy, timesteps, captions, self.model.network.guidance)
        return self.model.network.schedule.limited(noisy, seen, timesteps)


@contextmanager
def _asked() -> Iterator[None]:
    """While a network is asked: no gradients, no bars, no warnings."""
    import torch

    with torch.no_grad(), quiet():
        yield


def _texts(captions: Captions) -> list[str]:
    return [caption or "" for caption in captions]


def _check_some(count: int) -> None:
    if not count:
        raise UsageError("there must be at least one sample, got none; hand in images or captions")


def _check_lengths(**given: Any) -> None:
    """Check that as many are given of all."""
    lengths = {name: len(each) for name, each in given.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise UsageError(f"as many of all are needed, got {told}; give one each")
