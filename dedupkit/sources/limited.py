"""Captions that are none: a text longer than the recipe's `limits.max_caption_bytes` is left where it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dedupkit.sample import Note, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from dedupkit.sources.base import Shard, Source

_MAX_UTF8_BYTES = 4  # of a character


@dataclass(frozen=True, slots=True)
class LimitedSource:
    """A source in which a sample whose caption is too long has none, and says so.

    Attributes
    ----------
    source : Source
        Where samples come from.
    max_caption_bytes : int
        Of a caption in UTF-8.
    """

    source: Source
    max_caption_bytes: int

    def shards(self) -> Sequence[Shard]:
        """The source's own."""
        return self.source.shards()

    def fields(self, shard: Shard) -> pa.Schema | None:
        """The source's own."""
        return self.source.fields(shard)

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream the samples of one shard."""
        for sample in self.source.read(shard):
            yield self._without_caption(sample) if self._is_too_long(sample.caption) else sample

    def _is_too_long(self, caption: str | None) -> bool:
        if caption is None or len(caption) * _MAX_UTF8_BYTES <= self.max_caption_bytes:
            return False
        return len(caption.encode("utf-8", "replace")) > self.max_caption_bytes

    def _without_caption(self, sample: Sample) -> Sample:
        return replace(sample, caption=None, notes=(Note.CAPTION_TOO_LONG, *sample.notes))
