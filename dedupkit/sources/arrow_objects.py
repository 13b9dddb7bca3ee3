"""Tables that a program holds: pandas, polars, DuckDB, pyarrow, and whatever else hands out an Arrow stream."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.errors import UsageError
from dedupkit.sample import Fault, Reason, Sample
from dedupkit.sources.base import Shard
from dedupkit.sources.columns import Columns, find_columns, is_text, other_fields, samples_of
from dedupkit.sources.given_columns import find_given
from dedupkit.sources.image_files import FilesAnywhere
from dedupkit.sources.listing import error_text
from dedupkit.sources.plain_types import plain_batch, plain_schema
from dedupkit.sources.tables import RowKeys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dedupkit.recipe import SourceOptions
    from dedupkit.sources.lists import ListSource
    from dedupkit.storage import Folder

SHARD_ROWS = 10_000
BATCH_ROWS = 256
_BATCH_BYTES, _SHARD_BYTES = 32 << 20, 64 << 20
_TABLE = "the table"  # in messages
_NO_TABLES_OF = ("datasets", "dedupkit")


@dataclass(frozen=True, slots=True)
class Spooled:
    """Rows that were written to a folder."""

    folder: Folder
    name: str

    @contextmanager
    def opened(self) -> Iterator[pa.RecordBatchReader]:
        """Read them as a stream."""
        with self.folder.reading(self.name) as handle, pa.ipc.open_stream(handle) as stream:
            yield stream


@dataclass(frozen=True, slots=True)
class Held:
    """Rows in memory."""

    table: pa.Table

    @contextmanager
    def opened(self) -> Iterator[pa.RecordBatchReader]:
        """Read them as a stream."""
        yield self.table.to_reader()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrowSource:
    """The rows of a table that a program holds, or of a stream that was spooled; 10,000 rows are a shard.

    Attributes
    ----------
    parts : tuple of Shard
        Their locations are `Held` or `Spooled`; their identities digests of what they hold.
    columns : Columns
        Where samples' parts stand.
    types : pyarrow.Schema
        Of all columns.
    images : FilesAnywhere
        Reads the files that rows name in place of bytes.
    """

    parts: tuple[Shard, ...]
    columns: Columns
    types: pa.Schema
    images: FilesAnywhere

    def shards(self) -> Sequence[Shard]:
        """Ranges of rows."""
        return self.parts

    def fields(self, shard: Shard) -> pa.Schema | None:
        """Types of the other columns."""
        return other_fields(self.types, self.columns)

    def schema(self, shard: Shard) -> pa.Schema:
        """Types of all columns."""
        return self.types

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream a range of rows, in batches of up to 256 rows and about 32 MiB."""
        try:
            for first, batch in self.batches(shard):
                yield from samples_of(batch, self.columns, self.row_keys(shard, first), self.images)
        except (OSError, pa.ArrowException) as error:
            yield Sample(shard.name, None, fault=Fault(Reason.DAMAGED_SHARD, error_text(error)))

    def batches(self, shard: Shard, max_rows: int = BATCH_ROWS) -> Iterator[tuple[int, pa.RecordBatch]]:
        """A range of rows, each batch with the number of its first row in the range."""
        first = 0
        with shard.location.opened() as stream:
            for batch in stream:
                step = min(max_rows, _rows_at_once(batch))
                for start in range(0, batch.num_rows, step):
                    piece = batch.slice(start, step)
                    yield first, piece
                    first += piece.num_rows

    def row_keys(self, shard: Shard, first: int) -> RowKeys:
        """Keys of the rows from one number in the range on that have none of their own: their numbers in the table."""
        return RowKeys("row", int(shard.name.rpartition("-")[2]) + first)


def as_arrow(source: Any) -> pa.Table | pa.RecordBatchReader | None:
    """A table or a stream of one out of what a program holds; None for what is neither.

    Parameters
    ----------
    source : object
        A pandas or polars DataFrame, a pyarrow Table, RecordBatch or RecordBatchReader, a DuckDB relation, or any other
        object with ``__arrow_c_stream__``.

    Returns
    -------
    pyarrow.Table, pyarrow.RecordBatchReader or None
        A reader where the rows come as they are asked for, and only once.  pandas' index is left out unless it has a
        name.

    Raises
    ------
    UsageError
        A pandas column holds what Arrow has no type for, such as Pillow images.
    """
    if isinstance(source, pa.Table | pa.RecordBatchReader):
        return source
    library = type(source).__module__.partition(".")[0]
    if library == "pandas":
        return _of_pandas(source) if hasattr(source, "columns") else None
    if not hasattr(source, "__arrow_c_stream__") or library in _NO_TABLES_OF:
        return None
    return pa.table(source) if library in ("polars", "pyarrow") else pa.RecordBatchReader.from_stream(source)


def open_arrow(
    table: pa.Table | pa.RecordBatchReader, options: SourceOptions, max_bytes: int, spool_to: Folder | None = None
) -> ArrowSource | ListSource:
    """Make a source of what `as_arrow` gave.

    Parameters
    ----------
    table : pyarrow.Table or pyarrow.RecordBatchReader
        Images are encoded bytes, or paths and URLs in a column of text, which are read as they stand.
    options : SourceOptions
        Names of columns.
    max_bytes : int
        Larger files are not read.
    spool_to : Folder, optional
        Where the rows are written, so that worker processes read only their own; without, they are held in memory.

    Raises
    ------
    UsageError
        There is no column of images or paths, and the table is no list either.
    """
    from dedupkit.sources.lists import ListSource, given_table_columns

    schema = plain_schema(table.schema)
    given = find_given(schema, options, _TABLE, has_matrix=False)
    columns = given_table_columns(schema, options) if given else find_columns(schema, options, _TABLE, paths=True)
    shards = tuple(_shards(_cut(table, schema), columns, spool_to))
    source = ArrowSource(parts=shards, columns=columns, types=schema, images=FilesAnywhere(max_bytes))
    return source if given is None else ListSource(table=source, given=given)


def check_arrow(table: pa.Table | pa.RecordBatchReader, options: SourceOptions) -> None:
    """Raise the UsageError of `open_arrow` without reading a row."""
    open_arrow(table.schema.empty_table(), options, 0)


def _of_pandas(frame: Any) -> pa.Table:
    try:
        table = pa.Table.from_pandas(frame)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise UsageError(
            f"the DataFrame cannot be read as an Arrow table: {error_text(error)}; let each column hold one kind of "
            "value, and images be encoded bytes or paths"
        ) from error
    return table.select([name for name in table.column_names if not name.startswith("__index_level_")])


def _cut(table: pa.Table | pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows in tables of up to 10,000 rows or some 64 MiB."""
    waiting: list[pa.RecordBatch] = []
    for batch in table.to_batches(SHARD_ROWS) if isinstance(table, pa.Table) else table:
        step = _rows_at_once(batch)
        for start in range(0, batch.num_rows, step):
            rest = plain_batch(batch.slice(start, step), schema)
            while (room := SHARD_ROWS - sum(each.num_rows for each in waiting)) <= rest.num_rows:
                yield pa.Table.from_batches([*waiting, rest.slice(0, room)], schema)
                waiting, rest = [], rest.slice(room)
            waiting += [rest] if rest.num_rows else []
            if sum(each.nbytes for each in waiting) >= _SHARD_BYTES:
                yield pa.Table.from_batches(waiting, schema)
                waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def _rows_at_once(batch: pa.RecordBatch) -> int:
    """How many of its rows take some 64 MiB; of views older pyarrow tells only what their buffers take in all."""
    try:
        weight = batch.nbytes
    except pa.ArrowTypeError:
        weight = batch.get_total_buffer_size()
    return max(1, int(_BATCH_BYTES * batch.num_rows // max(weight, 1)))


def _shards(tables: Iterator[pa.Table], columns: Columns, spool_to: Folder | None) -> Iterator[Shard]:
    first = 0
    for number, table in enumerate(tables):
        if spool_to is None:
            location: Held | Spooled = Held(table)
            content = _write(table)
        else:
            location = Spooled(spool_to, name := f"rows-{number:05d}.arrow")
            with spool_to.writing(name) as handle:
                content = _write(table, handle)
        yield Shard(f"rows-{first:08d}", content + _files_stamp(table, columns), location, table.nbytes)
        first += table.num_rows


class _Hashing:
    """A file that is hashed while it is written."""

    closed = False

    def __init__(self, target: IO[bytes] | None) -> None:
        self.target, self.content = target, hashlib.sha256()

    def write(self, data: Any) -> int:
        self.content.update(data)
        return len(data) if self.target is None else self.target.write(data)

    def flush(self) -> None:
        return None


def _write(table: pa.Table, target: IO[bytes] | None = None) -> str:
    """Write an Arrow stream, if there is anywhere to; returns the digest of it."""
    sink = _Hashing(target)
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, BATCH_ROWS)
    return sink.content.hexdigest()[:32]


def _files_stamp(table: pa.Table, columns: Columns) -> str:
    """Changes when a local file that a column of paths names does; empty where rows hold their images."""
    if columns.image is None or not is_text(table.schema.field(columns.image).type):
        return ""
    stamps = hashlib.sha256()
    for path in table[columns.image].to_pylist():
        with suppress(OSError, ValueError, TypeError):
            status = os.stat(path)  # noqa: PTH116 - a hundred thousand Paths take a while
            stamps.update(f"{path}\0{status.st_size} {status.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return f" {stamps.hexdigest()[:32]}"
