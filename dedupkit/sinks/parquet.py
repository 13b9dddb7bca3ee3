"""Parquet output, for readers other than `datasets` and for upload to a hub."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, ClassVar

import pyarrow.parquet as pq

from dedupkit.sinks.batches import BatchLimits, output_schema, record_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from dedupkit.sinks.base import KeptSample, WrittenPart
    from dedupkit.storage import Folder

_IMAGE_BYTES = "image.bytes"


@dataclass(frozen=True, slots=True)
class ParquetSink:
    """Parquet files, a row group a batch; encoded images stand uncompressed, the rest in zstd.

    Examples
    --------
    >>> ParquetSink().part_name(0)
    'data-00000.parquet'
    """

    folder: ClassVar[str] = "parquet"
    limits: BatchLimits = field(default_factory=lambda: BatchLimits(max_rows=1024))

    def part_name(self, index: int) -> str:
        """File name of the part that the shard of this number becomes."""
        return f"data-{index:05d}.parquet"

    def write_part(self, handle: IO[bytes], samples: Iterable[KeptSample], fields: pa.Schema) -> int:
        """Write one Parquet file; returns the number of samples written."""
        rows = 0
        with image_writer(handle, output_schema(fields)) as writer:
            for batch in record_batches(samples, fields, self.limits):
                writer.write_batch(batch, row_group_size=batch.num_rows)
                rows += batch.num_rows
        return rows

    def finish(self, folder: Folder, parts: Sequence[WrittenPart], fields: pa.Schema) -> None:
        """Write an empty file where there is no part at all: the files are the dataset."""
        if not parts:
            with folder.writing(self.part_name(0)) as handle:
                self.write_part(handle, [], fields)


def image_writer(handle: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of Parquet in which images stand as they are, the rest compressed."""
    others = [path for path in _leaf_paths(schema) if path != _IMAGE_BYTES]
    return pq.ParquetWriter(
        handle,
        schema,
        compression={_IMAGE_BYTES: "none"} | dict.fromkeys(others, "zstd"),
        use_dictionary=others,
        write_statistics=others,
    )


def _leaf_paths(schema: pa.Schema) -> list[str]:
    """Names of the columns as Parquet counts them, nested ones included."""
    buffer = io.BytesIO()
    pq.write_table(schema.empty_table(), buffer)
    columns = pq.read_metadata(buffer).schema
    return [columns.column(number).path for number in range(len(columns))]
