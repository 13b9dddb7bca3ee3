"""The evidence of geometry as one number: how likely two pictures are copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Logistic regression over 60,000 pairs of edited pictures, half of them copies; see training/geometry_score.py.
_INTERCEPT = -14.0
_INLIERS, _BLOCKS, _AGREEMENT, _COSINE = 1.6, 1.2, 10.0, 3.0


def score(
    inliers: NDArray[np.float32],
    blocks: NDArray[np.float32],
    agreement: NDArray[np.float32],
    cosine: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Weigh evidence.

    Parameters
    ----------
    inliers, blocks, agreement : ndarray of float32, shape (n,)
        As in `dedupkit.matching.geometry.Alignment`.
    cosine : ndarray of float32, shape (n,)
        Of the descriptors, in [-1, 1].

    Returns
    -------
    ndarray of float32, shape (n,)
        In [0, 1]; 0 where nothing was aligned.
    """
    weight = _INTERCEPT + _INLIERS * np.log1p(inliers) + _BLOCKS * np.log1p(blocks * agreement)
    weight = weight + _AGREEMENT * agreement + _COSINE * np.nan_to_num(cosine)
    return np.where(inliers > 0, 1 / (1 + np.exp(-weight)), 0).astype(np.float32)
