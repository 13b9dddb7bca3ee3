"""What planted canaries say: how far each stands above those that were held out, by kind and by repetitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.coins import SHUFFLES, Losses, Standing, rank_test, standing, trend
from dedupkit.audit.exposure_words import answer, limits
from dedupkit.audit.secret_sharer import Extrapolated, extrapolated_exposure, rank_exposure
from dedupkit.audit.statistics import CONFIDENCE, Curve, holm
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dedupkit.canaries.manifest import Manifest

__all__ = ["Cell", "Exposure", "Extrapolated", "exposure", "extrapolated_exposure", "rank_exposure"]

_FITTED = 20  # controls; a tail fitted to fewer says nothing


@dataclass(frozen=True, slots=True)
class Cell:
    """Some planted canaries against the controls of their kinds.

    Attributes
    ----------
    kind : str or None
        Their kind; None for all.
    repetitions : int or None
        How often they stand in the set; None for all.
    planted, controls : int
        How many there are of them, and of controls of their kinds.
    above_all : int
        How many of them rank above every control that they are compared with.
    median, low, high : float
        Median exposure in bits, and its interval by order statistics; of fewer than 6 canaries it is all that exposure
        can be.
    p_value, corrected : float
        Of `dedupkit.audit.coins.rank_test`, alone and corrected after Holm for the cells of the same table.
    detectable : float or None
        Share of them that would have to stand above every control for the test to find it in 4 of 5 cases, at 0.05
        divided by the number of cells in the table; None if it could not even find all.
    """

    kind: str | None
    repetitions: int | None
    planted: int
    controls: int
    above_all: int
    median: float
    low: float
    high: float
    p_value: float
    corrected: float
    detectable: float | None

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True)
class Exposure:
    """What the losses of planted canaries say beside those of the controls.

    Attributes
    ----------
    overall : Cell
        All planted canaries.
    by_repetitions, by_kind, cells : tuple of Cell
        By how often they stand, by kind, and by both; ascending.
    standing : Standing
        Rank, exposure and p-value of each planted canary, in the manifest's order.
    repetitions : ndarray of int64, shape (planted,)
        How often each stands in the set.
    corrected, false_discovery : ndarray of float64, shape (planted,)
        Their p-values corrected for their number: after Holm, by which there is not one false alarm in 95 % of audits,
        and after Benjamini and Hochberg, by which 5 % of the alarms are false (that p-values share their controls does
        not hurt, arXiv 2104.08279).
    curve : Curve
        Planted against controls over all thresholds.
    trend : tuple of float, or None
        Spearman's correlation of repetitions and score, and its one-sided p-value; None where all stand equally often.
    shuffles : int
        Of which p-values by shuffling are made.
    """

    overall: Cell
    by_repetitions: tuple[Cell, ...]
    by_kind: tuple[Cell, ...]
    cells: tuple[Cell, ...]
    standing: Standing = field(repr=False)
    repetitions: NDArray[np.int64] = field(repr=False)
    corrected: NDArray[np.float64] = field(repr=False)
    false_discovery: NDArray[np.float64] = field(repr=False)
    curve: Curve = field(repr=False)
    trend: tuple[float, float] | None
    shuffles: int = SHUFFLES

    @property
    def ceiling_bits(self) -> float:
        """The most that exposure by rank can be with these controls."""
        return float(np.log2(self.standing.references.max()))

    @cached_property
    def extrapolated(self) -> Extrapolated | None:
        """Exposures by a skew normal distribution fitted to the controls; None with fewer than 20 controls."""
        references = -self.standing.control_scores
        if len(references) < _FITTED or float(references.std()) <= 1e-9:
            return None
        return extrapolated_exposure(-self.standing.scores, references)

    @property
    def by_times(self) -> dict[int, list[float]]:
        """Exposure in bits of each planted canary, by how often it stands in the set, in the manifest's order."""
        found: dict[int, list[float]] = {each: [] for each in np.unique(self.repetitions).tolist()}
        for times, bits in zip(self.repetitions.tolist(), self.standing.exposures.tolist(), strict=True):
            found[times].append(bits)
        return found

    @property
    def answer(self) -> str:
        """Which canaries are memorised, by how often they stand, and what the rest proves."""
        count = "all controls of their kind" if self.standing.same_kind else f"all {len(self.curve.controls)} controls"
        return answer(self.by_repetitions, self.overall, count)

    @property
    def limits(self) -> tuple[str, ...]:
        """What this does not show."""
        return limits(self)

    def to_json(self, *, canaries: bool = False) -> dict[str, Any]:
        """All of it in plain types.

        Parameters
        ----------
        canaries : bool
            Also a line for each planted canary, in the manifest's order: rank, exposure, p-values.
        """
        beyond = None if self.extrapolated is None else self.extrapolated.beyond
        found: dict[str, Any] = {
            "answer": self.answer,
            "limits": list(self.limits),
            "overall": self.overall.to_json(),
            "by_repetitions": [each.to_json() for each in self.by_repetitions],
            "by_kind": [each.to_json() for each in self.by_kind],
            "cells": [each.to_json() for each in self.cells],
            "curve": self.curve.to_json(),
            "trend": None if self.trend is None else dict(zip(("correlation", "p_value"), self.trend, strict=True)),
            "ceiling_bits": self.ceiling_bits,
            "extrapolated_beyond": None if beyond is None else int(beyond.sum()),
            "found_alone": {"holm": self.alone(), "benjamini_hochberg": self.alone(by_share=True)},
            "compared_within_kinds": self.standing.same_kind,
            "shuffles": self.shuffles,
        }
        return found | ({"canaries": self._rows()} if canaries else {})

    def alone(self, level: float = 1 - CONFIDENCE, *, by_share: bool = False) -> int:
        """How many planted canaries are told from the controls one by one, corrected for their number."""
        return int(((self.false_discovery if by_share else self.corrected) <= level + 1e-12).sum())

    def _rows(self) -> list[dict[str, Any]]:
        columns = {
            "rank": self.standing.ranks,
            "references": self.standing.references,
            "exposure_bits": self.standing.exposures,
            "p_value": self.standing.p_values,
            "holm": self.corrected,
            "benjamini_hochberg": self.false_discovery,
        }
        if self.extrapolated is not None:
            columns["extrapolated_bits"] = self.extrapolated.bits
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]


def exposure(losses: ArrayLike, manifest: Manifest, *, shuffles: int = SHUFFLES, seed: int = 0) -> Exposure:
    """Compare planted canaries with those that were held out (Carlini et al. 2019, arXiv 1802.08232).

    Parameters
    ----------
    losses : array-like of float, shape (n,)
        One for each canary of the manifest in its order, planted or not, all asked for in the same way; a lower one
        speaks for memorisation.  `dedupkit.audit.canary_loss.canary_losses` gives them.
    manifest : Manifest
        The canaries.
    shuffles, seed : int
        Shuffles of the tests, and their seed.

    Returns
    -------
    Exposure

    Raises
    ------
    UsageError
        If there is not one finite loss for each canary, there are no planted ones or no controls, or too few shuffles.

    Notes
    -----
    With 1,000 planted canaries and as many controls it takes some seconds.
    """
    from scipy.stats import false_discovery_control

    if shuffles < 99:
        raise UsageError(f"shuffles must be 99 or more, got {shuffles}; fewer cannot give a p-value of 0.01")
    found = Losses.of(losses, manifest)
    placed = standing(found)
    tables = _Tables(found, placed, shuffles, seed)
    kinds = [str(each) for each in np.unique(found.kinds[found.planted])]
    times = [int(each) for each in np.unique(found.repetitions[found.planted])]
    return Exposure(
        overall=tables.table([(None, None)])[0],
        by_repetitions=tables.table([(None, each) for each in times]),
        by_kind=tables.table([(kind, None) for kind in kinds]),
        cells=tables.table([(kind, each) for kind in kinds for each in times]),
        standing=placed,
        repetitions=found.repetitions[found.planted],
        corrected=holm(placed.p_values),
        false_discovery=np.asarray(false_discovery_control(placed.p_values), np.float64),
        curve=Curve(placed.scores, placed.control_scores),
        trend=trend(found, placed.scores, shuffles=shuffles, seed=seed),
        shuffles=shuffles,
    )


@dataclass(frozen=True, slots=True)
class _Tables:
    """Makes tables of cells."""

    losses: Losses
    placed: Standing
    shuffles: int
    seed: int

    def table(self, wanted: list[tuple[str | None, int | None]]) -> tuple[Cell, ...]:
        """The cells of some kinds and repetitions that hold canaries, corrected for their number."""
        held = [(kind, times, self._chosen(kind, times)) for kind, times in wanted]
        held = [each for each in held if each[2].any()]
        level = (1 - CONFIDENCE) / len(held)
        tests = [
            rank_test(self.losses, chosen, level=level, shuffles=self.shuffles, seed=self.seed) for *_, chosen in held
        ]
        corrected = holm([test.p_value for test in tests]).tolist()
        return tuple(
            self._cell(kind, times, chosen, (test.p_value, together, test.detectable))
            for (kind, times, chosen), test, together in zip(held, tests, corrected, strict=True)
        )

    def _chosen(self, kind: str | None, times: int | None) -> NDArray[np.bool_]:
        chosen = self.losses.planted.copy()
        if kind is not None:
            chosen &= self.losses.kinds == kind
        if times is not None:
            chosen &= self.losses.repetitions == times
        return chosen

    def _cell(
        self, kind: str | None, times: int | None, chosen: NDArray[np.bool_], tested: tuple[float, float, float | None]
    ) -> Cell:
        rows = chosen[self.losses.planted]
        exposures, most = self.placed.exposures[rows], int(self.placed.references[rows].max())
        kinds = np.unique(self.losses.kinds[chosen])
        controls = int((~self.losses.planted & np.isin(self.losses.kinds, kinds)).sum())
        above_all = int((self.placed.ranks[rows] == 1).sum())
        low, high = median_interval(exposures, (float(np.log2(most / (most + 1))), float(np.log2(most))))
        middle = float(np.median(exposures))
        return Cell(kind, times, int(rows.sum()), controls, above_all, middle, low, high, *tested)


def median_interval(values: NDArray[np.float64], bounds: tuple[float, float]) -> tuple[float, float]:
    """An interval for the median of what some values are drawn from, by order statistics; `bounds` for fewer than 6.

    Exact for any distribution: it holds the median in 95 % of draws or more.
    """
    from scipy.stats import quantile_test

    found = quantile_test(values, q=0, p=0.5).confidence_interval(CONFIDENCE)
    low, high = (float(each) for each in (found.low, found.high))
    return (bounds[0] if np.isnan(low) else low), (bounds[1] if np.isnan(high) else high)
