"""A sample of a source, the same for the same seed, in memory that does not grow with the source."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dedupkit.parts import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit.parts import Observer
    from dedupkit.sample import Sample
    from dedupkit.sources.base import Source

MAX_SHARDS = 32  # read of a large source; with img2dataset's 10,000 samples a shard that is 320,000
_TOLD_EVERY = 500


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn.

    Attributes
    ----------
    samples : tuple of (Sample, Path)
        In the order of the source; the file holds the image's bytes, which the sample lacks.  It is empty where the
        source found a fault.
    set_samples : int
        Samples in the source: counted, or estimated from the shards that were read.
    shards, all_shards : int
        Shards read and shards there are.
    """

    samples: tuple[tuple[Sample, Path], ...]
    set_samples: int
    shards: int
    all_shards: int


def draw(source: Source, samples: int, seed: int, scratch: Path, observe: Observer) -> Drawn:
    """Draw samples, each with the same chance, out of at most 32 shards of a source, which are drawn too.

    Parameters
    ----------
    source : Source
        Read once, no further than its drawn shards.
    samples : int
        How many; all if there are fewer.
    seed : int
        Which ones: those whose digest of seed, shard and row is least.
    scratch : Path
        Folder for the bytes of the images that are drawn so far.
    observe : callable
        Told how many samples were looked at.
    """
    shards = source.shards()
    order = sorted(range(len(shards)), key=lambda number: _lot(seed, shards[number].name, -1))
    read, seen = sorted(order[:MAX_SHARDS]), 0
    worst_first: list[tuple[int, tuple[int, int]]] = []  # a heap: greatest lot first
    kept: dict[tuple[int, int], tuple[Sample, Path]] = {}
    for done, number in enumerate(read):
        for row, sample in enumerate(source.read(shards[number])):
            seen += 1
            if seen % _TOLD_EVERY == 0:
                observe(Progress("sample", done, len(read), seen))
            lot = _lot(seed, shards[number].name, row)
            if len(kept) == samples and lot > -worst_first[0][0]:
                continue
            place = number, row
            heapq.heappush(worst_first, (-lot, place))
            kept[place] = _put_away(sample, scratch / f"{number}-{row}")
            if len(kept) > samples:
                kept.pop(heapq.heappop(worst_first)[1])[1].unlink()
    observe(Progress("sample", len(read), len(read), seen))
    set_samples = round(seen * len(shards) / max(1, len(read)))
    return Drawn(tuple(kept[place] for place in sorted(kept)), set_samples, len(read), len(shards))


def _lot(seed: int, shard: str, row: int) -> int:
    text = f"{seed}\0{shard}\0{row}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def _put_away(sample: Sample, file: Path) -> tuple[Sample, Path]:
    file.write_bytes(sample.image or b"")
    return replace(sample, image=None, fields={}), file
