"""The contract between a source and the rest: list shards, stream samples, never decode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from dedupkit.sample import Sample


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a source that one task reads from its first sample to its last.

    Attributes
    ----------
    name : str
        Unique in the source and the same on every run; shown to people, and put in front of keys that clash.
    identity : str
        Changes whenever the content may have changed: size and modification time, or an object store's ETag.
    location : object
        What the source needs in order to read it again; picklable.
    byte_size : int
        About how much there is to read, 0 where that is not known; large shards are begun first, so that no core
        waits for the last one.
    """

    name: str
    identity: str
    location: Any
    byte_size: int = 0


class Source(Protocol):
    """Where samples come from.

    A source is picklable.  `read` yields the same samples in the same order each time, and never raises for bad
    data: a sample that cannot be read is a `Sample` with a `Fault`, and the unreadable rest of a damaged shard is
    one such sample, with reason ``damaged_shard`` and the shard's name as key.
    """

    def shards(self) -> Sequence[Shard]:
        """All shards, in the order that gives samples their positions."""
        ...

    def fields(self, shard: Shard) -> pa.Schema | None:
        """Arrow types of the samples' other fields, where the source knows them; None where only the values tell."""
        ...

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream the samples of one shard, holding no more than a few in memory."""
        ...
