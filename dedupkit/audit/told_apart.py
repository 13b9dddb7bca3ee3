"""Can members and controls be told apart by looks, before any model is asked?  Then what a model says means nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.samples import pooled
from dedupkit.audit.statistics import Curve
from dedupkit.errors import UsageError
from dedupkit.probe import held_out_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.audit.samples import Samples

WARNS_AT = 0.01
_SIDE = 4  # pixels that pictures are shrunk to, a side
_BATCH = 64
_LEAST = 5  # of either, for folds that hold some of both


@dataclass(frozen=True, slots=True)
class ToldApart:
    """How well a logistic regression tells members from controls without the model.

    Attributes
    ----------
    auc : float
        Chance that it ranks a member above a control, each judged by what the others taught, in [0, 1].
    interval : tuple of float
        Of that, 95 %: DeLong's for independent scores, wider by as much as shuffled labels spread wider than such
        scores would, for folds depend on each other.
    p_value : float
        How often it does as well when labels are dealt out at random; one-sided, exact.
    permutations : int
        How many times they were.
    members, controls : int
        How many of each were looked at.
    """

    auc: float
    interval: tuple[float, float]
    p_value: float
    permutations: int
    members: int
    controls: int

    @property
    def warns(self) -> bool:
        """Whether they can be told apart: p-value at most 0.01."""
        return self.p_value <= WARNS_AT

    @property
    def answer(self) -> str:
        """What it found, in a sentence."""
        low, high = self.interval
        if self.warns:
            return (
                f"members and controls can be told apart without the model (AUC {self.auc:.2f}, {low:.2f} to "
                f"{high:.2f}, p = {self.p_value:.2g}): what follows says nothing about membership"
            )
        return (
            f"a simple test on pixels does not tell members from controls (AUC {self.auc:.2f}, {low:.2f} to "
            f"{high:.2f}, p = {self.p_value:.2g}); subtler differences are not ruled out"
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, in names and numbers."""
        low, high = self.interval
        found = {"auc": self.auc, "auc_low": low, "auc_high": high, "p_value": self.p_value, "warns": self.warns}
        counts = {"permutations": self.permutations, "members": self.members, "controls": self.controls}
        return found | counts | {"answer": self.answer}


def told_apart(
    members: Samples, controls: Samples, *, permutations: int = 199, folds: int = 5, most: int = 1000, seed: int = 0
) -> ToldApart:
    """Try to tell members from controls by pixels, files and captions alone.

    A ridge logistic regression looks at each picture shrunk to 4 x 4, spread and saturation of its colours, steps
    between neighbouring pixels, and, where given, the file's size and the caption's length.  Shuffled labels give the
    p-value.  Takes some seconds per thousand samples and hundred permutations.

    Parameters
    ----------
    members, controls : Samples
    permutations : int
        The smallest p-value is ``1 / (permutations + 1)``.
    folds : int
        Into how many parts samples are divided.
    most : int
        Of either, drawn at random where there are more.
    seed : int
        Of divisions and permutations.

    Returns
    -------
    ToldApart

    Raises
    ------
    UsageError
        If there are fewer than five of either, or permutations too few for the warning.
    """
    if min(len(members), len(controls)) < _LEAST:
        raise UsageError(
            f"members and controls must be {_LEAST} or more each to be compared, got {len(members)} and "
            f"{len(controls)}; add some"
        )
    if permutations < 1 / WARNS_AT - 1:
        raise UsageError(f"permutations must be {1 / WARNS_AT - 1:.0f} or more, got {permutations}; 199 are usual")
    rng = np.random.default_rng([seed, 1])
    looked_at = [each.rows(rng.permutation(len(each))[:most]) for each in (members, controls)]
    table = features(pooled(*looked_at))
    labels = np.arange(len(table)) < len(looked_at[0])
    found = _curve(table, labels, folds, seed)
    shuffled = [_curve(table, rng.permutation(labels), folds, seed).auc for _ in range(permutations)]
    as_high = sum(each >= found.auc - 1e-12 for each in shuffled)
    p_value = (1 + as_high) / (1 + permutations)
    return ToldApart(found.auc, _widened(found, shuffled), p_value, permutations, *map(len, looked_at))


def features(samples: Samples) -> NDArray[np.float64]:
    """What is looked at of each sample, shape (n, features)."""
    starts = range(0, len(samples), _BATCH)
    columns = [np.concatenate([_looks(samples.images[start : start + _BATCH]) for start in starts])]
    if samples.file_bytes is not None:
        columns.append(np.log(np.maximum(samples.file_bytes, 1))[:, None])
    if any(samples.prompts):
        columns.append(np.array([[len(told or ""), len((told or "").split())] for told in samples.prompts]))
    return np.concatenate(columns, axis=1, dtype=np.float64)


def _looks(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Small version, spread and saturation of the colours, steps between neighbours."""
    pixels = images / 255
    spread = pixels.std(axis=(1, 2))
    saturation = (pixels.max(axis=3) - pixels.min(axis=3)).mean(axis=(1, 2))
    steps = np.stack([_step(pixels, axis) for axis in (1, 2)], axis=1)
    return np.concatenate(
        [_shrunk(pixels).reshape(len(pixels), -1), spread, saturation[:, None], np.log(steps + 1e-3)], axis=1
    )


def _curve(table: NDArray[np.float64], labels: NDArray[np.bool_], folds: int, seed: int) -> Curve:
    scores = held_out_scores(table, labels, folds, seed)
    return Curve(scores[labels], scores[~labels])


def _widened(found: Curve, shuffled: list[float]) -> tuple[float, float]:
    """The interval of an AUC, its distance to either bound stretched on the logit scale."""
    below, above = found.auc_interval
    if not 0 < below < above < 1:  # no scale to stretch on; a bound by counting, which folds do not narrow
        return below, above
    n, m = len(found.members), len(found.controls)
    stretch = max(1.0, float(np.std(shuffled)) / ((n + m + 1) / (12 * n * m)) ** 0.5)
    low, centre, high = (np.log(each / (1 - each)) for each in (below, found.auc, above))
    wide_low, wide_high = (float(1 / (1 + np.exp(-centre - stretch * (bound - centre)))) for bound in (low, high))
    return wide_low, wide_high


def _shrunk(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over a grid of boxes."""
    for axis in (1, 2):
        edges = np.unique(np.linspace(0, pixels.shape[axis], _SIDE + 1).astype(int)[:-1])
        widths = np.diff([*edges, pixels.shape[axis]])
        shape = [-1 if each == axis else 1 for each in range(4)]
        pixels = np.add.reduceat(pixels, edges, axis=axis) / widths.reshape(shape)
    return pixels


def _step(pixels: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Mean step between neighbours along an axis; none where there is one pixel."""
    if pixels.shape[axis] < 2:
        return np.zeros(len(pixels))
    return np.asarray(np.abs(np.diff(pixels, axis=axis)).mean(axis=(1, 2, 3)))
