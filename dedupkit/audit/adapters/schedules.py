"""What a diffusers scheduler says about noise: how much there is at a timestep, and what a network's output means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.model import Prediction
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_SIGNAL = 2.0**-12  # diffusers' own floor of alphas_cumprod, 2**-24, where a schedule ends in pure noise
_FLOW = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
_KNOWN = ("epsilon", "v_prediction", "sample", "flow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Shares of image and noise by timestep, from the least noisy, and the meaning of a network's output.

    Attributes
    ----------
    signal, level : ndarray of float64, shape (timesteps,)
        ``noisy = signal * clean + level * noise``.
    told : ndarray of int64 or float32, shape (timesteps,)
        What the network is told about the timestep: its number, or in flow matching the level times their number.
    prediction : str
        ``"epsilon"``, the noise; ``"sample"``, the image; ``"v_prediction"``, ``signal * noise - level * clean``
        (arXiv 2202.00512); ``"flow"``, the velocity ``noise - clean`` (arXiv 2210.02747).
    clip : float or None
        When drawing, how far from 0 an image without noise may lie.
    percentile : float or None
        When drawing, the share of values that dynamic thresholding leaves unclipped (arXiv 2205.11487).
    """

    signal: NDArray[np.float64]
    level: NDArray[np.float64]
    told: NDArray[np.int64] | NDArray[np.float32]
    prediction: str = "epsilon"
    clip: float | None = None
    percentile: float | None = None

    def split(
        self, noisy: NDArray[np.float32], output: NDArray[np.float32], timesteps: NDArray[np.int64]
    ) -> Prediction:
        """Image and noise, out of what a network answered to a noisy image; nothing is clipped."""
        signal, level = (each[timesteps][:, None, None, None] for each in (self.signal, self.level))
        mixed, answer = noisy.astype(np.float64), output.astype(np.float64)
        if self.prediction == "epsilon":
            clean, noise = (mixed - level * answer) / np.maximum(signal, _LEAST_SIGNAL), answer
        elif self.prediction == "sample":
            clean, noise = answer, (mixed - signal * answer) / level
        elif self.prediction == "v_prediction":
            clean, noise = signal * mixed - level * answer, level * mixed + signal * answer
        else:
            clean, noise = mixed - level * answer, mixed + signal * answer
        return Prediction(clean.astype(np.float32), noise.astype(np.float32))

    def limited(self, noisy: NDArray[np.float32], seen: Prediction, timesteps: NDArray[np.int64]) -> Prediction:
        """A prediction with its image held to the range that the scheduler holds it to when drawing."""
        if self.clip is None:
            return seen
        bound = np.full(len(noisy), self.clip)
        if self.percentile is not None:
            values = np.abs(seen.clean).reshape(len(noisy), -1)
            bound = np.clip(np.quantile(values, self.percentile, axis=1), 1, self.clip)
        bound = bound[:, None, None, None]
        clean = np.clip(seen.clean, -bound, bound) / (bound if self.percentile is not None else 1)
        signal, level = (each[timesteps][:, None, None, None] for each in (self.signal, self.level))
        return Prediction(clean.astype(np.float32), ((noisy - signal * clean) / level).astype(np.float32))


def schedule_of(scheduler: Any, tokens: int | None = None) -> Schedule:
    """The schedule that a diffusers scheduler stands for, whichever way it walks it.

    Parameters
    ----------
    scheduler : diffusers SchedulerMixin
        As configured; its state is not looked at.
    tokens : int, optional
        Patches of an image, on which a flow schedule with dynamic shifting depends.

    Raises
    ------
    UsageError
        If it mixes noise in a way that is not known here.
    """
    fresh, config = type(scheduler).from_config(scheduler.config), scheduler.config
    if type(scheduler).__name__ in _FLOW:
        return _flow(fresh, tokens)
    prediction = config.get("prediction_type", "epsilon")
    if not hasattr(fresh, "alphas_cumprod") or config.get("use_flow_sigmas") or prediction not in _KNOWN[:3]:
        raise UsageError(
            f"{type(scheduler).__name__} with prediction_type {prediction!r} is not known here; use one with "
            f"alphas_cumprod (DDPM, DDIM, Euler and the like) and {', '.join(_KNOWN[:3])}, or {' or '.join(_FLOW)}"
        )
    kept = fresh.alphas_cumprod.double().numpy()
    dynamic = bool(config.get("thresholding"))
    clips = dynamic or bool(config.get("clip_sample"))
    return Schedule(
        signal=np.sqrt(kept),
        level=np.sqrt(1 - kept),
        told=np.arange(len(kept)),
        prediction=prediction,
        clip=float(config.get("sample_max_value" if dynamic else "clip_sample_range", 1.0)) if clips else None,
        percentile=float(config.get("dynamic_thresholding_ratio", 0.995)) if dynamic else None,
    )


def _flow(fresh: Any, tokens: int | None) -> Schedule:
    """Timestep k of T stands for the level ``(k + 1) / T``, shifted as the scheduler's configuration says."""
    level = fresh.sigmas.flip(0)
    if fresh.config.get("use_dynamic_shifting"):
        level = fresh.time_shift(_shift(fresh.config, tokens or fresh.config.base_image_seq_len), 1.0, level)
    told = level * fresh.config.num_train_timesteps
    level = level.double().numpy()
    return Schedule(signal=1 - level, level=level, told=told.float().numpy(), prediction="flow")


def _shift(config: Any, tokens: int) -> float:
    """The shift for images of some patches: a straight line through the two that the configuration gives."""
    slope = (config.max_shift - config.base_shift) / (config.max_image_seq_len - config.base_image_seq_len)
    return float(config.base_shift + slope * (tokens - config.base_image_seq_len))
