"""Numbers that are not known exactly, and how they are added and multiplied."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the interval that it lies in.

    Attributes
    ----------
    value : float
        The likeliest.
    low, high : float
        Ends of the interval; of an estimate out of sampled shards, of 95 %.
    """

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Estimate:
        """A number that is known."""
        return cls(value, value, value)

    @property
    def is_exact(self) -> bool:
        """Whether nothing is open."""
        return self.low == self.high

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.value + other.value, self.low + other.low, self.high + other.high)

    def __mul__(self, other: Estimate | float) -> Estimate:
        """The product; both are 0 or more."""
        by = other if isinstance(other, Estimate) else Estimate.exact(other)
        return Estimate(self.value * by.value, self.low * by.low, self.high * by.high)

    def to_json(self) -> dict[str, float]:
        """Value and interval."""
        return {"value": self.value, "low": self.low, "high": self.high}


NOTHING = Estimate.exact(0.0)


def total(estimates: Sequence[Estimate]) -> Estimate:
    """The sum; its interval is that of errors which all go the same way.

    Examples
    --------
    >>> total([Estimate(1, 0, 2), Estimate(3, 2, 5)])
    Estimate(value=4.0, low=2.0, high=7.0)
    """
    return sum(estimates, NOTHING)


def larger(one: Estimate, other: Estimate) -> Estimate:
    """The larger of two, at either end too."""
    return Estimate(max(one.value, other.value), max(one.low, other.low), max(one.high, other.high))


def each_end(estimate: Estimate, change: Callable[[float], float]) -> Estimate:
    """What a function that falls nowhere makes of value and interval."""
    return Estimate(change(estimate.value), change(estimate.low), change(estimate.high))


def ratio(amounts: Sequence[float], counts: Sequence[float]) -> Estimate:
    """Amount of one, out of shards that hold some each; the interval is what the spread between shards leaves open.

    Parameters
    ----------
    amounts : sequence of float
        What all samples of a shard take.
    counts : sequence of float
        How many samples that are; shards without any say nothing.

    Returns
    -------
    Estimate
        The ratio of the sums, and Student's interval of 95 % of it (Cochran, Sampling Techniques, 1977, 6.4).  Of one
        shard the interval is empty: its spread is not known.

    Examples
    --------
    >>> ratio([10, 30], [1, 3])
    Estimate(value=10.0, low=10.0, high=10.0)
    """
    pairs = [(amount, count) for amount, count in zip(amounts, counts, strict=True) if count > 0]
    counted = sum(count for _, count in pairs)
    if not counted:
        return NOTHING
    value = sum(amount for amount, _ in pairs) / counted
    shards = len(pairs)
    if shards < 2:
        return Estimate.exact(value)
    from scipy.stats import t

    rest = sum((amount - value * count) ** 2 for amount, count in pairs) / (shards - 1)
    margin = float(t.ppf(0.975, shards - 1)) * math.sqrt(rest / shards) / (counted / shards)
    return Estimate(value, max(0.0, value - margin), value + margin)
