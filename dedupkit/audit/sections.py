"""The sections of the audit's page: what each attack found, in tables, figures and pictures."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dedupkit.audit.plots import errors_figure, exposure_figure, extraction_figure, roc_figure
from dedupkit.plugins import ATTACKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.audit.canary_exposure import Cell
    from dedupkit.audit.canary_findings import CanaryFindings
    from dedupkit.audit.extracted import Extraction
    from dedupkit.audit.inpainting_attack import Inpainting, Rebuilt
    from dedupkit.audit.membership_result import Membership
    from dedupkit.audit.statistics import Share

_SHOWN = 24  # pairs of pictures
_LARGEST = 256  # pixels of the longer side of a picture on the page


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under heads; the first column is words, the others are numbers."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as a data: URI, and what it shows."""

    uri: str
    words: str


@dataclass(frozen=True, slots=True)
class Strip:
    """Pictures side by side, by name; a title, and words below."""

    title: str
    words: str
    images: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One attack on the page."""

    title: str
    question: str
    answer: str
    limits: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    pictures: tuple[Strip, ...] = ()


def section(name: str, found: Any, *, hide_pictures: bool = False) -> Section:
    """The section of one attack's result; with `hide_pictures` without those of members and controls.

    Extraction never shows canaries: it is asked about a training set without them.
    """
    tables, figures, pictures = _PARTS.get(name, _brought)(found)
    if hide_pictures and name != "extraction":
        pictures = ()
    attack = ATTACKS.find(name).made
    return Section(attack.title, attack.question, found.answer, tuple(found.limits), tables, figures, pictures)


def question(name: str) -> str:
    """What an attack answers."""
    return str(ATTACKS.find(name).made.question)


Parts = tuple[tuple[Table, ...], tuple[Figure, ...], tuple[Strip, ...]]


def _brought(found: Any) -> Parts:
    """What a plugin's attack shows, where it shows something."""
    return tuple(tuple(getattr(found, name, ())) for name in ("tables", "figures", "pictures"))  # type: ignore[return-value]


def _extraction(found: Extraction) -> Parts:
    rows = found.by_repetitions
    table = Table(
        ("Times in the set", "came out", "of", "share", "95 % interval"),
        tuple((_range(low, high), *_counts(share)) for low, high, share in rows),
    )
    eidetic = Table(
        ("Training images as near as that", "images that came out"),
        tuple((f"at most {k}", f"{count:,}") for k, count in found.eidetic.items()),
    )
    figures = (_figure(extraction_figure(rows), "Share that came out, by how often a picture stands in the set"),)
    pictures = tuple(
        Strip(
            title=pair.caption or pair.key,
            words=f"distance {pair.l2:.3f}, stands {_times(pair.repetitions)}",
            images=(("generated", _uri(pair.generated)), ("training image", _uri(pair.trained))),
        )
        for pair in sorted(found.pairs, key=lambda pair: (pair.l2, pair.key))[:_SHOWN]
    )
    return (table, eidetic), figures if rows else (), pictures


def _inpainting(found: Inpainting) -> Parts:
    mine, theirs = ([each.error for each in side] for side in (found.members, found.controls))
    figure = _figure(errors_figure(mine, theirs), "Error of the hidden part, of training images and of others")
    best = sorted(found.members, key=lambda each: (each.p_value, each.error))[: _SHOWN // 2]
    return (), (figure,), tuple(_rebuilt(each) for each in best)


def _rebuilt(each: Rebuilt) -> Strip:
    return Strip(
        title=f"training image {each.number + 1}, {each.mask} hidden",
        words=f"error {each.error:.3f}{_between(each.low, each.high)}, p = {each.p_value:.2g}",
        images=(("shown", _uri(each.shown)), ("rebuilt", _uri(each.rebuilt)), ("training image", _uri(each.image))),
    )


def _between(low: float, high: float) -> str:
    return f" ({low:.3f} to {high:.3f})" if np.isfinite(high) else ""


def _membership(found: Membership) -> Parts:
    order = sorted(found.attacks, key=lambda attack: attack is not found.strongest)
    curves = {attack.name: attack.curve for attack in order}
    rates = found.rates
    heads = ("Attack", "AUC", "95 % interval", *(f"found at {100 * rate:g} % false" for rate in rates), "by chance")
    rows = []
    for attack in order:
        low, high = attack.curve.auc_interval
        points = [attack.curve.at(rate) for rate in rates]
        cells = [f"{100 * point.members.value:.1f} %" if point.resolved else "too few controls" for point in points]
        chance = "{:.1f} to {:.1f} %".format(*(100 * each for each in points[-1].by_chance))
        rows.append((attack.name, f"{attack.curve.auc:.3f}", f"{low:.3f} to {high:.3f}", *cells, chance))
    words = "True against false positive rate on log axes; the band is what chance gives at this sample size"
    return (Table(heads, tuple(rows)),), (_figure(roc_figure(curves), words),), ()


def _exposure(found: CanaryFindings) -> Parts:
    tables, figures = [], []
    if found.exposure is not None:
        cells = found.exposure.by_repetitions
        tables.append(_cells("Times in the set", [str(cell.repetitions) for cell in cells], cells))
        kinds = found.exposure.by_kind
        tables.append(_cells("Kind", [str(cell.kind) for cell in kinds], kinds))
        by_repetitions = found.exposure.by_times
        words = "Exposure of each planted canary by how often it stands; the dotted line is the most there can be"
        figures.append(_figure(exposure_figure(by_repetitions, found.exposure.ceiling_bits), words))
        curve = roc_figure({"planted against controls": found.exposure.curve})
        figures.append(_figure(curve, "True against false positive rate of the loss alone, on log axes"))
    if found.search is not None:
        shares = found.search.by_repetitions().items()
        rows = [(str(times), *_counts(share)) for times, share in shares]
        rows.append(("controls", *_counts(found.search.false_hits)))
        tables.append(Table(("Times in the set", "came out", "of", "share", "95 % interval"), tuple(rows)))
    if found.epsilon is not None:
        bound = found.epsilon
        row = (
            f"{bound.epsilon:.2f}",
            f"{bound.per_record:.3g}",
            f"{bound.correct} of {bound.guesses}",
            f"{bound.most:.2f}",
        )
        heads = (
            "Privacy audit in one run",
            "epsilon is at least",
            "for one record",
            "right guesses",
            "at most could be",
        )
        tables.append(Table(heads, ((f"delta = {bound.delta:g}", *row),)))
    return tuple(tables), tuple(figures), ()


def _cells(head: str, names: list[str], cells: tuple[Cell, ...]) -> Table:
    heads = (head, "planted", "controls", "above all controls", "median bits", "95 % interval", "p", "corrected")
    rows = [
        (
            name, f"{cell.planted:,}", f"{cell.controls:,}", f"{cell.above_all:,}", f"{cell.median:.1f}",
            f"{cell.low:.1f} to {cell.high:.1f}", f"{cell.p_value:.2g}", f"{cell.corrected:.2g}",
        )
        for name, cell in zip(names, cells, strict=True)
    ]  # fmt: skip
    return Table(heads, tuple(rows))


_PARTS: dict[str, Any] = {
    "extraction": _extraction,
    "inpainting": _inpainting,
    "membership": _membership,
    "exposure": _exposure,
}


def _counts(share: Share) -> tuple[str, str, str, str]:
    low, high = share.interval
    return (
        f"{share.successes:,}",
        f"{share.trials:,}",
        f"{100 * share.value:.1f} %",
        f"{100 * low:.1f} to {100 * high:.1f} %",
    )


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _figure(svg: bytes, words: str) -> Figure:
    return Figure(f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}", words)


def _uri(pixels: NDArray[np.uint8]) -> str:
    """A picture as a data: URI; a tiny one enlarged without smoothing, so that its pixels can be seen."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if max(image.size) > _LARGEST:
        image.thumbnail((_LARGEST, _LARGEST))
    elif max(image.size) < 96:
        times = 96 // max(image.size)
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
