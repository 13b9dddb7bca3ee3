"""Tables whose rows are samples: Parquet files, Arrow IPC files, and saved `datasets` folders."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.errors import UsageError
from dedupkit.sample import Fault, Reason, Sample
from dedupkit.sources.base import Shard
from dedupkit.sources.columns import Columns, find_columns, other_fields, samples_of
from dedupkit.sources.expansion import MAX_EXPANSION, check_unpacked, most_unpacked
from dedupkit.sources.image_files import FilesBelow
from dedupkit.sources.listing import File, error_text, unique_names
from dedupkit.stores import check_machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dedupkit.recipe import SourceOptions
    from dedupkit.sources.lists import ListSource

PARQUET_ENDINGS = (".parquet", ".pq")
ARROW_ENDINGS = (".arrow", ".feather", ".ipc")
TABLE_ENDINGS = PARQUET_ENDINGS + ARROW_ENDINGS
BATCH_ROWS = 256
_BATCH_BYTES = 32 << 20
_STREAM_BUFFER_BYTES = 1 << 20
_REPEATED_BYTES = 1 << 30  # of a batch whose rows all name the largest value of a dictionary
_LEAST_ROWS = 8  # writers give columns of long values up after the first: those look the same, and are honest
_DICTIONARY = {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}
_ARROW_MAGIC = b"ARROW1"  # begins an IPC file; a stream has no mark
DAMAGE = (OSError, EOFError, ValueError, pa.ArrowException)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """Parquet and Arrow files whose rows are samples; one file is one shard.

    Attributes
    ----------
    files : tuple of File
        The tables.
    columns : Columns or None
        Where samples' parts stand; None only where no file could be read.
    images : FilesBelow
        Reads the files that rows name in place of bytes.
    max_expansion : int
        How many times its own size, besides `images.max_bytes`, a file may unpack to.
    """

    files: tuple[File, ...]
    columns: Columns | None
    images: FilesBelow
    max_expansion: int = MAX_EXPANSION

    def shards(self) -> Sequence[Shard]:
        """One for each file, in the order they were given, called by its name."""
        names = unique_names(file.name for file in self.files)
        return [Shard(name, file.stamp, file, file.byte_size) for name, file in zip(names, self.files, strict=True)]

    def fields(self, shard: Shard) -> pa.Schema | None:
        """Types of the other columns as the file states them; None where the file cannot be read."""
        try:
            return other_fields(read_schema(shard.location), self.columns) if self.columns is not None else None
        except DAMAGE:
            return None

    def schema(self, shard: Shard) -> pa.Schema:
        """Types of all columns of a file, as `read_schema` finds them."""
        return read_schema(shard.location)

    def has_changed(self, shard: Shard) -> bool:
        """Whether its file is another than the one that was listed."""
        return bool(shard.location.has_changed())

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream the rows of one file, in batches of up to 256 rows and about 32 MiB."""
        taken, most = 0, most_unpacked(shard.location.byte_size, self.images.max_bytes, self.max_expansion)
        try:
            for first, batch in self.batches(shard):
                if self.columns is None or self.columns.image not in (None, *batch.schema.names):
                    raise ValueError(f"no column {self.columns.image if self.columns else 'of images'}")
                plain = _plain(batch)
                taken += plain.nbytes
                check_unpacked(taken, most)
                yield from samples_of(plain, self.columns, self.row_keys(shard, first), self.images)
        except (ConnectionError, TimeoutError):  # the network, not the data: the task is tried again
            raise
        except DAMAGE as error:
            check_machine(error, shard.name)
            yield Sample(shard.name, None, fault=Fault(Reason.DAMAGED_SHARD, error_text(error)))

    def batches(self, shard: Shard, max_rows: int = BATCH_ROWS) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows of one file as they stand there, each batch with the number of its first row.

        Raises
        ------
        OSError, ValueError
            What `read` makes a fault of.
        """
        first = 0
        for batch in _batches(shard.location, max_rows):
            yield first, batch
            first += batch.num_rows

    def row_keys(self, shard: Shard, first: int) -> RowKeys:
        """Keys of the rows from one number on that have none of their own."""
        return RowKeys(shard.name.rpartition("/")[2].rpartition(".")[0], first)


@dataclass(frozen=True, slots=True)
class RowKeys:
    """Keys of rows that have none of their own: the file's name and the row's number in it."""

    stem: str
    first: int

    def __call__(self, row: int) -> str:
        return f"{self.stem}-{self.first + row:08d}"


def open_tables(
    files: tuple[File, ...], options: SourceOptions, root: str, filesystem: Any, max_bytes: int
) -> TableSource | ListSource:
    """Make a source of tables; the columns are found in the first that can be read.

    Raises
    ------
    UsageError
        If that has no column of images, and is no list either.
    """
    from dedupkit.sources.lists import open_list

    tables = TableSource(files=files, columns=None, images=FilesBelow(root, filesystem, max_bytes))
    for file in files:
        try:
            schema = read_schema(file)
        except DAMAGE:
            continue
        as_list = open_list(tables, schema, options)
        return as_list or replace(tables, columns=find_columns(schema, options, file.name))
    return tables


def read_schema(file: File) -> pa.Schema:
    """The schema of a Parquet or Arrow file.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, or is damaged.
    """
    import pyarrow.parquet as pq

    is_parquet = file.path.lower().endswith(PARQUET_ENDINGS)
    with _opened(file) as handle:
        schema = pq.read_schema(handle) if is_parquet else _ipc(handle)[0]
    _check_names(schema)
    return schema


def row_count(file: File) -> int:
    """How many rows a Parquet file states, or the batches of an Arrow file; of a local one no data is read.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, or is damaged.
    """
    import pyarrow.parquet as pq

    with _opened(file) as handle:
        if file.path.lower().endswith(PARQUET_ENDINGS):
            return int(pq.read_metadata(handle).num_rows)
        return sum(batch.num_rows for batch in _ipc(handle)[1])


def _check_names(fields: Iterable[pa.Field]) -> None:
    """Raise UnicodeDecodeError for a name that is not UTF-8: here, and not wherever a name is used."""
    for field in fields:
        _ = field.name
        if pa.types.is_struct(field.type):
            _check_names(field.type)


def _batches(file: File, max_rows: int) -> Iterator[pa.RecordBatch]:
    if file.path.lower().endswith(PARQUET_ENDINGS):
        yield from _parquet_batches(file, max_rows)
        return
    with _opened(file) as handle:
        for batch in _ipc(handle)[1]:
            batch.validate(full=True)  # reading offsets that lie outside a buffer would crash the process
            rows = _batch_rows(batch.nbytes, batch.num_rows, max_rows)
            for first in range(0, batch.num_rows, rows):
                yield batch.slice(first, rows)


def _parquet_batches(file: File, max_rows: int) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with _opened(file) as handle:
        table = pq.ParquetFile(
            handle, buffer_size=_STREAM_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
        )
        found = 0
        for group in range(table.num_row_groups):
            stated = table.metadata.row_group(group)
            most = max(_LEAST_ROWS, _REPEATED_BYTES // max(1, _largest_dictionary(stated)))
            rows = _batch_rows(stated.total_byte_size, stated.num_rows, min(max_rows, most))
            for batch in table.iter_batches(rows, row_groups=[group], use_threads=False):
                found += batch.num_rows
                yield batch
        if found != table.metadata.num_rows:
            raise ValueError(f"{table.metadata.num_rows} rows are stated, {found} were found")


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with the values in place that its rows name."""
    if not any(map(pa.types.is_dictionary, batch.schema.types)):
        return batch
    columns = [each.dictionary_decode() if pa.types.is_dictionary(each.type) else each for each in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _largest_dictionary(group: Any) -> int:
    """Bytes that one value of a row group may have at most, where values stand once and rows name them."""
    chunks = (group.column(place) for place in range(group.num_columns))
    named = (each for each in chunks if each.physical_type == "BYTE_ARRAY" and _DICTIONARY & set(each.encodings))
    return max((int(each.total_uncompressed_size) for each in named), default=0)


def _batch_rows(byte_size: int, rows: int, max_rows: int) -> int:
    """How many rows make a batch of bounded size."""
    return max(1, min(max_rows, _BATCH_BYTES * rows // max(byte_size, 1)))


def _ipc(handle: pa.NativeFile | IO[bytes]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Schema and batches of an Arrow IPC file or stream."""
    is_file = handle.read(len(_ARROW_MAGIC)) == _ARROW_MAGIC
    handle.seek(0)
    if not is_file:
        stream = pa.ipc.open_stream(handle)
        return stream.schema, iter(stream)
    table = pa.ipc.open_file(handle)
    return table.schema, (table.get_batch(place) for place in range(table.num_record_batches))


@contextmanager
def _opened(file: File) -> Iterator[Any]:
    """A seekable handle; a local file is mapped into memory, which reads only what is asked for."""
    if file.filesystem is None:
        if not file.byte_size:
            raise ValueError("the file is empty")
        with pa.memory_map(file.path) as mapped:
            yield mapped
        return
    with file.open() as handle:
        yield handle


def check_saved_dataset(state: Any, folder: str) -> list[str]:
    """The Arrow files that a saved dataset's ``state.json`` names, in their order.

    Raises
    ------
    UsageError
        If it names none, or one outside the folder.
    """
    try:
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (KeyError, TypeError) as error:
        raise UsageError(f"{folder} has a state.json that names no data files; save the dataset again") from error
    if any("/" in name or "\\" in name or name in ("..", "") for name in names):
        raise UsageError(f"{folder} has a state.json that names files outside the folder; save the dataset again")
    return names
