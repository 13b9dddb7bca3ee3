"""Were these samples, as a set, in the training set?  What single scores cannot tell, many together may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dedupkit.audit.statistics import Curve, difference_p_value
from dedupkit.errors import UsageError
from dedupkit.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Scores = Mapping[str, NDArray[np.float64]]

SIGNIFICANT = 0.01  # CDI's 99 %
_POWER = 0.8
_LEAST = 4  # of either, so that a half holds two


@dataclass(frozen=True, slots=True)
class DatasetInference:
    """Whether a set scores above controls as a whole.

    Attributes
    ----------
    p_value : float
        Chance of as high scores if the set had not been trained on; one-sided.
    auc : float
        Chance that one of the set ranks above a control, in what was tested.
    auc_interval : tuple of float
        Of that, 95 %.
    suspects, controls : int
        How many were given.
    tested : tuple of int
        How many of them the p-value rests on; the others weighed the attacks.
    weights : {"learned", "equal"}
        How attacks were combined.
    weight : mapping of str to float
        Of each attack's score, after its spread was made 1.
    """

    p_value: float
    auc: float
    auc_interval: tuple[float, float]
    suspects: int
    controls: int
    tested: tuple[int, int]
    weights: Literal["learned", "equal"]
    weight: Mapping[str, float]

    @property
    def found(self) -> bool:
        """Whether the set was most likely trained on: p-value at most 0.01."""
        return self.p_value <= SIGNIFICANT

    @property
    def needed(self) -> int | None:
        """Samples in the set, with as many controls, that would show this AUC at p = 0.01 four times in five.

        After Noether 1987; None where there is no effect to show.
        """
        from scipy.stats import norm

        effect = self.auc - 0.5
        if effect <= 0:
            return None
        spread = float(norm.ppf(1 - SIGNIFICANT) + norm.ppf(_POWER))
        share = self.tested[0] / self.suspects
        return max(int(np.ceil(spread**2 / (6 * effect**2) / share)), round(_LEAST / share))

    @property
    def detectable(self) -> float:
        """The AUC that sets of this size would have shown at p = 0.01 four times in five (Noether 1987)."""
        from scipy.stats import norm

        n, m = self.tested
        spread = float(norm.ppf(1 - SIGNIFICANT) + norm.ppf(_POWER))
        return min(0.5 + spread * float(((n + m) / (12 * n * m)) ** 0.5), 1.0)

    @property
    def answer(self) -> str:
        """The finding in a sentence."""
        low, high = self.auc_interval
        measured = f"p = {self.p_value:.2g}, AUC {self.auc:.2f}, {low:.2f} to {high:.2f}"
        if self.found:
            return (
                f"as a set, these {self.suspects} samples were most likely trained on, if they and the "
                f"{self.controls} controls are alike but for that ({measured})"
            )
        return f"nothing shows that these {self.suspects} samples, as a set, were trained on ({measured})"

    @property
    def limits(self) -> tuple[str, ...]:
        """What it does not show."""
        found = [
            "The p-value holds if the set would have looked to the model like the controls had it not been trained "
            "on: both drawn from the same source, by a coin flip at best.",
            "It says nothing of any single sample, and not what share of the set was trained on.",
        ]
        if not self.found:
            enough = f"; at the AUC seen, {self.needed} of each would be needed" if self.needed else ""
            found.append(
                f"With {self.suspects} samples and {self.controls} controls an AUC of {self.detectable:.2f} would be "
                f"found four times in five, a smaller one less often{enough}."
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """All of it, in names and numbers."""
        low, high = self.auc_interval
        return {
            "found": self.found,
            "p_value": self.p_value,
            "auc": self.auc,
            "auc_low": low,
            "auc_high": high,
            "suspects": self.suspects,
            "controls": self.controls,
            "tested": list(self.tested),
            "weights": self.weights,
            "weight": dict(self.weight),
            "needed": self.needed,
            "detectable_auc": self.detectable,
            "answer": self.answer,
            "limits": list(self.limits),
        }


def dataset_inference(
    suspects: Scores, controls: Scores, *, weights: Literal["learned", "equal"] = "learned", seed: int = 0
) -> DatasetInference:
    """Test whether a set as a whole was trained on, by the scores of several attacks together.

    With learned weights, a random half of both sets teaches a logistic regression how much each score counts, and the
    other half is tested: one-sided Mann-Whitney, so that no score is asked twice and outliers do not matter.  With
    equal weights the normal scores of all ranks are averaged and all samples are tested: better for few samples, as
    long as a higher score of each attack speaks for a member.

    The idea is that of LLM dataset inference (arXiv 2406.06443) and CDI (arXiv 2411.12858).  CDI's code
    (sprintml/copyrighted_data_identification) scores every sample by a logistic regression on the other four fifths
    and takes Welch's t-test over all; those scores depend on each other, which is why half is held out here.  Its
    features from gradients are not used: a `Denoiser` gives none.

    Parameters
    ----------
    suspects, controls : mapping of str to array-like of float, shapes (n,) and (m,)
        Scores by attack, the same attacks for both; a higher score speaks for a member.
    weights : {"learned", "equal"}
        How they are combined.  Choose before looking.
    seed : int
        Of the halves.

    Returns
    -------
    DatasetInference

    Raises
    ------
    UsageError
        If the attacks differ, or there are fewer than four samples or controls.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = dataset_inference({"loss": rng.normal(1, 1, 200)}, {"loss": rng.normal(0, 1, 200)})
    >>> found.p_value < 1e-6, found.tested
    (True, (100, 100))
    """
    if set(suspects) != set(controls) or not suspects:
        raise UsageError(
            f"suspects and controls must have scores of the same attacks, got {sorted(suspects)} and "
            f"{sorted(controls)}; ask both the same"
        )
    names = list(suspects)
    table, others = (
        np.column_stack([np.asarray(each[name], float) for name in names]) for each in (suspects, controls)
    )
    if min(len(table), len(others)) < _LEAST:
        raise UsageError(f"each set must be {_LEAST} samples or more, got {len(table)} and {len(others)}; add some")
    if weights == "learned":
        high, low, weight = _by_halves(table, others, seed)
    else:
        high, low, weight = _by_ranks(table, others)
    curve = Curve(high, low)
    return DatasetInference(
        p_value=difference_p_value(high, low),
        auc=curve.auc,
        auc_interval=curve.auc_interval,
        suspects=len(table),
        controls=len(others),
        tested=(len(high), len(low)),
        weights=weights,
        weight=dict(zip(names, weight.tolist(), strict=True)),
    )


def _by_halves(
    suspects: NDArray[np.float64], controls: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Scores of the halves that did not teach, and the weights that the others taught."""
    rng = np.random.default_rng(seed)
    halves = [np.split(rng.permutation(each), [len(each) // 2]) for each in (suspects, controls)]
    taught = np.concatenate([half[0] for half in halves])
    probe = Probe.of(taught, np.arange(len(taught)) < len(halves[0][0]))
    return probe.log_odds(halves[0][1]), probe.log_odds(halves[1][1]), probe.weights[1:]


def _by_ranks(
    suspects: NDArray[np.float64], controls: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the normal scores of ranks over both sets."""
    from scipy.stats import norm, rankdata

    both = np.concatenate([suspects, controls])
    scores = norm.ppf(rankdata(both, axis=0) / (len(both) + 1)).mean(axis=1)
    return scores[: len(suspects)], scores[len(suspects) :], np.full(both.shape[1], 1 / both.shape[1])
