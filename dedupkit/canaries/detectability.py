"""How well a simple test tells canaries from their neighbours: a linear probe on what is cheap to measure."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from dedupkit.fingerprints.decode import strict_pillow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_RIDGE = 10.0  # a canary more or less must not turn a weight of some ten features and some ten canaries
_STEPS = 25
_SIDE = 128  # pixels that steps between neighbours are measured at, besides full scale

FEATURES = (
    "log bytes", "bytes a pixel", "jpeg", "png", "webp", "log width", "log height", "log aspect", "exif", "profile",
    "progressive", "grey", "mean", "deviation", "red", "blue", "saturation", "entropy", "step across", "step down",
    "curvature", "step at 128 pixels", "curvature at 128 pixels", "place",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Detectability:
    """What a logistic regression makes of the features, each sample judged by one that has not seen it.

    Attributes
    ----------
    auc : float
        Chance that a canary is ranked above another sample, in [0, 1]; 0.5 tells nothing.
    standard_error : float
        Of that (Hanley and McNeil 1982).
    canaries, others : int
        How many there were of each.
    """

    auc: float
    standard_error: float
    canaries: int
    others: int


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
        """Teach it rows of features and whether each is a canary's; both labels count the same in all."""
        mean, spread = table.mean(0), table.std(0)
        spread = np.where(spread > 0, spread, 1)
        return cls(mean, spread, _fitted((table - mean) / spread, labels))

    def log_odds(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log of the odds that each row is a canary's, if canaries were as many as others."""
        return np.asarray(self.weights[0] + ((table - self.mean) / self.spread) @ self.weights[1:], np.float64)


def detect(
    canaries: Sequence[tuple[bytes, float]], others: Sequence[tuple[bytes, float]], folds: int = 5, seed: int = 0
) -> Detectability:
    """Try to tell canaries from other samples by file size, format, dimensions, place and simple statistics.

    Parameters
    ----------
    canaries, others : sequence of (bytes, float)
        Encoded image, and its place in its shard as a share in [0, 1].
    folds : int
        Into how many parts samples are divided; each is judged by what the others teach.
    seed : int
        How they are divided.

    Returns
    -------
    Detectability
    """
    table = np.array([features(data, place) for data, place in (*canaries, *others)])
    labels = np.arange(len(table)) < len(canaries)
    scores = held_out_scores(table, labels, folds, seed)
    auc = auc_of(scores[labels], scores[~labels])
    return Detectability(auc, _standard_error(auc, len(canaries), len(others)), len(canaries), len(others))


def features(data: bytes, place: float = 0.5) -> NDArray[np.float64]:
    """The `FEATURES` of an encoded image, shape (24,)."""
    with strict_pillow(), Image.open(io.BytesIO(data)) as image:
        info, kind, grey = dict(image.info), (image.format or "").lower(), image.mode in ("L", "LA")
        pixels = np.asarray(image.convert("RGB")).astype(np.float32)
    height, width, _ = pixels.shape
    gray = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    shares = np.bincount((gray / 8).astype(np.int64).ravel(), minlength=32) / gray.size
    small = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    flags = [kind == "jpeg", kind == "png", kind == "webp"]
    return np.array(
        [
            np.log(len(data)),
            len(data) / (width * height),
            *flags,
            np.log(width),
            np.log(height),
            np.log(width / height),
            "exif" in info,
            "icc_profile" in info,
            bool(info.get("progressive")),
            grey,
            gray.mean(),
            gray.std(),
            pixels[:, :, 0].mean() - gray.mean(),
            pixels[:, :, 2].mean() - gray.mean(),
            (pixels.max(axis=2) - pixels.min(axis=2)).mean(),
            -sum(share * np.log2(share) for share in shares if share),
            np.abs(np.diff(gray, axis=1)).mean() if width > 1 else 0,
            np.abs(np.diff(gray, axis=0)).mean() if height > 1 else 0,
            np.log1p(cv2.Laplacian(gray, cv2.CV_32F).var()),
            np.abs(np.diff(small, axis=1)).mean() + np.abs(np.diff(small, axis=0)).mean(),
            np.log1p(cv2.Laplacian(small, cv2.CV_32F).var()),
            place,
        ],
        np.float64,
    )


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


def _standard_error(auc: float, positives: int, negatives: int) -> float:
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    square = auc * (1 - auc) + (positives - 1) * (one - auc**2) + (negatives - 1) * (two - auc**2)
    return float((max(square, 0.0) / (positives * negatives)) ** 0.5)
