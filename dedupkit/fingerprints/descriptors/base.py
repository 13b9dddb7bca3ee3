"""What every network that describes pictures does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Describer(Protocol):
    """Describes pictures; may be called by several threads at once."""

    @property
    def identity(self) -> str:
        """What changes whenever the same picture gets another descriptor: a digest of the weights, or a version."""

    @property
    def side(self) -> int:
        """Width and height in pixels of the pictures it takes."""

    @property
    def dimensions(self) -> int:
        """Numbers in a descriptor."""

    def describe(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Describe pictures.

        Parameters
        ----------
        pictures : ndarray of uint8, shape (n, side, side, 3)
            RGB, squeezed into a square.

        Returns
        -------
        ndarray of float32, shape (n, dimensions)
            Rows of length 1.
        """


def squeezed(colour: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A picture, uint8 of shape (h, w, 3), in the square that a network takes; every pixel counts."""
    import cv2

    smooth = cv2.INTER_AREA if min(colour.shape[:2]) >= side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(colour, (side, side), interpolation=smooth), dtype=np.uint8)


def unit_rows(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Rows scaled to length 1; a row of zeros stays one."""
    exact = rows.astype(np.float32)
    return np.asarray(exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1e-12))
