"""The evidence of geometry as one number: how likely two pictures are copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_INTERCEPT = -14.0
_INLIERS, _AGREEMENT, _CONFLICT, _OUTLINE, _OFF_TONE = 1.67, 5.25, -0.61, 5.19, -3.43


def score(
    inliers: NDArray[np.float32],
    agreement: NDArray[np.float32],
    conflict: NDArray[np.float32],
    outline: NDArray[np.float32],
    off_tone: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Weigh evidence.

    Parameters
    ----------
    inliers, agreement, conflict, outline, off_tone : ndarray of float32, shape (n,)
        As in `dedupkit.matching.geometry.Alignment`.

    Returns
    -------
    ndarray of float32, shape (n,)
        In [0, 1]; 0 where nothing was aligned.
    """
    weight = _INTERCEPT + _INLIERS * np.log1p(inliers) + _AGREEMENT * agreement + _CONFLICT * conflict
    weight = weight + _OUTLINE * outline + _OFF_TONE * off_tone
    return np.where(inliers > 0, 1 / (1 + np.exp(-weight)), 0).astype(np.float32)
