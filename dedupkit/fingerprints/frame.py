"""The uniform frame around an image, which is trimmed before a second hash is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIN_TRIMMED_SHARE = 0.02  # a line or two at an edge changes no hash
_MIN_LEFT_SHARE = 1 / 16  # less than that is a detail on a plain ground, not a framed image


def trim_frame(gray: NDArray[Any], max_frame_range: int) -> NDArray[Any] | None:
    """The image without its uniform frame.

    Parameters
    ----------
    gray : ndarray of uint8 or float32, shape (h, w)
        Luminance in [0, 255].
    max_frame_range : int
        Levels that a pixel of the frame may be away from the middle of its edge's outermost line.

    Returns
    -------
    ndarray or None
        A view on the inner part; None where there is no frame worth trimming, or next to nothing but frame.
    """
    box = frame_box(gray, max_frame_range)
    return None if box is None else gray[box]


def frame_box(gray: NDArray[Any], max_frame_range: int) -> tuple[slice, slice] | None:
    """Rows and columns of what is inside the uniform frame; parameters and None as in `trim_frame`."""
    height, width = gray.shape
    top, bottom = _inner_range(gray, max_frame_range)
    if top >= bottom:
        return None
    left, right = _inner_range(gray[top:bottom].T, max_frame_range)
    share = (bottom - top) * (right - left) / (height * width)
    if not _MIN_LEFT_SHARE <= share <= 1 - _MIN_TRIMMED_SHARE:
        return None
    return slice(top, bottom), slice(left, right)


def _inner_range(lines: NDArray[Any], max_range: int) -> tuple[int, int]:
    """First and one past the last line that is not part of a uniform edge."""
    first, last = _middle_if_uniform(lines[0], max_range), _middle_if_uniform(lines[-1], max_range)
    if first is None and last is None:
        return 0, len(lines)
    high, low = lines.max(axis=1).astype(np.float32), lines.min(axis=1).astype(np.float32)
    start, stop = 0, len(lines)
    if first is not None:
        start = _run_length((high - first <= max_range) & (first - low <= max_range))
    if last is not None:
        stop -= _run_length(((high - last <= max_range) & (last - low <= max_range))[::-1])
    return start, stop


def _middle_if_uniform(line: NDArray[Any], max_range: int) -> float | None:
    if abs(float(line[0]) - float(line[len(line) // 2])) > max_range:  # most edges end here, at a tenth of the cost
        return None
    low, high = float(line.min()), float(line.max())
    return (low + high) / 2 if high - low <= max_range else None


def _run_length(flags: NDArray[np.bool_]) -> int:
    """How many of the flags are set before the first that is not."""
    return len(flags) if flags.all() else int(flags.argmin())
