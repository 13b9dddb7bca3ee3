"""Shares with the interval that they leave open."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Z = 1.959963984540054  # of 95 %, both sides


@dataclass(frozen=True, slots=True)
class Share:
    """A share and its 95 % interval.

    Attributes
    ----------
    hits, of : int
        What was counted, out of how many.
    low, high : float
        Ends of the interval, in [0, 1].
    """

    hits: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """In [0, 1]; NaN of nothing."""
        return self.hits / self.of if self.of else float("nan")

    @property
    def rest(self) -> Share:
        """The share of all others."""
        return Share(self.of - self.hits, self.of, 1 - self.high, 1 - self.low)

    def to_json(self) -> dict[str, float | int | None]:
        """Count, total, share and interval; no share of nothing."""
        share = self.share if self.of else None
        return {"count": self.hits, "of": self.of, "share": share, "low": self.low, "high": self.high}


def wilson(share: float, of: float) -> tuple[float, float]:
    """Wilson's 95 % interval (1927) of a share of so many independent cases; everything is possible of none.

    Examples
    --------
    >>> low, high = wilson(1.0, 20)
    >>> f"{low:.3f} {high:.3f}"
    '0.839 1.000'
    """
    if of <= 0:
        return 0.0, 1.0
    middle = share + _Z**2 / (2 * of)
    margin = _Z * sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2))
    scale = 1 + _Z**2 / of
    low, high = (middle - margin) / scale, (middle + margin) / scale
    return (0.0 if share == 0 else max(0.0, low)), (1.0 if share == 1 else min(1.0, high))


def share_of(hits: NDArray[np.int64], of: NDArray[np.int64]) -> Share:
    """Share over clusters whose cases resemble each other: the copies of one picture, say.

    Parameters
    ----------
    hits, of : ndarray of int64, shape (clusters,)
        Counts in each cluster.

    Returns
    -------
    Share
        With Wilson's interval at the effective number of cases, which is that of all cases divided by Kish's design
        effect (1965): as many as there are clusters if all cases of a cluster go the same way.  Where nothing varies,
        nothing tells how alike the cases are, and the least number is taken.
    """
    total, found = int(of.sum()), int(hits.sum())
    clusters = int(np.count_nonzero(of))
    if not total:
        return Share(0, 0, 0.0, 1.0)
    share = found / total
    residuals = hits - share * of
    spread = float((residuals**2).sum()) * clusters / max(1, clusters - 1) / total**2
    effective = share * (1 - share) / spread if spread else 0.0
    return Share(found, total, *wilson(share, min(max(effective, clusters), total)))
