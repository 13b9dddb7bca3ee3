"""How sharp, bright, large and long the pictures are: counts over all fingerprints, shard by shard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa
    from numpy.typing import NDArray

    from dedupkit.recipe import Hygiene, Recipe

COLUMNS = ("width", "height", "darkest", "brightest", "blur")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What is counted, and between which edges.

    Attributes
    ----------
    name, title : str
        For machines, and for people.
    words : str
        What it is, and in which unit.
    edges : tuple of float
        Of the bins; what lies outside counts in the first or last.
    values : callable
        Makes the numbers out of `COLUMNS`.
    option : str
        The limit in ``[hygiene]``; empty where none is on this scale.
    limit : callable
        Where it stands.
    """

    name: str
    title: str
    words: str
    edges: tuple[float, ...]
    values: Callable[[dict[str, Any]], Any]
    option: str
    limit: Callable[[Hygiene], float]


def _shares(bins: int, top: float = 1.0) -> tuple[float, ...]:
    return tuple(np.round(np.linspace(0, top, bins + 1), 4).tolist())


SCALES = (
    Scale(
        name="sharpness",
        title="Sharpness",
        words="1 is sharp, 0 blurred",
        edges=_shares(20),
        values=lambda seen: 1 - seen["blur"],
        option="max_blur",
        limit=lambda hygiene: 1 - hygiene.max_blur,
    ),
    Scale(
        name="brightness",
        title="Brightness",
        words="middle between the darkest and the brightest tone, in levels of 0 to 255",
        edges=_shares(16, 256),
        values=lambda seen: (seen["darkest"] + seen["brightest"]) / 2,
        option="",
        limit=lambda hygiene: 0.0,
    ),
    Scale(
        name="contrast",
        title="Contrast",
        words="brightest less darkest tone, in levels",
        edges=_shares(16, 256),
        values=lambda seen: seen["brightest"] - seen["darkest"],
        option="min_contrast",
        limit=lambda hygiene: float(hygiene.min_contrast),
    ),
    Scale(
        name="shorter_side",
        title="Size",
        words="pixels of the shorter side",
        edges=(0, 16, 32, 64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192),
        values=lambda seen: np.minimum(seen["width"], seen["height"]),
        option="min_side",
        limit=lambda hygiene: float(hygiene.min_side),
    ),
    Scale(
        name="aspect",
        title="Aspect",
        words="longer side over shorter side",
        edges=(1, 1.05, 1.2, 1.3, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 6, 10, 20),
        values=lambda seen: np.maximum(seen["width"], seen["height"]) / np.minimum(seen["width"], seen["height"]),
        option="max_aspect",
        limit=lambda hygiene: hygiene.max_aspect,
    ),
)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Pictures in each bin of a scale."""

    scale: Scale
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """Pictures that were measured."""
        return sum(self.counts)

    def to_json(self) -> dict[str, Any]:
        """Edges and counts."""
        return {"edges": list(self.scale.edges), "counts": list(self.counts)}


@dataclass(slots=True)
class _Counter:
    counts: dict[str, NDArray[np.int64]] = field(
        default_factory=lambda: {scale.name: np.zeros(len(scale.edges) - 1, np.int64) for scale in SCALES}
    )

    def add(self, table: pa.Table) -> None:
        seen = {name: pc.cast(table[name], "double").fill_null(np.nan).to_numpy() for name in COLUMNS}
        for scale in SCALES:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = scale.values(seen)
            known = np.clip(values[np.isfinite(values)], scale.edges[0], np.nextafter(scale.edges[-1], 0))
            self.counts[scale.name] += np.histogram(known, bins=scale.edges)[0]


def count_measures(tables: Iterable[pa.Table]) -> tuple[Histogram, ...]:
    """Count fingerprints by each scale; none where nothing was measured, as of lists without images.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        At least `COLUMNS`, some rows at a time.

    Examples
    --------
    >>> import pyarrow
    >>> seen = pyarrow.table({"width": [300], "height": [200], "darkest": [10], "brightest": [250], "blur": [0.3]})
    >>> [found.total for found in count_measures([seen])]
    [1, 1, 1, 1, 1]
    """
    counter = _Counter()
    for table in tables:
        counter.add(table)
    found = (Histogram(scale, tuple(counter.counts[scale.name].tolist())) for scale in SCALES)
    return tuple(each for each in found if each.total)


def drawn_bars(histogram: Histogram, recipe: Recipe) -> dict[str, Any]:
    """A histogram as the page draws it: bars in parts of 100, the ends of the scale, and the recipe's limit."""
    scale, most = histogram.scale, max(histogram.counts)
    bins = len(histogram.counts)
    bars = [
        {
            "x": f"{100 * number / bins + 0.4:.2f}",
            "width": f"{100 / bins - 0.8:.2f}",
            "height": f"{max(0.8, 100 * count / most) if count else 0:.1f}",
            "y": f"{100 - (max(0.8, 100 * count / most) if count else 0):.1f}",
            "words": f"{_between(scale, number)}: {count:,}",
        }
        for number, count in enumerate(histogram.counts)
    ]
    peak = int(np.argmax(histogram.counts))
    return {
        "title": scale.title,
        "words": scale.words,
        "bars": bars,
        "low": f"{scale.edges[0]:g}",
        "high": f"{scale.edges[-1]:g}" if scale.edges[-1] in (1, 256) else f"{scale.edges[-1]:g}+",
        "limit": "" if not scale.option else f"{100 * _along(scale.edges, scale.limit(recipe.hygiene)):.2f}",
        "option": scale.option,
        "spoken": f"{scale.title} of {histogram.total:,} pictures; most of them at {_between(scale, peak)}.",
    }


def _between(scale: Scale, number: int) -> str:
    return f"{scale.edges[number]:g} to {scale.edges[number + 1]:g}"


def _along(edges: tuple[float, ...], value: float) -> float:
    """How far along the bars, all of one width, a value stands, in [0, 1]."""
    return float(np.interp(value, edges, np.linspace(0, 1, len(edges))))
