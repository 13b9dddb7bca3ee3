"""What is made of samples before it is their turn: fingerprints, checks, and what geometry looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.fingerprints.stage import fingerprint_batch
from dedupkit.hygiene.checks import checked
from dedupkit.hygiene.placeholders import Placeholders
from dedupkit.matching.views import sample_view
from dedupkit.sample import FINGERPRINTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.matching.geometry import View
    from dedupkit.recipe import Recipe
    from dedupkit.sample import Sample
    from dedupkit.streaming.inputs import Layout


@dataclass(frozen=True, slots=True)
class Prepared:
    """A micro-batch that is ready to be compared.

    Attributes
    ----------
    samples : sequence of Sample
        Encoded images and names.
    table : pyarrow.Table
        Their fingerprints, checked.
    views : sequence of View or None
        What geometry looks at; None for those with a fault, and where the recipe does not ask it.
    """

    samples: Sequence[Sample]
    table: pa.Table
    views: Sequence[View | None]


class Preparing:
    """Prepares micro-batches; may be called by many threads.

    Parameters
    ----------
    recipe : Recipe
        How images are fingerprinted and checked.
    layout : Layout
        Where image and key of an item are.
    looks : bool
        Whether geometry will be asked.
    """

    def __init__(self, recipe: Recipe, layout: Layout, looks: bool) -> None:
        self._recipe, self._layout, self._looks = recipe, layout, looks
        self._placeholders = Placeholders.of(recipe.hygiene)

    def __call__(self, first: int, items: Sequence[Any]) -> Prepared:
        """Fingerprints of items, the first of which has a number in the stream."""
        samples = [self._layout.sample(item, number) for number, item in enumerate(items, first)]
        rows = fingerprint_batch(samples, self._recipe)
        named = [(number, sample.key, "", *row) for number, (sample, row) in enumerate(zip(samples, rows, strict=True))]
        columns = zip(*named, strict=True)
        table = pa.table([pa.array(values, kind.type) for values, kind in zip(columns, FINGERPRINTS, strict=True)],
                         schema=FINGERPRINTS)  # fmt: skip
        table = checked(table, self._recipe.hygiene, self._placeholders)
        usable = np.asarray(table["fault"].is_null())
        views = [sample_view(sample, self._recipe) if self._looks and well else None
                 for sample, well in zip(samples, usable.tolist(), strict=True)]  # fmt: skip
        return Prepared(samples, table, views)
