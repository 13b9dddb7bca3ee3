"""How far two hashes may differ: a radius with a source, narrower as the set grows."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

from dedupkit.matching.turns import PDQ, PHASH

if TYPE_CHECKING:
    from dedupkit.matching.turns import HashLayout
    from dedupkit.recipe import Matching

MAX_CHANCE_PAIRS = 0.01
_WIDEST = {
    PDQ: 31,  # Meta's recommendation, ThreatExchange, pdq/README.md
    PHASH: 6,
}
# Independent fair bits with the same variance of distance as the hashes of different pictures have (the degrees of
# freedom of Daugman 2003, doi:10.1016/S0031-3203(02)00030-4): the least of four sets, photos of clothes.
_EFFECTIVE_BITS = {PDQ: 207, PHASH: 44}


def layout_of(matching: Matching) -> HashLayout:
    """The layout of the hash that a recipe compares."""
    return PDQ if matching.hash == "pdq" else PHASH


def max_hamming_bits(matching: Matching, samples: int) -> int:
    """The radius of a recipe for a set of a size.

    Parameters
    ----------
    matching : Matching
        The recipe's part; a number there is taken as it stands.
    samples : int
        Pictures that are compared with each other.

    Returns
    -------
    int
        Bits.  With "auto", the widest radius of the hash at which no more than 0.01 pairs of different pictures are
        expected by chance.
    """
    if matching.max_hamming_bits != "auto":
        return matching.max_hamming_bits
    layout = layout_of(matching)
    radius = _WIDEST[layout]
    while radius > 0 and chance_pairs(layout, radius, samples, turned=matching.turned) > MAX_CHANCE_PAIRS:
        radius -= 1
    return radius


def chance_pairs(layout: HashLayout, radius: int, samples: int, *, turned: bool) -> float:
    """Expected pairs of different pictures within a radius, from the binomial law of the effective bits."""
    bits = _EFFECTIVE_BITS[layout]
    within = radius * bits // layout.bits
    share = sum(comb(bits, differing) for differing in range(within + 1)) / 2**bits
    return float(share * samples * (samples - 1) / 2 * (8 if turned else 1))
