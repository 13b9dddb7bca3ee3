"""How well a simple test tells canaries from their neighbours: a linear probe on what is cheap to measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dedupkit.fingerprints.pillow import opened_image
from dedupkit.probe import auc_of, held_out_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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
    with opened_image(data) as image:
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


def _standard_error(auc: float, positives: int, negatives: int) -> float:
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    square = auc * (1 - auc) + (positives - 1) * (one - auc**2) + (negatives - 1) * (two - auc**2)
    return float((max(square, 0.0) / (positives * negatives)) ** 0.5)
