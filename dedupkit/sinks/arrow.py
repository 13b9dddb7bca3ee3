"""Arrow output: a folder that ``datasets.load_from_disk`` opens."""

from __future__ import annotations

import io
import re
import zlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, ClassVar

import pyarrow as pa

from dedupkit.errors import RunError
from dedupkit.sinks.batches import BatchLimits, output_schema, record_batches
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dedupkit.sinks.base import KeptSample
    from dedupkit.storage import Folder

_CHECKSUM = re.compile(rb"crc32-([0-9a-f]{8})")
_TAIL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ArrowSink:
    """A saved dataset: Arrow streams, and the two JSON files that `datasets` looks for.

    Each part ends with an empty batch that carries a CRC-32 of the part's values; the dataset's fingerprint, which
    names the cache files of ``Dataset.map``, is made of these.

    Examples
    --------
    >>> ArrowSink().part_name(3)
    'data-00003.arrow'
    """

    folder: ClassVar[str] = "dataset"
    limits: BatchLimits = field(default_factory=BatchLimits)

    def part_name(self, index: int) -> str:
        """File name of the part that the shard of this number becomes."""
        return f"data-{index:05d}.arrow"

    def write_part(self, handle: IO[bytes], samples: Iterable[KeptSample], fields: pa.Schema) -> int:
        """Write one Arrow stream; returns the number of samples written."""
        schema = output_schema(fields)
        rows = checksum = 0
        with pa.ipc.new_stream(handle, schema) as writer:
            for batch in record_batches(samples, fields, self.limits):
                writer.write_batch(batch)
                rows += batch.num_rows
                checksum = _checksum(batch, checksum)
            empty = pa.RecordBatch.from_pylist([], schema=schema)
            writer.write_batch(empty, {"dedupkit:values": f"crc32-{checksum:08x}"})
        return rows

    def finish(self, folder: Folder, parts: Sequence[tuple[str, int]], fields: pa.Schema) -> None:
        """Write ``dataset_info.json``, then ``state.json``: with it the folder is a dataset.

        Parts of 0 samples stay out of it, unless all are; a dataset of no parts gets an empty one.  Takes a read of
        each part's last megabyte.
        """
        named = [part for part in parts if part[1]] or list(parts[:1]) or [self._write_empty(folder, fields)]
        contents = [[name, rows, folder.size(name), _read_checksum(folder, name)] for name, rows in named]
        # without features here, `datasets` reads them off the parts: the image and what the source declared from
        # their metadata, the rest from the Arrow types
        folder.write_json(
            "dataset_info.json", {"citation": "", "description": "", "features": None, "homepage": "", "license": ""}
        )
        folder.write_json(
            "state.json",
            {
                "_data_files": [{"filename": name} for name, _ in named],
                "_fingerprint": digest([contents, output_schema(fields).serialize().to_pybytes().hex()])[:16],
                "_format_columns": None,
                "_format_kwargs": {},
                "_format_type": None,
                "_output_all_columns": False,
                "_split": None,
            },
        )

    def _write_empty(self, folder: Folder, fields: pa.Schema) -> tuple[str, int]:
        with folder.writing(self.part_name(0)) as handle:
            return self.part_name(0), self.write_part(handle, [], fields)


def _checksum(batch: pa.RecordBatch, start: int) -> int:
    for array in batch.columns:
        for buffer in array.buffers():
            if buffer is not None:
                start = zlib.crc32(buffer, start)
    return start


def _read_checksum(folder: Folder, name: str) -> str:
    with folder.reading(name) as handle:
        handle.seek(max(0, folder.size(name) - _TAIL_BYTES), io.SEEK_SET)
        found = _CHECKSUM.findall(handle.read())
    if not found:
        raise RunError(f"{name} does not end as dedupkit writes its parts; remove {folder.url} and run again")
    return str(found[-1].decode())
