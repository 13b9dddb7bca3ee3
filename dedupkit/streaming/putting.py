"""Putting what a stream keeps into an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dedupkit.index.kept import Index
    from dedupkit.sample import Sample
    from dedupkit.streaming.judging import Match
    from dedupkit.streaming.preparing import Prepared

_AT_ONCE = 1000  # an addition writes files, and describes the pictures once more


class Putting:
    """Puts what is kept into an index, if there is one, so many at a time."""

    def __init__(self, index: Index | None) -> None:
        self._index = index
        self._waiting: list[Sample] = []

    def put(self, prepared: Prepared, matches: list[Match | None]) -> None:
        """Take the samples of a batch that are copies of nothing."""
        if self._index is None:
            return
        whole = prepared.table["fault"].is_null().to_pylist()
        fresh = zip(prepared.samples, matches, whole, strict=True)
        self._waiting += [sample for sample, match, well in fresh if match is None and well]
        if len(self._waiting) >= _AT_ONCE:
            self.rest()

    def rest(self) -> None:
        """Put what is left."""
        if self._index is not None and self._waiting:
            self._index.add(self._waiting, name="stream")
            self._waiting = []
