"""How sure an audit's answer is: exact intervals, curves at low false positive rates, and what chance would give."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
FALSE_POSITIVE_RATES = (0.001, 0.01)


def percent(share: float) -> str:
    """A share in percent, two digits of it, without the sign.

    Examples
    --------
    >>> percent(1.0), percent(0.176), percent(0.0013), percent(0.0)
    ('100', '18', '0.13', '0')
    """
    value = 100 * share
    return f"{value:.0f}" if value >= 9.95 else f"{value:.2g}"


@dataclass(frozen=True, slots=True)
class Share:
    """A share of some trials, with its exact interval (Clopper and Pearson 1934).

    Parameters
    ----------
    successes, trials : int
        Counts, ``0 <= successes <= trials``.
    confidence : float
        Of the interval, in (0, 1).

    Examples
    --------
    >>> share = Share(0, 20)
    >>> share.value, tuple(round(each, 3) for each in share.interval)
    (0.0, (0.0, 0.168))
    """

    successes: int
    trials: int
    confidence: float = CONFIDENCE

    @property
    def value(self) -> float:
        """The share itself, in [0, 1]; NaN of no trials."""
        return self.successes / self.trials if self.trials else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Its bounds, in [0, 1]; all of that range where there were no trials."""
        if not self.trials:
            return 0.0, 1.0
        from scipy.stats import binomtest

        bounds = binomtest(self.successes, self.trials).proportion_ci(self.confidence, method="exact")
        return float(bounds.low), float(bounds.high)

    def to_json(self) -> dict[str, Any]:
        """Counts, share and interval."""
        low, high = self.interval
        value = self.value if self.trials else None
        return {"successes": self.successes, "trials": self.trials, "share": value, "low": low, "high": high}


@dataclass(frozen=True)
class Curve:
    """How well scores tell members from controls, over all thresholds (a ROC curve).

    Parameters
    ----------
    members, controls : array-like of float, shape (n,) and (m,)
        Scores; a higher one speaks for a member.  Not empty, and finite.

    Raises
    ------
    UsageError
        If there are none, or some are not finite.
    """

    members: NDArray[np.float64] = field(repr=False)
    controls: NDArray[np.float64] = field(repr=False)

    def __post_init__(self) -> None:
        for name in ("members", "controls"):
            values = np.asarray(getattr(self, name), np.float64).ravel()
            if not len(values) or not np.isfinite(values).all():
                raise UsageError(f"{name} must be some finite scores, got {len(values)} with a value that is none")
            object.__setattr__(self, name, values)

    @cached_property
    def points(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """False and true positive rates at each threshold, ascending, from (0, 0) to (1, 1)."""
        thresholds = np.unique(np.concatenate([self.members, self.controls]))[::-1]
        return self._rates(self.controls, thresholds), self._rates(self.members, thresholds)

    @staticmethod
    def _rates(scores: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
        at_least = len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")
        return np.concatenate([[0.0], at_least / len(scores)])

    @cached_property
    def auc(self) -> float:
        """Chance that a member scores above a control, ties half, in [0, 1]."""
        return float(self._placements(self.members, self.controls).mean())

    @cached_property
    def auc_interval(self) -> tuple[float, float]:
        """Its interval after DeLong et al. 1988, on the logit scale; all of [0, 1] where all scores are alike."""
        from scipy.stats import norm

        # Where no pair contradicts there is no variance; then no score of the smaller side would be misplaced with a
        # chance of 0.95 if the truth were no lower than the bound.
        auc, n, m = self.auc, len(self.members), len(self.controls)
        by_member = self._placements(self.members, self.controls)
        by_control = 1 - self._placements(self.controls, self.members)
        variance = sum(float(each.var(ddof=1)) / len(each) for each in (by_member, by_control) if len(each) > 1)
        inside = min(max(auc, 0.5 / (n * m + 1)), 1 - 0.5 / (n * m + 1))
        if variance == 0 and 0 < auc < 1:
            return 0.0, 1.0
        if variance == 0:
            return (0.05 ** (1 / min(n, m)), 1.0) if auc == 1 else (0.0, 1 - 0.05 ** (1 / min(n, m)))
        half = norm.ppf((1 + CONFIDENCE) / 2) * variance**0.5 / (inside * (1 - inside))
        centre = np.log(inside / (1 - inside))
        low, high = (float(1 / (1 + np.exp(-each))) for each in (centre - half, centre + half))
        return low, high

    @staticmethod
    def _placements(scores: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
        """For each score the share of the others below it, ties half."""
        ordered = np.sort(others)
        below, up_to = (np.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
        placed: NDArray[np.float64] = (below + up_to) / (2 * len(others))
        return placed

    def at(self, false_positive_rate: float) -> OperatingPoint:
        """The true positive rate where at most a share of the controls is taken for members.

        Parameters
        ----------
        false_positive_rate : float
            In [0, 1).
        """
        if not 0 <= false_positive_rate < 1:
            raise UsageError(f"false_positive_rate must be in [0, 1), got {false_positive_rate}")
        allowed = int(false_positive_rate * len(self.controls) + 1e-9)
        threshold = np.sort(self.controls)[::-1][allowed]
        return OperatingPoint(
            false_positive_rate=false_positive_rate,
            members=Share(int((self.members > threshold).sum()), len(self.members)),
            controls=Share(int((self.controls > threshold).sum()), len(self.controls)),
        )

    def to_json(self, rates: Iterable[float] = FALSE_POSITIVE_RATES) -> dict[str, Any]:
        """AUC, its interval, the points at some false positive rates, and the curve."""
        low, high = self.auc_interval
        found = {"auc": self.auc, "auc_low": low, "auc_high": high}
        counts = {"members": len(self.members), "controls": len(self.controls)}
        curve = [[float(each) for each in axis] for axis in self.points]
        return found | counts | {"at": [self.at(each).to_json() for each in rates], "curve": curve}


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """How many members are found at a threshold that the controls gave.

    Attributes
    ----------
    false_positive_rate : float
        What was allowed.
    members, controls : Share
        Of either, who scores above the threshold.  The controls' share is at most what was allowed; its interval says
        how far the true false positive rate may be from it.
    """

    false_positive_rate: float
    members: Share
    controls: Share

    @property
    def resolved(self) -> bool:
        """Whether there are controls enough for this rate: one false positive is no more than is allowed."""
        return self.false_positive_rate * self.controls.trials >= 1 - 1e-9

    @property
    def by_chance(self) -> tuple[float, float]:
        """Between which shares 95 % of all draws would lie if members scored like controls, at these sample sizes."""
        from scipy.stats import betabinom

        n, m = self.members.trials, self.controls.trials
        above = int(self.false_positive_rate * m + 1e-9)
        chance = betabinom(n, above + 1, m - above)  # who lies above the (above + 1)-th of m, all in random order
        low, high = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
        return float(chance.ppf(low)) / n, float(chance.ppf(high)) / n

    @property
    def p_value(self) -> float:
        """Chance of as many members above the threshold, or more, if they scored like controls."""
        from scipy.stats import betabinom

        n, m = self.members.trials, self.controls.trials
        above = int(self.false_positive_rate * m + 1e-9)
        return float(betabinom(n, above + 1, m - above).sf(self.members.successes - 1))

    def to_json(self) -> dict[str, Any]:
        """All of it, in names and numbers."""
        low, high = self.by_chance
        return {
            "false_positive_rate": self.false_positive_rate,
            "resolved": self.resolved,
            "true_positive_rate": self.members.to_json(),
            "controls": self.controls.to_json(),
            "by_chance": {"low": low, "high": high},
            "p_value": self.p_value,
        }


def p_values(scores: ArrayLike, controls: ArrayLike) -> NDArray[np.float64]:
    """For each score the chance that a control would score as high: ``(1 + controls at or above) / (1 + controls)``.

    Exact where members and controls were told apart by coin flips alone; the least is ``1 / (1 + controls)``.

    Parameters
    ----------
    scores, controls : array-like of float, shape (n,) and (m,)
        A higher score speaks for a member.

    Returns
    -------
    ndarray of float64, shape (n,)
        In (0, 1].

    Examples
    --------
    >>> p_values([5.0, 0.0], [1.0, 2.0, 3.0]).tolist()
    [0.25, 1.0]
    """
    ordered = np.sort(np.asarray(controls, np.float64))
    as_high = len(ordered) - np.searchsorted(ordered, np.asarray(scores, np.float64), side="left")
    found: NDArray[np.float64] = (1 + as_high) / (1 + len(ordered))
    return found


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """p-values corrected for their number (Holm 1979): the chance of even one false alarm stays below the limit.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * (len(values) - np.arange(len(values)))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def difference_p_value(members: ArrayLike, controls: ArrayLike) -> float:
    """Chance that scores of members would lie above those of controls as far if both were alike (Mann-Whitney U).

    Returns
    -------
    float
        One-sided, in [0, 1]; exact up to 8 of either without ties.
    """
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(members, controls, alternative="greater").pvalue)


def mean_interval(values: Sequence[float] | NDArray[np.float64], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """An interval for the mean of some values, after Student; without bounds for fewer than two."""
    from scipy.stats import t

    found = np.asarray(values, np.float64)
    if len(found) < 2:
        return -float("inf"), float("inf")
    half = float(t.ppf((1 + confidence) / 2, len(found) - 1)) * float(found.std(ddof=1)) / len(found) ** 0.5
    return float(found.mean()) - half, float(found.mean()) + half
