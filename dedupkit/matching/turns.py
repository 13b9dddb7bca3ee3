"""The eight flips and quarter turns of an image, as they act on the bits of a DCT hash.

Mirroring an image changes the sign of the DCT coefficients of odd frequency along that axis; transposing it
transposes them.  On the bits that is a complement and a permutation.  Bits are therefore kept in four words, one for
each parity of the vertical and the horizontal frequency: mirroring complements whole words, and the distances to all
four mirror images follow from four popcounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORIENTATIONS = (
    "as is",
    "mirrored left-right",
    "mirrored top-bottom",
    "turned 180°",
    "transposed",
    "turned 90°",  # clockwise
    "turned 270°",
    "transverse",
)
"""How one image has to be turned to show the other, by number: bit 0 mirrors left-right, bit 1 top-bottom, bit 2
transposes first."""

INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)
"""Number of the turn that undoes each turn."""


@dataclass(frozen=True, slots=True)
class HashLayout:
    """How the bits of a hash lie on the DCT grid.

    Attributes
    ----------
    side : int
        Bits a side of the square grid of frequencies.
    first_frequency : int
        Frequency of the first row and column.
    reversed : bool
        Whether the first bit of the first byte is the highest frequency.
    """

    side: int
    first_frequency: int
    reversed: bool

    @property
    def bits(self) -> int:
        """Length of the hash in bits."""
        return self.side * self.side

    @property
    def word(self) -> np.dtype[Any]:
        """Type of one of the four words."""
        return np.dtype(f"<u{self.bits // 32}")

    def words(self, codes: NDArray[np.uint8]) -> NDArray[Any]:
        """Bits sorted by parity.

        Parameters
        ----------
        codes : ndarray of uint8, shape (n, bits / 8)
            Hashes as stored.

        Returns
        -------
        ndarray of uint64 or uint16, shape (n, 4)
            Words of the parities (even, even), (even, odd), (odd, even), (odd, odd), vertical first.
        """
        bits = np.unpackbits(codes, axis=1)[:, _order(self)]
        return np.ascontiguousarray(np.packbits(bits, axis=1)).view(self.word)

    def transposed(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Hashes of the transposed images, in the stored form."""
        grid = np.arange(self.bits).reshape(self.side, self.side)
        bits = np.unpackbits(codes, axis=1)[:, grid.T.ravel()]
        return np.packbits(bits, axis=1)


PHASH = HashLayout(side=8, first_frequency=0, reversed=False)
PDQ = HashLayout(side=16, first_frequency=1, reversed=True)


@lru_cache(maxsize=4)
def _order(layout: HashLayout) -> NDArray[np.int64]:
    """Places of the stored bits in the order of the words; inside a word, bits are dealt out to its 16-bit chunks."""
    places = np.arange(layout.bits)
    grid = (places[::-1] if layout.reversed else places).reshape(layout.side, layout.side)
    odd = (np.arange(layout.side) + layout.first_frequency) % 2
    words = [grid[odd == vertical][:, odd == horizontal].ravel() for vertical in (0, 1) for horizontal in (0, 1)]
    chunks = len(words[0]) // 16
    return np.concatenate([word.reshape(16, chunks).T.ravel() for word in words])


def mirrored_distances(difference: NDArray[Any]) -> NDArray[np.uint16]:
    """Hamming distances under the four mirrorings.

    Parameters
    ----------
    difference : ndarray of uint64 or uint16, shape (n, 4)
        Exclusive or of two hashes' words.

    Returns
    -------
    ndarray of uint16, shape (4, n)
        Distance with the second one as is, mirrored left-right, top-bottom, and both.
    """
    full = difference.dtype.itemsize * 8
    ones = np.bitwise_count(difference).T.astype(np.uint16)  # even-even, even-odd, odd-even, odd-odd
    zeros = full - ones
    return np.stack(
        [
            ones[0] + ones[1] + ones[2] + ones[3],
            ones[0] + zeros[1] + ones[2] + zeros[3],  # left-right: odd horizontal frequencies change sign
            ones[0] + ones[1] + zeros[2] + zeros[3],
            ones[0] + zeros[1] + zeros[2] + ones[3],
        ]
    )
