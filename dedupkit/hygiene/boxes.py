"""Boxes of faces as they stand in the fingerprints: where, and how sure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from dedupkit.recipe import Hygiene

_MARGIN = 0.2  # of its width and height, on each side: detectors leave out chin, ears and hair
_CELLS = 6  # across a box: what a face keeps is its tone


class Box(NamedTuple):
    """A face.

    Attributes
    ----------
    left, top, width, height : float
        Shares of the picture's width and height, as it is shown.
    score : float
        How sure the detector is, in [0, 1].
    """

    left: float
    top: float
    width: float
    height: float
    score: float

    @property
    def share(self) -> float:
        """Share of the picture's area."""
        return self.width * self.height


def counting(boxes: Iterable[Mapping[str, Any]] | None, limits: Hygiene) -> list[Box]:
    """The faces that count, out of a row of the fingerprints' column ``faces``.

    Examples
    --------
    >>> from dedupkit.recipe import Hygiene
    >>> found = [{"left": 0.5, "top": 0.5, "width": 0.2, "height": 0.1, "score": 0.9}]
    >>> len(counting(found, Hygiene())), len(counting(found, Hygiene(min_face_share=0.1)))
    (1, 0)
    """
    found = (Box(**each) for each in boxes or ())
    return [box for box in found if box.score >= limits.min_face_score and box.share >= limits.min_face_share]


def blurred(pixels: NDArray[np.uint8], boxes: Sequence[Box]) -> NDArray[np.uint8]:
    """A picture in which nobody's face can be made out.

    What is in a box and a fifth of its size around it is reduced to 6 x 6 values, which are spread smoothly: there is
    nothing left to sharpen.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        Left as it is.
    boxes : sequence of Box
        What to blur.

    Examples
    --------
    >>> import numpy as np
    >>> stripes = np.tile(np.array([0, 255], np.uint8), 60).reshape(1, 120, 1).repeat(90, 0).repeat(3, 2)
    >>> int(np.ptp(blurred(stripes, [Box(0, 0, 1, 1, 1)])) < 9), int(np.ptp(stripes))
    (1, 255)
    """
    import cv2  # loaders that change captions alone do without it

    changed = pixels.copy()
    for box in boxes:
        place = _place(box, *pixels.shape[:2])
        height, width = changed[place].shape[:2]
        if height and width:
            cells = cv2.resize(changed[place], (min(_CELLS, width), min(_CELLS, height)), interpolation=cv2.INTER_AREA)
            changed[place] = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
    return changed


def _place(box: Box, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a box with its margin."""
    left, right = box.left - _MARGIN * box.width, box.left + (1 + _MARGIN) * box.width
    top, bottom = box.top - _MARGIN * box.height, box.top + (1 + _MARGIN) * box.height
    rows = slice(max(0, int(top * height)), min(height, -int(-bottom * height // 1)))
    return rows, slice(max(0, int(left * width)), min(width, -int(-right * width // 1)))
