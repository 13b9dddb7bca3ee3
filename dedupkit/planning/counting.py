"""How many samples a source holds: counted where that is cheap, estimated by bytes elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedupkit.errors import UsageError
from dedupkit.planning.estimate import Estimate, ratio
from dedupkit.sources.datasets_objects import DatasetSource
from dedupkit.sources.folder import FolderSource
from dedupkit.sources.iterables import IterableSource
from dedupkit.sources.tables import DAMAGE, PARQUET_ENDINGS, TableSource, row_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.planning.sampling import SampledSource
    from dedupkit.sources.base import Shard
    from dedupkit.sources.listing import File

_MOST_REMOTE_FOOTERS = 64  # read of Parquet files on a remote filesystem


@dataclass(frozen=True, slots=True)
class Count:
    """Samples of a set.

    Attributes
    ----------
    samples : Estimate
        How many.
    by : str
        How that is known, in words.
    times_source : float
        How many times the source the set is: more than 1 where the source is a part of it.
    """

    samples: Estimate
    by: str
    times_source: float = 1.0


def count_samples(sampled: SampledSource, rows: int | None = None) -> Count:
    """Count the samples of the source that a sample was drawn of.

    Parameters
    ----------
    sampled : SampledSource
        The sample.
    rows : int, optional
        Samples of the set, where the caller knows; if they are more than the source's, the source is a part of it.

    Raises
    ------
    UsageError
        The source tells neither how many samples it has nor how large its shards are.
    """
    counted = _counted(sampled)
    if rows is not None:
        times = 1.0 if counted is None else max(1.0, rows / counted.samples.value)
        return Count(Estimate.exact(rows), "given", times)
    if counted is None:
        raise UsageError("the source does not tell how many samples it has; give --rows, rows= in Python")
    return counted


def _counted(sampled: SampledSource) -> Count | None:
    """The samples of the source; None where it tells neither their number nor its size."""
    source, shards = sampled.source, sampled.source.shards()
    if isinstance(source, FolderSource):
        return Count(Estimate.exact(sum(len(shard.location) for shard in shards)), "files listed")
    if isinstance(source, DatasetSource):
        return Count(Estimate.exact(len(source.dataset)), "rows of the dataset")
    if isinstance(source, IterableSource) and isinstance(source.items, list | tuple):
        return Count(Estimate.exact(len(source.items)), "items of the list")
    if isinstance(source, TableSource) and (count := _count_rows(source.files)) is not None:
        return count
    if len(sampled.drawn) == len(shards) and all(each.is_whole for each in sampled.drawn):
        return Count(Estimate.exact(sum(each.samples for each in sampled.drawn)), "read to the end")
    return _by_bytes(sampled, shards)


def _count_rows(files: Sequence[File]) -> Count | None:
    """What tables state about themselves; None where that cannot be had cheaply."""
    is_local = all(file.filesystem is None for file in files)
    if not is_local and not all(file.path.lower().endswith(PARQUET_ENDINGS) for file in files):
        return None
    asked = list(files) if is_local or len(files) <= _MOST_REMOTE_FOOTERS else list(_spread(files))
    rows = [_rows(file) for file in asked]
    if len(asked) == len(files):
        return Count(Estimate.exact(sum(rows)), "stated by the tables")
    per_byte = ratio(rows, [file.byte_size for file in asked])
    return Count(per_byte * sum(file.byte_size for file in files), f"stated by {len(asked)} of {len(files)} tables")


def _spread(files: Sequence[File]) -> Sequence[File]:
    return [files[place * len(files) // _MOST_REMOTE_FOOTERS] for place in range(_MOST_REMOTE_FOOTERS)]


def _rows(file: File) -> int:
    try:
        return row_count(file)
    except DAMAGE:
        return 1  # the sample that a run makes of a damaged shard


def _by_bytes(sampled: SampledSource, shards: Sequence[Shard]) -> Count | None:
    size = sum(shard.byte_size for shard in shards)
    if not size:
        return None
    taken = [each.file_bytes or each.image_bytes + each.caption_bytes for each in sampled.drawn]
    per_byte = ratio([each.samples for each in sampled.drawn], taken)
    return Count(per_byte * size, f"by bytes of {len(taken)} shards of {len(shards)}")
