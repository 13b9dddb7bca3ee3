"""What can be done with any `Denoiser`: its error, drawing by DDIM, and filling in by RePaint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dedupkit.audit.model import Captions, Denoiser, Prediction

_BATCH = 64


def shared_noise(shape: tuple[int, ...], seed: int, timestep: int, draw: int) -> NDArray[np.float32]:
    """The noise that every sample is mixed with at one timestep in one draw.

    It is the same for all samples and models, so that differences between those are not differences of noise.
    """
    rng = np.random.default_rng([seed, timestep, draw])
    return rng.standard_normal(shape, dtype=np.float32)


def denoising_errors(
    model: Denoiser,
    clean: NDArray[np.float32],
    captions: Captions,
    *,
    timesteps: Sequence[int],
    draws: int = 1,
    seed: int = 0,
    batch: int = _BATCH,
) -> NDArray[np.float64]:
    """How far off a model's prediction of the noise is, sample by sample: the loss it was trained on.

    Parameters
    ----------
    model : Denoiser
        The model.
    clean : ndarray of float32, shape (n, channels, height, width)
        What `Denoiser.encode` made of the images.
    captions : sequence of str or None
        One each.
    timesteps : sequence of int
        Where to look, each in [0, model.timesteps).
    draws : int
        Draws of noise at each.
    seed : int
        Of the noise, which is that of `shared_noise`.
    batch : int
        Samples predicted at once.

    Returns
    -------
    ndarray of float64, shape (n, timesteps, draws)
        Mean squared error over all values of a sample.

    Raises
    ------
    UsageError
        If a timestep is out of range.
    """
    check_timesteps(model, timesteps)
    errors = np.empty((len(clean), len(timesteps), draws))
    for number, timestep in enumerate(timesteps):
        for draw in range(draws):
            noise = shared_noise(clean.shape[1:], seed, timestep, draw)
            for rows in _batches(len(clean), batch):
                noisy, at = mixed(model, clean[rows], noise[None], timestep)
                seen = model.predict(noisy, at, captions[rows]).noise
                errors[rows, number, draw] = np.square(seen.astype(np.float64) - noise).mean(axis=(1, 2, 3))
    return errors


def mixed(
    model: Denoiser, clean: NDArray[np.float32], noise: NDArray[np.float32], timestep: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images with noise mixed in at a timestep, and that timestep once for each."""
    at = np.full(len(clean), timestep, np.int64)
    signal, level = (float(each[0]) for each in model.coefficients(at[:1]))
    noisy: NDArray[np.float32] = (signal * clean + level * noise).astype(np.float32)
    return noisy, at


def check_timesteps(model: Denoiser, timesteps: Sequence[int]) -> None:
    """Check that timesteps are those of a model."""
    for each in timesteps:
        if not 0 <= each < model.timesteps:
            raise UsageError(
                f"timesteps must be in [0, {model.timesteps}), which this model was trained on, got {each}"
            )


def within(model: Denoiser, low: float, high: float, count: int) -> list[int]:
    """Timesteps spread evenly over a window, given in shares of all, each once and ascending."""
    last = model.timesteps - 1
    spread = np.linspace(low * last, high * last, count) if count > 1 else np.array([(low + high) / 2 * last])
    return sorted({round(each) for each in spread.tolist()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How a `Denoiser` is made to draw.

    Parameters
    ----------
    steps : int
        Timesteps visited, spread evenly.
    guidance : float
        Weight of the caption against none, as in classifier-free guidance; 1 is the plain conditional prediction.
    noisiness : float
        Share of DDPM's fresh noise at each step, DDIM's eta, in [0, 1].
    """

    steps: int = 50
    guidance: float = 1.0
    noisiness: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps must be 1 or more, got {self.steps}")
        if not 0 <= self.noisiness <= 1:
            raise UsageError(f"noisiness must be in [0, 1], got {self.noisiness}")

    def timesteps(self, model: Denoiser) -> list[int]:
        """The timesteps visited, from the noisiest down."""
        return within(model, 0, 1, min(self.steps, model.timesteps))[::-1]


def draw(
    model: Denoiser,
    shape: tuple[int, int, int],
    captions: Captions,
    seeds: Sequence[int],
    how: Drawing | None = None,
) -> NDArray[np.float32]:
    """Draw in the model's space (DDIM, arXiv 2010.02502).

    Parameters
    ----------
    model : Denoiser
        The model.
    shape : tuple of int
        Channels, height and width of its space.
    captions, seeds : sequence
        One each.
    how : Drawing, optional
        Steps and guidance.

    Returns
    -------
    ndarray of float32, shape (n, *shape)
        `Denoiser.decode` makes images of it.
    """
    how = how or Drawing()
    generators = [np.random.default_rng(seed) for seed in seeds]
    noisy = _fresh(generators, shape)
    visited = how.timesteps(model)
    for timestep, after in zip(visited, [*visited[1:], None], strict=True):
        noisy = _stepped(model, noisy, timestep, after, captions, how, generators)
    return noisy


def inpaint(
    model: Denoiser,
    known: NDArray[np.float32],
    missing: NDArray[np.bool_],
    captions: Captions,
    seeds: Sequence[int],
    how: Drawing | None = None,
    *,
    resamplings: int = 5,
) -> NDArray[np.float32]:
    """Fill in what is missing with a model that was trained to draw whole images (RePaint, arXiv 2201.09865).

    At each timestep what is known is put in with its share of noise, and the step is taken `resamplings` times, noise
    added again in between, so that both parts come to fit.

    Parameters
    ----------
    model : Denoiser
        The model.
    known : ndarray of float32, shape (n, channels, height, width)
        The images in the model's space; what stands where they are missing is not looked at.
    missing : ndarray of bool, shape (n, height, width)
        Where to fill in, in the model's space.
    captions, seeds : sequence
        One each.
    how : Drawing, optional
        Steps, guidance and noisiness; by default 50, 1 and 1, as in the paper's DDPM.
    resamplings : int
        Times that each step is taken.

    Returns
    -------
    ndarray of float32, shape of `known`
        What is known stands in it unchanged.
    """
    how = how or Drawing(noisiness=1.0)
    generators = [np.random.default_rng(seed) for seed in seeds]
    noisy = _fresh(generators, known.shape[1:])
    hole = missing[:, None]
    visited = how.timesteps(model)
    for timestep, after in zip(visited, [*visited[1:], None], strict=True):
        for again in range(resamplings if after is not None else 1):
            if again:
                noisy = _noised(model, noisy, visited[visited.index(timestep) + 1], timestep, generators)
            kept, _ = mixed(model, known, _fresh(generators, known.shape[1:]), timestep)
            noisy = np.where(hole, noisy, kept)
            noisy = _stepped(model, noisy, timestep, after, captions, how, generators)
    return np.where(hole, noisy, known)


def guided(
    model: Denoiser, noisy: NDArray[np.float32], at: NDArray[np.int64], captions: Captions, guidance: float
) -> Prediction:
    """A prediction with classifier-free guidance (arXiv 2207.12598)."""
    with_caption = model.predict(noisy, at, captions)
    if guidance == 1.0 or all(each is None for each in captions):
        return with_caption
    without = model.predict(noisy, at, [None] * len(captions))
    clean, noise = (
        (plain + guidance * (told - plain)).astype(np.float32)
        for told, plain in zip(with_caption, without, strict=True)
    )
    return type(with_caption)(clean, noise)


def _stepped(
    model: Denoiser,
    noisy: NDArray[np.float32],
    timestep: int,
    after: int | None,
    captions: Captions,
    how: Drawing,
    generators: Sequence[np.random.Generator],
) -> NDArray[np.float32]:
    """One step down; after the last stands what the model takes for clean."""
    at = np.full(len(noisy), timestep, np.int64)
    seen = guided(model, noisy, at, captions, how.guidance)
    if after is None:
        return seen.clean
    (signal, level), (next_signal, next_level) = _coefficients(model, timestep), _coefficients(model, after)
    fresh = 0.0
    if how.noisiness:
        keeps = 1 - (signal / next_signal) ** 2
        fresh = how.noisiness * min(next_level, next_level / level * max(keeps, 0.0) ** 0.5)
    stepped = next_signal * seen.clean + (next_level**2 - fresh**2) ** 0.5 * seen.noise
    if fresh:
        stepped = stepped + fresh * _fresh(generators, noisy.shape[1:])
    return np.asarray(stepped, np.float32)


def _noised(
    model: Denoiser, noisy: NDArray[np.float32], timestep: int, up_to: int, generators: Sequence[np.random.Generator]
) -> NDArray[np.float32]:
    """Noise added, from one timestep up to a noisier one."""
    (signal, level), (higher_signal, higher_level) = _coefficients(model, timestep), _coefficients(model, up_to)
    share = higher_signal / signal
    added = max(higher_level**2 - (share * level) ** 2, 0.0) ** 0.5
    return np.asarray(share * noisy + added * _fresh(generators, noisy.shape[1:]), np.float32)


def _coefficients(model: Denoiser, timestep: int) -> tuple[float, float]:
    signal, level = model.coefficients(np.array([timestep]))
    return float(signal[0]), float(level[0])


def _fresh(generators: Sequence[np.random.Generator], shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.stack([each.standard_normal(shape, dtype=np.float32) for each in generators])


def _batches(count: int, batch: int) -> Iterator[slice]:
    return (slice(start, start + batch) for start in range(0, count, batch))
