"""Images that a model draws again and again for one caption: cliques of near ones (arXiv 2301.13188, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_LOOKED_AT = 200_000  # maximal cliques; a graph of one memorised picture and noise has a handful


@dataclass(frozen=True, slots=True)
class Clique:
    """A largest set of images of which each two are near.

    Attributes
    ----------
    members : tuple of int
        Their numbers, ascending.
    mean_distance : float
        Over all pairs of them; 0 of a single one.
    middle : int
        The member with the least distance to the others.
    complete : bool
        Whether all cliques were looked at, so that none is larger.
    """

    members: tuple[int, ...]
    mean_distance: float
    middle: int
    complete: bool


def largest_clique(distances: NDArray[np.float64], max_distance: float) -> Clique:
    """The largest clique of images nearer than a distance; of several, the one that is closest together.

    Parameters
    ----------
    distances : ndarray of float64, shape (n, n)
        Of each image to each, symmetric.
    max_distance : float
        Largest distance of an edge.
    """
    found, best, complete = _cliques(distances <= max_distance), (0, 0.0), True
    members: list[int] = [0]
    for number, clique in enumerate(found):
        if number == _LOOKED_AT:
            complete = False
            break
        rank = (len(clique), -_mean(distances, clique))
        if rank > best:
            members, best = clique, rank
    part = distances[np.ix_(members, members)]
    return Clique(tuple(sorted(members)), -best[1] + 0.0, members[int(part.sum(axis=1).argmin())], complete)


def _cliques(near: NDArray[np.bool_]) -> Iterator[list[int]]:
    """All maximal cliques (Bron and Kerbosch, by networkx)."""
    try:
        import networkx
    except ImportError as error:
        raise UsageError("cliques of generated images need networkx; pip install 'dedupkit[audit]'") from error
    adjacent: NDArray[np.bool_] = near.copy()
    np.fill_diagonal(adjacent, False)
    found: Iterator[list[int]] = networkx.find_cliques(networkx.from_numpy_array(adjacent))
    return found


def _mean(distances: NDArray[np.float64], clique: list[int]) -> float:
    part = distances[np.ix_(clique, clique)]
    return float(part.sum() / max(1, len(clique) * (len(clique) - 1)))
