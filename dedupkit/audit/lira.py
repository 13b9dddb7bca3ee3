"""LiRA (arXiv 2112.03570): is a sample's loss that of models which saw it, or of models which did not?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.statistics import Share
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from dedupkit.audit.losses import Queries
    from dedupkit.audit.model import Denoiser
    from dedupkit.audit.samples import Samples

_FEW = 64  # models below which a variance of each sample's own is not worth its noise; ours
_LEAST_DEVIATION = 1e-6  # in log error: what float32 rounds predictions by


@dataclass(frozen=True)
class Shadows:
    """Models trained like the one that is attacked, each on a half of the samples that is known.

    Parameters
    ----------
    losses : ndarray of float64, shape (models, samples, queries)
        What `Queries.losses` gives for each, or any loss that is nearly Gaussian; lower speaks for a member.
    inside : ndarray of bool, shape (models, samples)
        Whether a model was trained on a sample, e.g. `HalfSplits.of`.

    Raises
    ------
    UsageError
        If the shapes do not fit, or a loss is not finite.
    """

    losses: NDArray[np.float64] = field(repr=False)
    inside: NDArray[np.bool_] = field(repr=False)

    def __post_init__(self) -> None:
        losses, inside = np.asarray(self.losses, np.float64), np.asarray(self.inside, bool)
        if losses.ndim == 2:
            losses = losses[:, :, None]
        if losses.ndim != 3 or losses.shape[:2] != inside.shape:
            raise UsageError(
                f"shadow losses must have the shape (models, samples, queries) and inside (models, samples), got "
                f"{losses.shape} and {inside.shape}; give both for the same models and samples"
            )
        if not np.isfinite(losses).all():
            raise UsageError("shadow losses must be finite, got some that are not; take logarithms of errors above 0")
        object.__setattr__(self, "losses", losses)
        object.__setattr__(self, "inside", inside)

    def __len__(self) -> int:
        return len(self.losses)

    @classmethod
    def asked(cls, models: Iterable[Denoiser], inside: ArrayLike, samples: Samples, queries: Queries) -> Shadows:
        """Ask shadow models, one after another: an iterator that loads them keeps one in memory at a time.

        Parameters
        ----------
        models : iterable of Denoiser
        inside : array-like of bool, shape (models, samples)
        samples : Samples
            Members and controls of the model that is attacked, in this order.
        queries : Queries
            The same as for the model that is attacked.
        """
        return cls(np.array([queries.losses(model, samples) for model in models]), np.asarray(inside, bool))

    def without(self, model: int) -> Shadows:
        """All but one."""
        return Shadows(np.delete(self.losses, model, axis=0), np.delete(self.inside, model, axis=0))


def likelihood_ratios(
    target: ArrayLike, shadows: Shadows, *, online: bool = True, fixed_variance: bool | None = None
) -> NDArray[np.float64]:
    """Scores of samples after LiRA; a higher one speaks for a member.

    Online: log density of the target's loss among models that saw the sample, less that among models that did not.
    Offline: minus the log of the chance that a model which did not see the sample has a loss as low.  Both are means
    over queries.

    Centres are medians, as in the reference code (mi_lira_2021/plot.py).  Otherwise than there: a fixed variance is
    pooled from deviations around each sample's own mean, for models that saw it and that did not apart, where the
    code has the spread of all scores of all samples, that of models inside for both; and offline takes the one-sided
    chance of the paper, where the code takes the density and so thinks a high loss unlikely too.

    Parameters
    ----------
    target : array-like of float, shape (samples, queries)
        Losses of the model that is attacked.
    shadows : Shadows
        Of the same samples and queries.
    online : bool
        Whether models that saw the sample are looked at.
    fixed_variance : bool, optional
        One variance for all samples, for each query; by default below 64 models.

    Returns
    -------
    ndarray of float64, shape (samples,)

    Raises
    ------
    UsageError
        If a sample has too few models on a side: one, or two with a variance of its own.
    """
    from scipy.stats import norm

    fixed = len(shadows) < _FEW if fixed_variance is None else fixed_variance
    found = np.asarray(target, np.float64).reshape(shadows.losses.shape[1], -1)
    if found.shape != shadows.losses.shape[1:]:
        raise UsageError(f"target must have the shape {shadows.losses.shape[1:]} of each shadow's, got {found.shape}")
    outside = _fitted(shadows, False, fixed)
    if not online:
        return np.asarray(-norm.logcdf(found, *outside).mean(axis=1), np.float64)
    seen = _fitted(shadows, True, fixed)
    return np.asarray((norm.logpdf(found, *seen) - norm.logpdf(found, *outside)).mean(axis=1), np.float64)


def _fitted(shadows: Shadows, inside: bool, fixed: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and deviation of the losses of models that saw a sample, or did not, for each sample and query."""
    chosen = shadows.inside == inside
    counts = chosen.sum(axis=0)
    least = 1 if fixed else 2
    if counts.min() < least:
        raise UsageError(
            f"each sample must be {'in' if inside else 'left out of'} {least} shadow models or more, one is in "
            f"{counts.min()}; draw halves with half_splits{'' if fixed else ', or fix the variance'}"
        )
    losses = np.where(chosen[:, :, None], shadows.losses, np.nan)
    squares = np.square(losses - np.nanmean(losses, axis=0))
    if fixed:
        freedom = max(int((counts - 1).sum()), 1)
        deviation = np.broadcast_to((np.nansum(squares, axis=(0, 1)) / freedom) ** 0.5, losses.shape[1:])
    else:
        deviation = np.nanmean(squares, axis=0) ** 0.5
    return np.nanmedian(losses, axis=0), np.maximum(deviation, _LEAST_DEVIATION)


@dataclass(frozen=True, slots=True)
class CalibratedPoint:
    """What is found at a threshold that was set on shadow models alone, before the target was looked at.

    Attributes
    ----------
    false_positive_rate : float
        That of the threshold among the shadow models' own controls.
    shadow_controls : int
        How many scores set it: of each shadow model, judged by the others, those of samples that it did not see.
    threshold : float
    members, controls : Share
        Of either, who scores above it with the target.  What share of the controls does so shows whether shadows are
        like the target.
    """

    false_positive_rate: float
    shadow_controls: int
    threshold: float
    members: Share
    controls: Share

    @property
    def resolved(self) -> bool:
        """Whether the shadows' controls are enough for this rate: one of them is no more than is allowed."""
        return self.false_positive_rate * self.shadow_controls >= 1 - 1e-9

    def to_json(self) -> dict[str, Any]:
        """All of it, in names and numbers."""
        return {
            "false_positive_rate": self.false_positive_rate,
            "resolved": self.resolved,
            "shadow_controls": self.shadow_controls,
            "threshold": self.threshold,
            "true_positive_rate": self.members.to_json(),
            "controls": self.controls.to_json(),
        }


def shadow_controls(
    shadows: Shadows, *, online: bool = True, fixed_variance: bool | None = None
) -> NDArray[np.float64]:
    """Scores of samples that shadow models did not see, each model judged by the others; none if those are too few.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    fixed = len(shadows) < _FEW if fixed_variance is None else fixed_variance
    held: list[NDArray[np.float64]] = []
    for number in range(len(shadows)):
        others = shadows.without(number)
        sides = [others.inside.sum(axis=0), (~others.inside).sum(axis=0)]
        if min(int(side.min()) for side in (sides if online else sides[1:])) < (1 if fixed else 2):
            return np.empty(0)
        scores = likelihood_ratios(shadows.losses[number], others, online=online, fixed_variance=fixed)
        held.append(scores[~shadows.inside[number]])
    return np.concatenate(held)


def calibrated(
    members: NDArray[np.float64], controls: NDArray[np.float64], held: NDArray[np.float64], rate: float
) -> CalibratedPoint:
    """Members and controls above the threshold that lets a share of the shadows' controls through."""
    threshold = float(np.sort(held)[::-1][int(rate * len(held) + 1e-9)])
    above = [Share(int((scores > threshold).sum()), len(scores)) for scores in (members, controls)]
    return CalibratedPoint(rate, len(held), threshold, *above)
