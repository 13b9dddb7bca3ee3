"""Lists: tables that say of each image what would otherwise be computed from it, so that none is decoded.

Most have no images yet, but URLs and captions, and embeddings in a column or in a ``.npy`` file beside each table.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.errors import UsageError
from dedupkit.sample import Fault, Reason, Sample
from dedupkit.sources.columns import find_other_columns, image_columns, samples_of
from dedupkit.sources.given_columns import GivenColumns, find_given
from dedupkit.sources.listing import File, error_text
from dedupkit.sources.matrices import Matrix, opened_matrix
from dedupkit.sources.places import Place
from dedupkit.sources.tables import DAMAGE, PARQUET_ENDINGS, TableSource, row_count
from dedupkit.stores import check_machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dedupkit.recipe import SourceOptions
    from dedupkit.sources.arrow_objects import ArrowSource
    from dedupkit.sources.base import Shard
    from dedupkit.sources.columns import Columns
    from dedupkit.sources.datasets_objects import DatasetSource

_BATCH_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Piece:
    """Some samples of a shard, one after the other, and what the list says of them.

    Attributes
    ----------
    samples : list of Sample
        Without fields; without images where the list has none.
    rows : pyarrow.RecordBatch or None
        Their rows as they stand in the table; None for the fault that ends a damaged shard.
    vectors : ndarray or None
        Their rows of the matrix beside the table, shape (n, dimensions).
    """

    samples: list[Sample]
    rows: pa.RecordBatch | None
    vectors: NDArray[Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSource:
    """Tables of which no image is decoded.

    Attributes
    ----------
    table : TableSource, DatasetSource or ArrowSource
        Reads the rows.
    given : GivenColumns
        What they say.
    matrices : tuple of File
        Embeddings, a file for each table; empty where they stand in a column or there are none.
    """

    table: TableSource | DatasetSource | ArrowSource
    given: GivenColumns
    matrices: tuple[File, ...] = ()

    @property
    def has_images(self) -> bool:
        """Whether there are images too."""
        return self._columns.image is not None

    @property
    def has_embeddings(self) -> bool:
        """Whether there are embeddings."""
        return bool(self.given.embedding or self.matrices)

    @property
    def _columns(self) -> Columns:
        columns = self.table.columns
        if columns is None:
            raise TypeError("a list's columns are known")
        return columns

    def shards(self) -> Sequence[Shard]:
        """One for each table or range of rows, as the table's own."""
        shards = self.table.shards()
        if not self.matrices:
            return [replace(shard, location=(shard, None)) for shard in shards]
        return [
            replace(shard, identity=f"{shard.identity} {matrix.stamp}", location=(shard, matrix))
            for shard, matrix in zip(shards, self.matrices, strict=True)
        ]

    def fields(self, shard: Shard) -> pa.Schema | None:
        """Types of the other columns."""
        return self.table.fields(shard.location[0])

    def schema(self, shard: Shard) -> pa.Schema:
        """Types of all columns; none where the shard cannot be read."""
        try:
            return self.table.schema(shard.location[0])
        except DAMAGE:
            return pa.schema([])

    def has_changed(self, shard: Shard) -> bool:
        """Whether its table or its matrix is another than the one that was listed."""
        table, matrix = shard.location
        ask = getattr(self.table, "has_changed", None)
        return bool((ask is not None and ask(table)) or (matrix is not None and matrix.has_changed()))

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream the rows of one shard as samples."""
        yield from self.table.read(shard.location[0])

    def pieces(self, shard: Shard) -> Iterator[Piece]:
        """Stream the rows of one shard with what the list says of them, a few thousand at a time.

        Where a matrix has more or fewer rows than its table, nobody knows which belong together: that shard is
        damaged as a whole.
        """
        inner, matrix = shard.location
        try:
            with opened_matrix(matrix) if matrix else nullcontext() as opened:
                if opened is not None:
                    _check_rows(inner.location, opened, matrix)
                for first, batch in self.table.batches(inner, _BATCH_ROWS):
                    vectors = None if opened is None else opened.read(batch.num_rows)
                    yield Piece(self._samples(inner, first, batch), batch, vectors)
        except (ConnectionError, TimeoutError):  # the network, not the data: the task is tried again
            raise
        except DAMAGE as error:
            check_machine(error, shard.name)
            fault = Fault(Reason.DAMAGED_SHARD, error_text(error))
            yield Piece([Sample(shard.name, None, fault=fault)], None, None)

    def _samples(self, inner: Shard, first: int, batch: pa.RecordBatch) -> list[Sample]:
        columns, names = self._columns, batch.schema.names
        if columns.image not in (None, *names):
            raise ValueError(f"no column {columns.image}")
        wanted = [name for name in (columns.image, columns.caption, columns.key) if name in names]
        needed = batch.select(list(dict.fromkeys(wanted)))
        return list(samples_of(needed, columns, self.table.row_keys(inner, first), self.table.images))


def _check_rows(table: File, matrix: Matrix, file: File) -> None:
    rows = row_count(table)
    if rows != matrix.rows:
        raise ValueError(f"{file.name} holds {matrix.rows} embeddings, {table.name} {rows} rows; download both again")


def open_list(table: TableSource, schema: pa.Schema, options: SourceOptions) -> ListSource | None:
    """The list that some tables are; None where their images have to be looked at.

    Parameters
    ----------
    table : TableSource
        The tables; their columns need not be known yet.
    schema : pyarrow.Schema
        Of the first of them.
    options : SourceOptions
        Names of columns.

    Raises
    ------
    UsageError
        If a named column is not what it should be, or some tables have a matrix beside them and others have none.
    """
    shown = table.files[0].name
    has_images = options.image_column is not None or bool(image_columns(schema))
    wanted = not (has_images or options.embedding_column)
    beside = [matrix_of(file) for file in table.files] if wanted and matrix_of(table.files[0]) else []
    given = find_given(schema, options, shown, has_matrix=bool(beside))
    if given is None:
        return None
    missing = [file.name for file, matrix in zip(table.files, beside, strict=False) if matrix is None]
    if missing:
        shown = ", ".join(missing[:3])
        raise UsageError(f"{shown} has no .npy of embeddings beside it; download it, or name the other tables")
    tables = replace(table, columns=given_table_columns(schema, options))
    return ListSource(table=tables, given=given, matrices=tuple(matrix for matrix in beside if matrix is not None))


def given_table_columns(schema: pa.Schema, options: SourceOptions) -> Columns:
    """The columns of image, if there is one, caption and key of a list."""
    from dedupkit.sources.columns import find_columns

    if options.image_column is not None or image_columns(schema):
        return find_columns(schema, options, "the list")
    return find_other_columns(schema, options, None)


def matrix_of(table: File) -> File | None:
    """The ``.npy`` file of embeddings that belongs to a Parquet file.

    Either it has the same name, or the two lie as clip-retrieval writes them and LAION published them:
    ``metadata/metadata_0.parquet`` and ``img_emb/img_emb_0.npy``.
    """
    ending = next((each for each in PARQUET_ENDINGS if table.path.lower().endswith(each)), None)
    if ending is None:
        return None
    stem = table.path[: -len(ending)]
    folder, _, name = stem.rpartition("/")
    paths = [f"{stem}.npy"]
    if name.startswith("metadata_"):
        paths.append(f"{folder.rpartition('/')[0]}/img_emb/img_emb_{name.removeprefix('metadata_')}.npy")
    for path in paths:
        try:
            return Place(path, table.filesystem).file()
        except OSError:
            continue
    return None
