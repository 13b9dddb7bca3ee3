"""A sample of a source: the beginnings of some of its shards, as a source of its own."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from dedupkit.parts import Progress
from dedupkit.sources.listing import File

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from dedupkit.parts import Observer
    from dedupkit.sample import Sample
    from dedupkit.sources.base import Shard, Source

MOST_SHARDS = 16  # begun; enough for a spread between them
MOST_BYTES = 512 << 20  # of images, read of all shards together
_TAR_HEADER = 512  # of the next sample, which is read before a sample ends


@dataclass(frozen=True, slots=True)
class DrawnShard:
    """The beginning of a shard.

    Attributes
    ----------
    shard : Shard
        Where it was read.
    samples : int
        How many.
    image_bytes, caption_bytes : int
        What their images and captions hold.
    file_bytes : int
        What of the shard's file that took, 0 where it is not known.
    seconds : float
        How long reading took.
    is_whole : bool
        Whether the shard has no more samples.
    """

    shard: Shard
    samples: int
    image_bytes: int
    caption_bytes: int
    file_bytes: int
    seconds: float
    is_whole: bool


@dataclass(frozen=True, slots=True)
class SampledSource:
    """A source of which only the beginnings of some shards are read.

    Attributes
    ----------
    source : Source
        The whole one.
    drawn : tuple of DrawnShard
        What is read of it.
    """

    source: Source
    drawn: tuple[DrawnShard, ...]

    def shards(self) -> Sequence[Shard]:
        """Those that were drawn."""
        return [each.shard for each in self.drawn]

    def fields(self, shard: Shard) -> pa.Schema | None:
        """As the source has it."""
        return self.source.fields(shard)

    def read(self, shard: Shard) -> Iterator[Sample]:
        """The beginning of one of them."""
        count = next(each.samples for each in self.drawn if each.shard.name == shard.name)
        return islice(self.source.read(shard), count)

    def beginning(self, samples: int) -> SampledSource:
        """About so many samples, a few of every shard."""
        few = -(-samples // len(self.drawn))
        return replace(self, drawn=tuple(replace(each, samples=min(few, each.samples)) for each in self.drawn))


def draw(source: Source, samples: int, observe: Observer) -> SampledSource:
    """Read the beginnings of up to 16 shards, spread over the source: about as many samples of each.

    Parameters
    ----------
    source : Source
        Nothing but this is read of it; no more than about 512 MiB in all.
    samples : int
        How many to draw; fewer where the shards drawn hold fewer.
    observe : callable
        Told of each shard.
    """
    shards = source.shards()
    count = min(len(shards), MOST_SHARDS, samples)
    chosen = [shards[(2 * place + 1) * len(shards) // (2 * count)] for place in range(count)]
    drawn: list[DrawnShard] = []
    for place, shard in enumerate(chosen):
        left = samples - sum(each.samples for each in drawn)
        drawn.append(_drawn(source, shard, -(-left // (count - place)), MOST_BYTES // count))
        observe(Progress("sample", place + 1, count, sum(each.samples for each in drawn)))
    return SampledSource(source, tuple(drawn))


def _drawn(source: Source, shard: Shard, samples: int, most_bytes: int) -> DrawnShard:
    """Read up to so many samples; one more tells whether the shard ends there."""
    watched = _watched(shard)
    stream = source.read(watched)
    count = image_bytes = caption_bytes = file_bytes = 0
    is_whole, started = True, time.perf_counter()
    for sample in stream:
        if count and (count == samples or image_bytes > most_bytes):
            is_whole = False
            break
        count += 1
        image_bytes += len(sample.image or b"")
        caption_bytes += len((sample.caption or "").encode("utf-8", "surrogatepass"))
        file_bytes = _passed(watched) or file_bytes
    seconds = time.perf_counter() - started
    if is_whole:
        file_bytes = shard.byte_size
    return DrawnShard(shard, count, image_bytes, caption_bytes, file_bytes, seconds, is_whole)


def _watched(shard: Shard) -> Shard:
    """The same shard; if it is a tar, with a file that counts what is read of it."""
    file = shard.location
    if not isinstance(file, File) or not re.search(r"\.(tar|tgz)\b", file.name):
        return shard
    return replace(shard, location=_WatchedFile(file.name, file.path, file.byte_size, file.stamp, file.filesystem))


def _passed(shard: Shard) -> int:
    """Bytes of the samples that a tar gave so far, 0 where it is no tar."""
    opened: Sequence[_Counting] = getattr(shard.location, "opened", ())
    return max(0, sum(handle.passed for handle in opened) - _TAR_HEADER)


@dataclass(frozen=True, slots=True)
class _WatchedFile(File):
    """A file that remembers its handles."""

    opened: list[_Counting] = field(default_factory=list, compare=False)

    def open(self) -> IO[bytes]:
        self.opened.append(_Counting(File.open(self)))
        handle: Any = self.opened[-1]
        return handle  # type: ignore[no-any-return]


class _Counting:
    """A handle that counts what is read through it."""

    def __init__(self, below: IO[bytes]) -> None:
        self._below, self.passed = below, 0

    def read(self, size: int = -1) -> bytes:
        data = self._below.read(size)
        self.passed += len(data)
        return data

    @property
    def closed(self) -> bool:
        return self._below.closed

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def flush(self) -> None:
        """Nothing is written."""

    def close(self) -> None:
        self._below.close()

    def __enter__(self) -> _Counting:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
