"""The figures of an audit, as SVG: the same bytes for the same numbers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dedupkit.audit.statistics import Curve, Share

_GREEN, _RED, _QUIET, _LINE = "#2f7f5f", "#b7583a", "#8b8f96", "#d9d5cc"
_COLOURS = (_GREEN, "#8b7bb5", "#dda15e", _RED, "#4a7fa5")
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _QUIET,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "text.color": _QUIET,
    "svg.hashsalt": "dedupkit",  # or the names inside the file would be drawn at random
    "svg.fonttype": "path",
}


def extraction_figure(by_repetitions: Sequence[tuple[int, int, Share]]) -> bytes:
    """The share that came out against how often a picture stands in the set, with exact 95 % intervals.

    Parameters
    ----------
    by_repetitions : sequence of (int, int, Share)
        From so often, to so often, and the share.

    Returns
    -------
    bytes
        SVG.
    """

    def draw(axes: Any) -> None:
        place = np.arange(len(by_repetitions))
        values = np.array([share.value for _, _, share in by_repetitions])
        bounds = np.array([share.interval for _, _, share in by_repetitions]).reshape(-1, 2)
        gaps = np.abs(np.stack([values - bounds[:, 0], bounds[:, 1] - values]))
        axes.errorbar(place, values, yerr=gaps, fmt="o-", color=_GREEN, ecolor=_QUIET, capsize=3, lw=1.2, ms=5)
        names = [str(low) if low == high else f"{low}-{high}" for low, high, _ in by_repetitions]
        axes.set_xticks(
            place, [f"{name}\n({share.trials})" for name, (_, _, share) in zip(names, by_repetitions, strict=True)]
        )
        axes.set_xlabel("times in the set (pictures)")
        axes.set_ylabel("share that came out")
        axes.set_ylim(-0.03, 1.03)

    return _svg(draw)


def roc_figure(curves: Mapping[str, Curve]) -> bytes:
    """ROC curves on log axes, with what chance gives at this sample size.

    Parameters
    ----------
    curves : mapping of str to Curve
        By name; the first is drawn strongest, and its sizes give the band of chance.
    """

    def draw(axes: Any) -> None:
        first = next(iter(curves.values()))
        least = 0.5 / max(len(first.controls), len(first.members))
        rates = np.geomspace(1 / len(first.controls), 1, 60)
        band = np.array([first.at(min(rate, 1 - 1e-9)).by_chance for rate in rates])
        axes.fill_between(rates, band[:, 0].clip(least), band[:, 1].clip(least), color=_LINE, lw=0, label="chance")
        axes.plot([least, 1], [least, 1], color=_QUIET, lw=0.8, ls=":")
        for number, (name, curve) in enumerate(curves.items()):
            false, true = (each.clip(least) for each in curve.points)
            label = f"{name}, AUC {curve.auc:.2f}"
            axes.step(
                false, true, where="post", color=_COLOURS[number % len(_COLOURS)], lw=1.8 - number / 5, label=label
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(least, 1)
        axes.set_ylim(least, 1.05)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        axes.legend(frameon=False, loc="lower right", fontsize=8)

    return _svg(draw)


def errors_figure(members: Sequence[float], controls: Sequence[float]) -> bytes:
    """How large the errors of members and controls are, as cumulative shares."""

    def draw(axes: Any) -> None:
        for name, values, colour in (("training images", members, _GREEN), ("never seen", controls, _RED)):
            axes.ecdf(list(values), color=colour, lw=1.6, label=f"{name} ({len(values)})")
        axes.set_xlabel("error of the hidden part")
        axes.set_ylabel("share with less")
        axes.legend(frameon=False, loc="lower right", fontsize=8)

    return _svg(draw)


def exposure_figure(exposures: Mapping[int, Sequence[float]], ceiling: float) -> bytes:
    """Exposure in bits of each planted canary, by how often it stands in the set; the line is the most there can be."""

    def draw(axes: Any) -> None:
        for place, values in enumerate(exposures.values()):
            spread = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(1)
            axes.plot(place + spread, sorted(values), "o", color=_GREEN, alpha=0.65, ms=4, mew=0)
            axes.plot([place - 0.3, place + 0.3], [np.median(values)] * 2, color=_RED, lw=2)
        axes.axhline(ceiling, color=_QUIET, lw=0.8, ls=":")
        axes.set_xticks(range(len(exposures)), [f"{times}\n({len(values)})" for times, values in exposures.items()])
        axes.set_xlabel("times in the set (canaries)")
        axes.set_ylabel("exposure in bits")

    return _svg(draw)


def _svg(draw: Any) -> bytes:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("the figures of an audit need matplotlib; pip install 'dedupkit[audit]'") from error
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.6, 3.2), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
