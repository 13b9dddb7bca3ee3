"""`datasets.Dataset` and `datasets.IterableDataset` objects, recognised without importing that library."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.errors import UsageError
from dedupkit.sample import Fault, Reason, Sample
from dedupkit.sources.base import Shard
from dedupkit.sources.columns import Columns, find_columns, other_fields, samples_of
from dedupkit.sources.given_columns import find_given
from dedupkit.sources.image_files import FilesAnywhere
from dedupkit.sources.iterables import Entries, sample_of
from dedupkit.sources.listing import error_text
from dedupkit.sources.tables import RowKeys
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dedupkit.recipe import SourceOptions
    from dedupkit.sources.base import Source
    from dedupkit.sources.lists import ListSource

SHARD_ROWS = 10_000
BATCH_ROWS = 256
_BATCH_BYTES = 32 << 20


def kind_of_datasets_object(value: object) -> str | None:
    """The name of the `datasets` class that a value is of; None for anything else."""
    for kind in type(value).__mro__:
        if kind.__module__.partition(".")[0] == "datasets" and kind.__name__ in _OPENERS:
            return kind.__name__
    return None


def open_datasets_object(value: Any, options: SourceOptions, max_bytes: int) -> Source:
    """Make a source of a `datasets` object.

    Raises
    ------
    UsageError
        For a dictionary of splits, or where no column of images is found.
    """
    source: Source = _OPENERS[kind_of_datasets_object(value) or ""](value, options, max_bytes)
    return source


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSource:
    """The rows of a `datasets.Dataset`, in the order of its `select` and `shuffle`, undecoded.

    Attributes
    ----------
    dataset : datasets.Dataset
        With Arrow format.
    columns : Columns
        Where samples' parts stand.
    images : FilesAnywhere
        Reads the files that rows name in place of bytes.
    """

    dataset: Any
    columns: Columns
    images: FilesAnywhere

    def shards(self) -> Sequence[Shard]:
        """Ranges of 10,000 rows."""
        rows, fingerprint = len(self.dataset), str(self.dataset._fingerprint)
        ranges = [(first, min(first + SHARD_ROWS, rows)) for first in range(0, rows, SHARD_ROWS)]
        return [Shard(f"{self._split}-{a:08d}", digest([fingerprint, a, b]), (a, b)) for a, b in ranges]

    def fields(self, shard: Shard) -> pa.Schema | None:
        """Types of the other columns, with their features."""
        return other_fields(_arrow_schema(self.dataset), self.columns)

    def schema(self, shard: Shard) -> pa.Schema:
        """Types of all columns."""
        return _arrow_schema(self.dataset)

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream a range of rows, in batches of up to 256 rows and about 32 MiB."""
        try:
            for first, batch in self.batches(shard):
                yield from samples_of(batch, self.columns, self.row_keys(shard, first), self.images)
        except (OSError, pa.ArrowException) as error:
            yield Sample(shard.name, None, fault=Fault(Reason.DAMAGED_SHARD, error_text(error)))

    def batches(self, shard: Shard, max_rows: int = BATCH_ROWS) -> Iterator[tuple[int, pa.RecordBatch]]:
        """A range of rows as they stand there, each batch with the number of its first row in the range.

        Raises
        ------
        OSError, pyarrow.ArrowException
            What `read` makes a fault of.
        """
        first, stop = shard.location
        step = self._batch_rows(max_rows)
        for start in range(first, stop, step):
            row = start - first
            for batch in self.dataset[start : min(start + step, stop)].combine_chunks().to_batches():
                yield row, batch
                row += batch.num_rows

    def row_keys(self, shard: Shard, first: int) -> RowKeys:
        """Keys of the rows from one number in the range on that have none of their own."""
        return RowKeys(self._split, shard.location[0] + first)

    @property
    def _split(self) -> str:
        return str(self.dataset.split or "row")

    def _batch_rows(self, max_rows: int) -> int:
        stored = self.dataset.data
        row_bytes = int(stored.nbytes) // max(int(stored.num_rows), 1)
        return max(1, min(max_rows, _BATCH_BYTES // max(row_bytes, 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class IterableDatasetSource:
    """A `datasets.IterableDataset`, undecoded; its shards are the stream's own.

    Attributes
    ----------
    dataset : datasets.IterableDataset
        Read again from its start on each pass.
    entries : Entries
        Which entries of a row are image, caption and key.
    schema : pyarrow.Schema or None
        Types of the others, where the stream declares them.
    identity : str
        New for each source: a stream cannot say whether it changed.
    """

    dataset: Any
    entries: Entries
    schema: pa.Schema | None
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)

    def shards(self) -> Sequence[Shard]:
        """The shards of the stream."""
        total = int(self.dataset.num_shards)
        return [Shard(f"{self._split}-{place:05d}", f"{self.identity}-{place}", place) for place in range(total)]

    def fields(self, shard: Shard) -> pa.Schema | None:
        """Types of the other entries; None where the stream declares none."""
        return self.schema

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream one shard."""
        total = int(self.dataset.num_shards)
        rows = self.dataset if total == 1 else self.dataset.shard(num_shards=total, index=shard.location)
        try:
            for number, row in enumerate(rows):
                yield sample_of(row, self.entries, f"{shard.name}-{number:08d}")
        except (ConnectionError, TimeoutError):  # the network, not the data: the task is tried again
            raise
        except (OSError, EOFError, UnicodeDecodeError, pa.ArrowException) as error:
            yield Sample(shard.name, None, fault=Fault(Reason.DAMAGED_SHARD, error_text(error)))

    @property
    def _split(self) -> str:
        return str(self.dataset.split or "stream")


def _arrow_schema(dataset: Any) -> pa.Schema:
    return dataset.features.arrow_schema


def _open_dataset(dataset: Any, options: SourceOptions, max_bytes: int) -> DatasetSource | ListSource:
    from dedupkit.sources.lists import ListSource, given_table_columns

    schema = _arrow_schema(dataset)
    given = find_given(schema, options, "the dataset", has_matrix=False)
    columns = given_table_columns(schema, options) if given else find_columns(schema, options, "the dataset")
    source = DatasetSource(dataset=dataset.with_format("arrow"), columns=columns, images=FilesAnywhere(max_bytes))
    return source if given is None else ListSource(table=source, given=given)


def _open_stream(dataset: Any, options: SourceOptions, max_bytes: int) -> IterableDatasetSource:
    files = FilesAnywhere(max_bytes)
    if dataset.features is None:
        return IterableDatasetSource(dataset=dataset, entries=Entries.of(options, files), schema=None)
    from datasets import Image

    schema = _arrow_schema(dataset)
    columns = find_columns(schema, options, "the dataset")
    for name, feature in dataset.features.items():
        if isinstance(feature, Image):
            dataset = dataset.cast_column(name, Image(decode=False))
    entries = Entries((columns.image,), (columns.caption,), (columns.key,), files)
    return IterableDatasetSource(dataset=dataset, entries=entries, schema=other_fields(schema, columns))


def _refuse_splits(splits: Any, options: SourceOptions, max_bytes: int) -> DatasetSource:
    raise UsageError(f"the dataset is a dictionary of splits ({', '.join(splits)}); pass one of them")


_OPENERS: dict[str, Any] = {
    "Dataset": _open_dataset,
    "IterableDataset": _open_stream,
    "DatasetDict": _refuse_splits,
    "IterableDatasetDict": _refuse_splits,
}
