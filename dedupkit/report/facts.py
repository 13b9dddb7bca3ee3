"""What a page tells of the samples that it shows, out of the tables between stages, shard by shard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.sample import ROW_BITS, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dedupkit.report.decided import Decided

MAX_CAPTION = 300  # characters
FINGERPRINT_COLUMNS = ("position", "width", "height", "format")
_DECIDED = ["position", "key", "action", "reason"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFacts:
    """One sample.

    Attributes
    ----------
    position : int
        Its place.
    key, action, reason : str
        As it was decided.
    caption : str or None
        The cleaned caption, cut to `MAX_CAPTION` characters; None too where it is not known any more.
    width, height : int or None
        Of the image, in pixels.
    format : str or None
        Its encoding.
    """

    position: int
    key: str
    action: str
    reason: str
    caption: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None

    @property
    def gone(self) -> bool:
        """Whether it was blocked or taken down, so that nothing of it may be shown."""
        return self.reason in (Reason.BLOCKED, Reason.CONTAMINATED)


def sample_facts(
    positions: Iterable[int],
    decisions: Decided,
    fingerprints: Callable[[int, Sequence[str]], pa.Table],
    captions: Callable[[int], pa.ChunkedArray | None],
) -> dict[int, SampleFacts]:
    """Facts of the samples at some positions.

    Parameters
    ----------
    positions : iterable of int
        Where they are.
    decisions : callable
        All decisions.
    fingerprints : callable
        Gives columns of the fingerprints of the shard of a number.
    captions : callable
        Gives the cleaned captions of that shard, or None.
    """
    wanted = pa.array(sorted(set(positions)), pa.uint64())
    found: dict[int, SampleFacts] = {}
    for table in decisions(_DECIDED) if len(wanted) else ():
        here = table.filter(pc.is_in(table["position"], value_set=wanted))
        if not here.num_rows:
            continue
        shards = here["position"].to_numpy() >> np.uint64(ROW_BITS)
        for number in np.unique(shards).tolist():
            rows = here.filter(pa.array(shards == number))
            for row in _with_fingerprints(rows, fingerprints(number, FINGERPRINT_COLUMNS), captions(number)):
                found[row.position] = row
    return found


def _with_fingerprints(decided: pa.Table, seen: pa.Table, captions: pa.ChunkedArray | None) -> Iterable[SampleFacts]:
    rows = pc.index_in(decided["position"], value_set=seen["position"].combine_chunks())
    facts = seen.take(rows).drop_columns("position").to_pylist()
    texts = [None] * len(facts) if captions is None else captions.take(rows).to_pylist()
    for one, other, caption in zip(decided.to_pylist(), facts, texts, strict=True):
        cut = caption if caption is None or len(caption) <= MAX_CAPTION else caption[: MAX_CAPTION - 1] + "…"
        yield SampleFacts(**one, **other, caption=cut)
