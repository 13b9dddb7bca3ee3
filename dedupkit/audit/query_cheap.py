"""Membership by a handful of questions, none of them drawn at random: SecMI, PIA and PIAN."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.audit.diffusion import mixed
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from dedupkit.audit.model import Captions, Denoiser

    OneBatch = Callable[[NDArray[np.float32], Captions], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecMI:
    """The error of one deterministic step there and back (t-error of SecMI_stat, arXiv 2302.01316).

    A sample is led to timestep ``end - stride`` by DDIM run backwards, taken for one at timestep 0; from there one
    step up to ``end`` and one down again.  The squared distance between where it was and where it comes back to is
    small for a member.

    Timesteps are those of the official code (jinhaoduan/SecMI, ``mia_evals/secmia.py``): strides of 10 from 0, and
    its ``t_sec = 100`` is the upper end, so that what is compared stands at 90 of 1,000; the paper's formula has it
    at t_sec.  SecMI_NNs, which trains a network on the differences, is left out: it needs known members to train on.

    Parameters
    ----------
    end : float
        Upper end, in shares of the schedule, in (0, 1); the official code has 0.1.
    stride : float
        Between timesteps visited, in shares of the schedule; the official code has 0.01.

    Raises
    ------
    UsageError
        If they are out of range.
    """

    end: float = 0.1
    stride: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.stride < self.end < 1:
            raise UsageError(
                f"SecMI's stride and end must be 0 < stride < end < 1, got {self.stride} and {self.end}; "
                f"0.01 and 0.1 are the paper's"
            )

    def timesteps(self, model: Denoiser) -> list[int]:
        """Timesteps visited on the way up, the upper end last; two at least besides 0."""
        stride = max(1, round(self.stride * model.timesteps))
        visited = list(range(0, max(2 * stride, round(self.end * model.timesteps)) + 1, stride))
        if visited[-1] >= model.timesteps:
            raise UsageError(f"SecMI needs more than {visited[-1]} timesteps, got {model.timesteps}; leave it out")
        return visited

    def calls(self, model: Denoiser) -> int:
        """Times that the model is asked for each sample."""
        return len(self.timesteps(model))

    def errors(
        self, model: Denoiser, clean: NDArray[np.float32], captions: Captions, batch: int = 64
    ) -> NDArray[np.float64]:
        """Mean squared t-error of each sample, shape (n,).

        Parameters
        ----------
        model : Denoiser
        clean : ndarray of float32, shape (n, channels, height, width)
            What `Denoiser.encode` made of the images.
        captions : sequence of str or None
            One each.
        batch : int
            Samples predicted at once.
        """
        *below, end = self.timesteps(model)

        def one(rows: NDArray[np.float32], told: Captions) -> NDArray[np.float64]:
            there = rows
            for timestep, target in pairwise(below):
                there = _ddim_step(model, there, told, timestep, target)
            up = _ddim_step(model, there, told, below[-1], end)
            back = _ddim_step(model, up, told, end, below[-1])
            return _mean_power(there - back, 2)

        return _batched(one, clean, captions, batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class PIA:
    """The model's own noise at timestep 0, mixed in and asked for again (PIA and PIAN, arXiv 2305.18355).

    ``mean |e0 - e(signal * x + level * e0, t)| ** power`` with ``e0 = e(x, 0)``: two questions a sample.  As in the
    official code (kong13661/PIA, ``DDPM/components.py``) with its ``lp = 4``, but the mean over all values in place of
    their sum; t = 200 of 1,000 is what the authors of CDI (arXiv 2411.12858) run it with, for the official code tries
    many.

    Parameters
    ----------
    at : float
        Timestep, in shares of the schedule, in (0, 1).
    power : float
        Of the norm.
    normalised : bool
        PIAN: `e0` is scaled so that its mean absolute value is that of unit Gaussian noise, sqrt(2 / pi), as in the
        official code.  (The published equation, and CDI's code after it, has sqrt(pi / 2).)

    Raises
    ------
    UsageError
        If they are out of range.
    """

    at: float = 0.2
    power: float = 4.0
    normalised: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.at < 1:
            raise UsageError(f"PIA's timestep must be a share in (0, 1), got {self.at}; 0.2 is usual")
        if self.power <= 0:
            raise UsageError(f"PIA's power must be above 0, got {self.power}; 4 is the official code's")

    def timestep(self, model: Denoiser) -> int:
        """Where it asks the second time."""
        return max(1, round(self.at * model.timesteps))

    def calls(self, model: Denoiser) -> int:
        """Times that the model is asked for each sample."""
        return 2

    def errors(
        self, model: Denoiser, clean: NDArray[np.float32], captions: Captions, batch: int = 64
    ) -> NDArray[np.float64]:
        """Error of each sample, shape (n,); parameters as for `SecMI.errors`."""

        def one(rows: NDArray[np.float32], told: Captions) -> NDArray[np.float64]:
            first = model.predict(rows, np.zeros(len(rows), np.int64), told).noise
            if self.normalised:
                first = _unit_noise(first)
            noisy, at = mixed(model, rows, first, self.timestep(model))
            return _mean_power(first - model.predict(noisy, at, told).noise, self.power)

        return _batched(one, clean, captions, batch)


def _ddim_step(
    model: Denoiser, noisy: NDArray[np.float32], captions: Captions, timestep: int, target: int
) -> NDArray[np.float32]:
    """One deterministic step of DDIM from a timestep to any other."""
    seen = model.predict(noisy, np.full(len(noisy), timestep, np.int64), captions)
    signal, level = (float(each[0]) for each in model.coefficients(np.array([target])))
    return np.asarray(signal * seen.clean + level * seen.noise, np.float32)


def _unit_noise(noise: NDArray[np.float32]) -> NDArray[np.float32]:
    size = np.abs(noise).mean(axis=(1, 2, 3), keepdims=True)
    return np.asarray(noise / np.maximum(size, np.finfo(np.float32).tiny) * (2 / np.pi) ** 0.5, np.float32)


def _mean_power(values: NDArray[np.float32], power: float) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (np.abs(values.astype(np.float64)) ** power).mean(axis=(1, 2, 3))
    return found


def _batched(one: OneBatch, clean: NDArray[np.float32], captions: Captions, batch: int) -> NDArray[np.float64]:
    parts: Iterator[slice] = (slice(start, start + batch) for start in range(0, len(clean), batch))
    return np.concatenate([one(clean[rows], captions[rows]) for rows in parts])
