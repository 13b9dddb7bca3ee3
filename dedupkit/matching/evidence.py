"""What speaks for a pair of an earlier entry and a new one, from the search to a row of the table of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.matching.against import FAR
from dedupkit.matching.near_hashes import TRIMMED
from dedupkit.matching.score import score
from dedupkit.matching.turns import INVERSE, ORIENTATIONS
from dedupkit.sample import PAIRS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.matching.geometry import Alignment
    from dedupkit.matching.suspects import Suspects
    from dedupkit.sample import Tier

_MEASURES = ("inliers", "blocks", "agreement", "conflict", "outline", "off_tone", "overlap")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How two pictures lie over each other, and how likely that makes them copies, in [0, 1]."""

    aligned: Alignment
    score: float

    @classmethod
    def of(cls, aligned: Alignment, refused: bool) -> Verdict:
        """Weigh what geometry saw; what is refused is no copy whatever it saw."""
        names = ("inliers", "agreement", "outline", "off_tone")
        likely = score(*(np.array([getattr(aligned, name)], np.float32) for name in names))
        return cls(aligned, 0.0 if refused else float(likely[0]))


@dataclass(frozen=True, slots=True)
class Found:
    """One pair: a row of the suspects, the new entry, what came of it, and what geometry saw if it was asked."""

    suspects: Suspects
    row: int
    new: int
    tier: Tier
    verdict: Verdict | None = None

    @property
    def entry(self) -> int:
        """The earlier one."""
        return int(self.suspects.entry[self.row])

    @property
    def cosine(self) -> float:
        """Of their descriptors; NaN without."""
        return float(self.suspects.cosine[self.row])

    def as_row(self) -> dict[str, Any]:
        """In the schema of `dedupkit.sample.PAIRS`."""
        found, row = self.suspects, self.row
        values: dict[str, Any] = {"a": self.entry, "b": self.new, "tier": self.tier.value}
        if found.bits[row] != FAR:
            values["hamming_bits"] = int(found.bits[row])
            values["orientation"] = ORIENTATIONS[found.turn[row]]
            values["trimmed"] = TRIMMED[found.trimmed[row]]
        if not np.isnan(found.cosine[row]):
            values["cosine"] = float(found.cosine[row])
        if self.verdict is not None:
            aligned = self.verdict.aligned
            values |= {name: getattr(aligned, name) for name in _MEASURES}
            values["transform"] = np.asarray(aligned.transform, np.float32).reshape(-1).tolist()
            values["score"] = self.verdict.score
        return values


def pairs_table(found: list[Found]) -> pa.Table:
    """Pairs in the schema of `dedupkit.sample.PAIRS`, by entry numbers."""
    return pa.Table.from_pylist([each.as_row() for each in found], schema=PAIRS)


def turned_round(pairs: pa.Table, which: NDArray[np.bool_]) -> pa.Table:
    """Pairs of which some get their ends exchanged, and all that is said from one end to the other with them."""
    if not which.any():
        return pairs
    rows = pairs.to_pylist()
    for row in (rows[at] for at in np.flatnonzero(which).tolist()):
        row["a"], row["b"] = row["b"], row["a"]
        if row["orientation"] is not None:
            row["orientation"] = ORIENTATIONS[INVERSE[ORIENTATIONS.index(row["orientation"])]]
            row["trimmed"] = {"a": "b", "b": "a"}.get(row["trimmed"], row["trimmed"])
        if row["transform"] is not None:
            row["transform"] = _inverse(row["transform"])
    return pa.Table.from_pylist(rows, schema=pairs.schema)


def _inverse(transform: list[float]) -> list[float]:
    whole = np.vstack([np.array(transform).reshape(2, 3), [0, 0, 1]])
    if not np.isfinite(whole).all() or abs(np.linalg.det(whole)) < 1e-12:  # of pictures that were not aligned
        return transform
    return [float(value) for value in np.linalg.inv(whole)[:2].reshape(-1)]
