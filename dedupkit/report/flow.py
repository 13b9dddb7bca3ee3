"""What happened to the samples as one drawing: a band for all that came in, which parts by outcome.

The columns are always the same three, so there is nothing to lay out: bands are stacked, and each is one curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dedupkit.sample import Action, Reason

if TYPE_CHECKING:
    from dedupkit.report.summary import Summary

_WORDS = {
    Reason.EXACT_DUPLICATE: ("exact", "exact copies dropped"),
    Reason.PERCEPTUAL_DUPLICATE: ("near", "near copies dropped"),
    Reason.GEOMETRIC_DUPLICATE: ("edited", "edited copies dropped"),
    Reason.DESCRIPTOR_DUPLICATE: ("near", "dropped by embedding"),
    Reason.LOOK_ALIKE: ("near", "look-alikes dropped"),
    Reason.BLOCKED: ("blocked", "blocked"),
    Reason.CONTAMINATED: ("blocked", "in a reference set"),
    Reason.DROPPED_BY_HAND: ("blocked", "dropped by hand"),
}
_BAR, _HEIGHT, _TOP, _LEAST, _GAP = 12, 190, 34, 25, 6  # pixels


@dataclass(frozen=True, slots=True)
class Band:
    """One outcome: its class in the style sheet, what it is called, and how many samples have it."""

    kind: str
    words: str
    count: int


def bands(summary: Summary) -> list[Band]:
    """The outcomes that occur, first what stays."""
    dropped = [Band(*_WORDS[reason], summary.reasons[reason]) for reason in Reason if reason.action is Action.DROP]
    found = [
        Band("kept", "kept", summary.samples["kept"]),
        *dropped,
        Band("quarantined", "quarantined", summary.samples["quarantined"]),
    ]
    return [band for band in found if band.count]


def drawing(summary: Summary, *, width: int, middle: int, changed: bool) -> dict[str, Any]:
    """Coordinates of the bands for a drawing of a width.

    Parameters
    ----------
    summary : Summary
        The counts.
    width : int
        Pixels; with few of them words stay readable, as nothing is scaled.
    middle : int
        Where the outcomes stand.
    changed : bool
        Whether the recipe changes the pixels of what stays.
    """
    shown, total = bands(summary), max(1, summary.samples["in"])
    left, right, rows = float(_TOP), float(_TOP), []
    for band in shown:
        height = max(2.0, _HEIGHT * band.count / total)
        ends = _BAR, middle
        rows.append(
            {
                "band": band,
                "height": f"{height:.1f}",
                "y": f"{right:.1f}",
                "label": f"{right + max(height, _LEAST - _GAP) / 2:.1f}",
                "curve": _curve(*ends, left, right, height),
                "out": _curve(middle + _BAR, width - _BAR, right, right, height) if band.kind == "kept" else "",
            }
        )
        left += _HEIGHT * band.count / total
        right += max(height, _LEAST) + _GAP
    return {
        "width": width,
        "height": f"{max(left, right) + 2:.0f}",
        "middle": middle,
        "bar": _BAR,
        "top": _TOP,
        "all": f"{left - _TOP:.1f}",
        "end": width - _BAR,
        "rows": rows,
        "changed": changed,
    }


def spoken(summary: Summary) -> str:
    """The drawing in words, for who cannot see it."""
    parts = ", ".join(f"{band.count:,} {band.words}" for band in bands(summary))
    return f"Of {summary.samples['in']:,} samples that came in: {parts or 'none'}."


def _curve(x0: float, x1: float, y0: float, y1: float, height: float) -> str:
    """A band from one bar to another, level at both ends."""
    half = (x0 + x1) / 2
    there = f"M{x0:.1f} {y0:.1f}C{half:.1f} {y0:.1f} {half:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    back = f"V{y1 + height:.1f}C{half:.1f} {y1 + height:.1f} {half:.1f} {y0 + height:.1f} {x0:.1f} {y0 + height:.1f}Z"
    return there + back
