"""Arrow output: a folder that ``datasets.load_from_disk`` opens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, ClassVar

import pyarrow as pa

from dedupkit.sinks.base import WrittenPart
from dedupkit.sinks.batches import BatchLimits, output_schema, record_batches
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dedupkit.sinks.base import KeptSample
    from dedupkit.storage import Folder


@dataclass(frozen=True, slots=True)
class ArrowSink:
    """A saved dataset: Arrow streams, and the two JSON files that `datasets` looks for.

    The dataset's fingerprint, which names the cache files of ``Dataset.map``, is made of the parts' digests.

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
        rows = 0
        with pa.ipc.new_stream(handle, output_schema(fields)) as writer:
            for batch in record_batches(samples, fields, self.limits):
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows

    def finish(self, folder: Folder, parts: Sequence[WrittenPart], fields: pa.Schema) -> None:
        """Write ``dataset_info.json``, then ``state.json``: with it the folder is a dataset.

        Parts of 0 samples stay out of it, unless all are; a dataset of no parts gets an empty one.
        """
        named = [part for part in parts if part.rows] or list(parts[:1]) or [self._write_empty(folder, fields)]
        # without features here, `datasets` reads them off the parts: the image and what the source declared from
        # their metadata, the rest from the Arrow types
        folder.write_json(
            "dataset_info.json", {"citation": "", "description": "", "features": None, "homepage": "", "license": ""}
        )
        folder.write_json(
            "state.json",
            {
                "_data_files": [{"filename": part.name} for part in named],
                "_fingerprint": digest([part.sha256 for part in named])[:16],
                "_format_columns": None,
                "_format_kwargs": {},
                "_format_type": None,
                "_output_all_columns": False,
                "_split": None,
            },
        )

    def _write_empty(self, folder: Folder, fields: pa.Schema) -> WrittenPart:
        with folder.writing(self.part_name(0)) as handle:
            return WrittenPart(self.part_name(0), self.write_part(handle, [], fields), sha256="")
