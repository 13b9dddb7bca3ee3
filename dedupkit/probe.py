"""A linear probe: how well a logistic regression tells rows of features apart that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RIDGE = 10.0  # a sample more or less must not turn a weight of some ten features and some ten samples
_STEPS = 25


@dataclass(frozen=True, slots=True)
class Probe:
    """A logistic regression that was taught.

    Attributes
    ----------
    mean, spread : ndarray of float64, shape (n,)
        Mean and standard deviation of each feature, 1 where it does not vary.
    weights : ndarray of float64, shape (n + 1,)
        The intercept, and the weight of each feature so scaled.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, table: NDArray[np.float64], labels: NDArray[np.bool_]) -> Probe:
        """Teach it rows of features and whether each is one of those looked for; both labels count the same in all."""
        mean, spread = table.mean(0), table.std(0)
        spread = np.where(spread > 0, spread, 1)
        return cls(mean, spread, _fitted((table - mean) / spread, labels))

    def log_odds(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log of the odds that each row is one of those looked for, if they were as many as the others."""
        return np.asarray(self.weights[0] + ((table - self.mean) / self.spread) @ self.weights[1:], np.float64)


def held_out_scores(
    table: NDArray[np.float64], labels: NDArray[np.bool_], folds: int, seed: int
) -> NDArray[np.float64]:
    """Log-odds of each row by a ridge logistic regression on the other folds; both labels count the same."""
    order = np.random.default_rng(seed).permutation(len(table))
    fold = np.empty(len(table), np.int64)
    for label in (False, True):  # as many of each label in every fold
        rows = order[labels[order] == label]
        fold[rows] = np.arange(len(rows)) % folds
    scores = np.empty(len(table))
    for number in range(folds):
        tested = fold == number
        scores[tested] = Probe.of(table[~tested], labels[~tested]).log_odds(table[tested])
    return scores


def auc_of(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Share of pairs in which the positive score is the higher one; ties count half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    up_to = np.searchsorted(ordered, positive, side="right")
    return float((below + up_to).mean() / 2 / len(negative))


def _fitted(table: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights of a logistic regression by Newton's method, the intercept first."""
    rows = np.column_stack([np.ones(len(table)), table])
    share = labels.mean()
    balance = np.where(labels, 0.5 / share, 0.5 / (1 - share)) * min(share, 1 - share) * 2
    ridge = np.full(rows.shape[1], _RIDGE)
    ridge[0] = 1e-6
    weights = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (balance * (chance - labels)) + ridge * weights
        curve = (rows * (balance * chance * (1 - chance) + 1e-9)[:, None]).T @ rows + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return weights
