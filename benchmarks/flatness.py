"""Whether what was measured again and again grows: slope and its interval, over means of whole rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import theilslopes

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95


def slope(times_s: Sequence[float], values: Sequence[float]) -> dict[str, Any]:
    """The Theil-Sen slope per hour and its interval of 95 %.

    Parameters
    ----------
    times_s, values : sequence of float
        Of each round one: within a round one value follows from the last, and an interval over all of them would be
        far too narrow.  Three rounds at least.

    Returns
    -------
    dict
        ``per_hour``, ``low``, ``high``, ``mean``, ``rounds`` and ``holds_zero``, whether the interval holds 0.
    """
    found = theilslopes(values, np.asarray(times_s) / 3600, CONFIDENCE)
    low, high = float(found.low_slope), float(found.high_slope)
    return {
        "per_hour": round(float(found.slope), 3),
        "low": round(low, 3),
        "high": round(high, 3),
        "mean": round(float(np.mean(values)), 3),
        "rounds": len(values),
        "holds_zero": low <= 0 <= high,
    }
