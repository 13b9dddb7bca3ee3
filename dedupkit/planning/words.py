"""Seconds, bytes and counts as people say them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dedupkit.planning.estimate import Estimate

_TIMES = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_COUNTS = ((1e9, " billion"), (1e6, " million"))


def time_text(seconds: float) -> str:
    """Seconds in the largest unit that leaves two or more.

    Examples
    --------
    >>> time_text(90), time_text(7200), time_text(0.3)
    ('90 s', '2 h', '0.3 s')
    """
    unit, name = next((each for each in _TIMES if seconds >= 2 * each[0]), _TIMES[-1])
    return f"{_short(seconds / unit)} {name}"


def bytes_text(count: float) -> str:
    """Bytes in units of 1024.

    Examples
    --------
    >>> bytes_text(3 << 30)
    '3 GiB'
    """
    for name in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024:
            return f"{_short(count)} {name}"
        count /= 1024
    return f"{_short(count)} PiB"


def count_text(count: float) -> str:
    """A count.

    Examples
    --------
    >>> count_text(2_320_000_000), count_text(12_000)
    ('2.32 billion', '12,000')
    """
    unit, name = next((each for each in _COUNTS if count >= each[0]), (1.0, ""))
    return f"{count / unit:,.3g}{name}" if name else f"{count:,.0f}"


def interval_text(estimate: Estimate, said: Callable[[float], str], between: str = " ") -> str:
    """Value and interval, which is left out where it says nothing more; a space or a new line stands between."""
    low, value, high = (said(each) for each in (estimate.low, estimate.value, estimate.high))
    if low == high:
        return value
    unit = high.rpartition(" ")[2]
    return f"{value}{between}({low.removesuffix(f' {unit}')} to {high})"


def _short(number: float) -> str:
    if number == 0:
        return "0"
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
