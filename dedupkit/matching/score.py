"""The evidence of geometry as one number: how likely two pictures are copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Logistic regression over 22,000 candidate pairs of 500 pictures, half of them of clothes much alike, and nine copies
# of each, a third written all over; a false pair weighs fifty times a true one.  See training/geometry_score.py.
# The 1.0 leaves out the one false pair found among 6,750 other pictures of clothes, and one true one in 200.
_INTERCEPT = -11.47 - 1.0
_INLIERS, _AGREEMENT, _OUTLINE, _OFF_TONE = 2.43, 4.84, 1.23, -1.98


def score(
    inliers: NDArray[np.float32],
    agreement: NDArray[np.float32],
    outline: NDArray[np.float32],
    off_tone: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Weigh evidence.

    Parameters
    ----------
    inliers, agreement, outline, off_tone : ndarray of float32, shape (n,)
        As in `dedupkit.matching.geometry.Alignment`.

    Returns
    -------
    ndarray of float32, shape (n,)
        In [0, 1]; 0 where nothing was aligned.
    """
    weight = _INTERCEPT + _INLIERS * np.log1p(inliers) + _AGREEMENT * agreement
    weight = weight + _OUTLINE * outline + _OFF_TONE * off_tone
    return np.where(inliers > 0, 1 / (1 + np.exp(-weight)), 0).astype(np.float32)
