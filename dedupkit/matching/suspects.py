"""Which earlier entries a new one may be a copy of, and by which evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.matching.against import FAR
from dedupkit.matching.descriptor_tables import exact_cosines
from dedupkit.matching.hash_tables import NearHashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.matching.seen import Seen, Stretch
    from dedupkit.matching.signatures import Fingerprints
    from dedupkit.recipe import Matching


@dataclass(frozen=True, slots=True)
class Suspects:
    """Pairs of a new sample and an earlier entry, sorted by sample, each pair once.

    Attributes
    ----------
    query : ndarray of int64, shape (n,)
        Row of the new sample.
    entry : ndarray of int64, shape (n,)
        The earlier entry.
    bits : ndarray of int64, shape (n,)
        Hamming distance of their hashes, `FAR` where they are not near.
    turn, trimmed : ndarray of int64, shape (n,)
        How the new one has to be turned to match; whose frame was trimmed: 1 the entry's, 2 the new one's, 3 both.
    cosine : ndarray of float32, shape (n,)
        Of their descriptors; NaN where there are none, 0 where one picture has none.
    """

    query: NDArray[np.int64]
    entry: NDArray[np.int64]
    bits: NDArray[np.int64]
    turn: NDArray[np.int64]
    trimmed: NDArray[np.int64]
    cosine: NDArray[np.float32]

    def rows(self, which: NDArray[np.int64]) -> Suspects:
        """Some of the pairs."""
        return Suspects(*(getattr(self, name)[which] for name in Suspects.__slots__))

    def of(self, query: int) -> Suspects:
        """The pairs of one new sample."""
        return self.rows(np.arange(*np.searchsorted(self.query, [query, query + 1])))

    @property
    def near_hash(self) -> NDArray[np.bool_]:
        """Pairs with near hashes."""
        return np.asarray(self.bits != FAR)

    def sure(self, matching: Matching) -> NDArray[np.bool_]:
        """Pairs that need no proof: near hashes whose descriptors, if there are any, agree."""
        return np.asarray(self.near_hash & ~(self.cosine < np.float32(matching.sure_cosine)))


def suspects(prints: Fingerprints, rows: NDArray[np.int64], seen: Seen, also: list[Stretch]) -> Suspects:
    """Search for some rows of new fingerprints.

    Parameters
    ----------
    prints : Fingerprints
        New samples, numbered as entries.
    rows : ndarray of int64
        Those that are no copies of earlier ones by their bytes.
    seen : Seen
        What came before.
    also : list of Stretch
        More of it: the new samples themselves, of which those before each one count.

    Returns
    -------
    Suspects
        `query` is the place among `rows`.
    """
    near = seen.near_hashes(seen.hash_queries(prints, rows), also)
    if not seen.described:
        return _sorted(Suspects(*near, np.full(len(near.query), np.nan, np.float32)))
    if not prints.descriptors.shape[1]:
        return _sorted(Suspects(*near, np.zeros(len(near.query), np.float32)))
    wanted = seen.descriptor_queries(prints, rows)
    alike = seen.near_descriptors(wanted, also)
    total = int(prints.positions.max(initial=0)) + 1
    alike = alike.rows(np.flatnonzero(~np.isin(alike.query * total + alike.entry, near.query * total + near.entry)))
    far = NearHashes(alike.query, alike.entry, *(np.full(len(alike.query), value) for value in (FAR, 0, 0)))
    cosine = np.concatenate([_cosines(wanted.rows, near, seen, also), alike.cosine])
    return _sorted(Suspects(*NearHashes.joined([near, far]), np.minimum(cosine, 1).astype(np.float32)))


def _cosines(rows: NDArray[np.float16], near: NearHashes, seen: Seen, also: list[Stretch]) -> NDArray[np.float64]:
    """Cosine of pairs of near hashes; 0 where one has no descriptor."""
    others = seen.descriptors(near.entry, also)
    if not others.shape[1]:
        return np.zeros(len(near.query))
    return exact_cosines(rows, others, near.query, np.arange(len(others)))


def _sorted(found: Suspects) -> Suspects:
    return found.rows(np.lexsort((found.entry, found.query)))
