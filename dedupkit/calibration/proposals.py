"""Which limits to try, and which of those tried to propose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.matching.radius import MAX_CHANCE_PAIRS, chance_pairs, layout_of
from dedupkit.parts import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dedupkit.calibration.trials import Bench, Outcome
    from dedupkit.parts import Observer
    from dedupkit.recipe import Matching, Recipe

LIMITS = ("max_hamming_bits", "min_cosine", "min_score")
_RADII = {"pdq": (15, 23, 31, 39, 47), "phash": (2, 4, 6, 8, 10)}
_PROVEN_COSINES = (0.3, 0.4, 0.5, 0.6)  # floors of candidates, which geometry then judges
_BARE_COSINES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_SCORES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.97)


@dataclass(frozen=True, slots=True)
class Tried:
    """All trials.

    Attributes
    ----------
    recipe : Outcome
        Of the recipe's own limits.
    outcomes : tuple of Outcome
        Of all limits that were tried, the recipe's first.
    proposed : Outcome or None
        Of those that are precise enough the one that finds most; None where none is.
    """

    recipe: Outcome
    outcomes: tuple[Outcome, ...]
    proposed: Outcome | None


def limits_of(matching: Matching, *, described: bool) -> dict[str, float | int]:
    """The limits that count in a recipe, by name."""
    names = LIMITS[: 1 if not described else 2 if matching.verify == "none" else 3]
    return {name: getattr(matching, name) for name in names}


def try_limits(bench: Bench, recipe: Recipe, set_samples: int, wanted_precision: float, observe: Observer) -> Tried:
    """Try one limit after the other, each with the best found so far of those before it.

    Parameters
    ----------
    bench : Bench
        What they are tried on.
    recipe : Recipe
        Where to begin, with a number as radius.
    set_samples : int
        Samples in the set: radii at which chance alone would make pairs there are not tried.
    wanted_precision : float
        Least share of right pairs of what is proposed.
    observe : callable
        Told of each trial.
    """
    grid = _grid(recipe, set_samples)
    total, tried = sum(len(values) - 1 for values in grid.values()) + 1, {}

    def outcome_of(matching: Matching) -> Outcome:
        limits = tuple(getattr(matching, name) for name in LIMITS)
        if limits not in tried:
            tried[limits] = bench.run(matching)
            observe(Progress("limits tried", len(tried), max(total, len(tried)), 0))
        return tried[limits]

    own = best = outcome_of(recipe.matching)
    for name, values in grid.items():
        row = [outcome_of(best.matching.model_copy(update={name: value})) for value in values]
        best = _best(row, recipe.matching, wanted_precision)
    best = _best(list(tried.values()), recipe.matching, wanted_precision)
    return Tried(own, tuple(tried.values()), best if _fits(best, wanted_precision) else None)


def _grid(recipe: Recipe, set_samples: int) -> Mapping[str, Sequence[Any]]:
    """Values of each limit, the recipe's own among them; what decides most comes first."""
    matching, layout = recipe.matching, layout_of(recipe.matching)
    radii = (
        radius
        for radius in _RADII[matching.hash]
        if chance_pairs(layout, radius, set_samples, turned=matching.turned) <= MAX_CHANCE_PAIRS
    )
    values: dict[str, tuple[Any, ...]] = {
        "min_score": _SCORES,
        "min_cosine": _PROVEN_COSINES if matching.verify == "geometry" else _BARE_COSINES,
        "max_hamming_bits": tuple(radii),
    }
    own = limits_of(matching, described=bool(recipe.descriptor))
    return {name: sorted({own[name], *tries}) for name, tries in values.items() if name in own}


def _fits(outcome: Outcome, wanted_precision: float) -> bool:
    return outcome.precision.of > 0 and outcome.precision.share >= wanted_precision


def _best(outcomes: Sequence[Outcome], own: Matching, wanted_precision: float) -> Outcome:
    """Of those precise enough what finds most, or as good as most and is nearest to the recipe; else the most precise.

    As good is less than one standard error of the difference worse (the rule of Breiman et al. 1984): the copies that
    only one of the two finds are a fair coin's throws where both find as many.
    """

    def moved(outcome: Outcome) -> float:
        return sum(abs(float(getattr(outcome.matching, name)) / (getattr(own, name) or 1) - 1) for name in LIMITS)

    fitting = [outcome for outcome in outcomes if _fits(outcome, wanted_precision)]
    if not fitting:
        return max(outcomes, key=lambda each: (each.precision.share if each.precision.of else 0.0, -moved(each)))
    most = max(fitting, key=lambda each: each.recall.hits)
    return min((each for each in fitting if _as_good(each, most)), key=moved)


def _as_good(outcome: Outcome, most: Outcome) -> bool:
    fewer = most.recall.hits - outcome.recall.hits
    return fewer**2 <= int(np.count_nonzero(outcome.found != most.found))
