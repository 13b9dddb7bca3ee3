"""What is measured of every picture in its one decode, for the checks that may follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TAIL = 0.005  # share of pixels that may be darker than the darkest and brighter than the brightest
_BLUR_WINDOW = 11  # pixels, as in the paper
_LEAST_STEPS = 0.02  # of those along the other axis
_LINES = 48  # rows and columns that blur is measured on


class Measures(NamedTuple):
    """Measures of a picture.

    Attributes
    ----------
    darkest, brightest : int
        Levels of luminance in 0-255 that 1 in 200 pixels is below, and above.
    blur : float
        No-reference blur (Crete et al. 2007, doi:10.1117/12.702790) in [0, 1]: 0 sharp, 1 blurred.
    """

    darkest: int
    brightest: int
    blur: float


def measured(gray: NDArray[np.uint8] | NDArray[np.float32]) -> Measures:
    """Measure a picture.

    Parameters
    ----------
    gray : ndarray of uint8 or float32, shape (h, w)
        Luminance in [0, 255], perhaps at a reduced scale: blur that no viewer of that size sees does not count.

    Examples
    --------
    >>> measured(np.full((90, 90), 200, np.uint8))
    Measures(darkest=200, brightest=200, blur=1.0)
    """
    levels = np.ascontiguousarray(gray if gray.dtype == np.uint8 else np.clip(gray, 0, 255), dtype=np.uint8)
    counts = np.cumsum(cv2.calcHist([levels], [0], None, [256], [0, 256]).ravel())
    darkest, brightest = np.searchsorted(counts, (_TAIL * counts[-1], (1 - _TAIL) * counts[-1]), side="left")
    return Measures(int(darkest), int(min(brightest, 255)), _blur(levels))


def _blur(levels: NDArray[np.uint8]) -> float:
    """Share of the steps between neighbours that blurring the picture once more leaves; the worse axis."""
    height, width = levels.shape
    rows, columns = (slice(None, None, max(1, side // _LINES)) for side in (height, width))
    found = [_blur_along(levels[:, columns], 0), _blur_along(levels[rows], 1)]
    most = max(total for total, _ in found)
    # An axis along which nothing changes, as in stripes, says nothing of blur.
    return max((blur for total, blur in found if total > most * _LEAST_STEPS), default=1.0)


def _blur_along(lines: NDArray[np.uint8], axis: int) -> tuple[float, float]:
    """Sum of all steps along an axis, and blur."""
    lines = np.ascontiguousarray(lines)
    window = (1, _BLUR_WINDOW) if axis == 0 else (_BLUR_WINDOW, 1)  # OpenCV says the width first
    steps = _steps(lines, axis)
    gone = np.maximum(steps - _steps(cv2.blur(lines, window, borderType=cv2.BORDER_REFLECT), axis), 0)
    total = cv2.sumElems(steps)[0]
    return total, 1 - cv2.sumElems(gone)[0] / total if total else 1.0


def _steps(lines: Any, axis: int) -> NDArray[np.int16]:
    """Size of Sobel's gradient along one axis."""
    return np.asarray(np.abs(cv2.Sobel(lines, cv2.CV_16S, int(axis == 1), int(axis == 0))))
