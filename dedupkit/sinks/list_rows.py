"""List output: the rows of a source without images that stay, each with all its columns, ready for a downloader."""

from __future__ import annotations

from functools import partial
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dedupkit.errors import UsageError
from dedupkit.fingerprints.given import given_digests
from dedupkit.parts import Part, make_parts
from dedupkit.sample import Action
from dedupkit.sources.changes import changed, check_unchanged
from dedupkit.sources.lists import ListSource
from dedupkit.storage import Stage, digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dedupkit.journey import Journey, Tables
    from dedupkit.sources.base import Shard
    from dedupkit.storage import Folder

STAGE = "list/1"
FOLDER = "list"
_GROUP_ROWS = 65_536
_GROUP_BYTES = 128 << 20


def emit_rows(journey: Journey, out: Folder, decisions: Sequence[dict[str, Any]]) -> int:
    """Write the rows that stay: one Parquet file for each of the source's, with the same columns.

    Parameters
    ----------
    journey : Journey
        The run, its fingerprints and decisions made.
    out : Folder
        Where the output's folder is made.
    decisions : sequence of dict
        What `Journey.decide` reports.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    UsageError
        The source has images.
    RunError
        It changed under way.
    """
    source = journey.source
    if not isinstance(source, ListSource) or source.has_images:
        raise UsageError('format "list" is for lists without images; name arrow, parquet or webdataset')
    stage = Stage(out.below(FOLDER), journey.work.below("receipts").below(FOLDER))
    choices = {"stage": STAGE, "pyarrow": pa.__version__}
    seen = journey.fingerprint_digests()
    parts = [
        Part(
            f"data-{number:05d}.parquet",
            choices
            | {
                "shard": digest([shard.name, shard.identity]),
                "fingerprints": seen[number],
                "decisions": report["sha256"],
            },
            (number, shard),
            shard.byte_size,
        )
        for number, (shard, report) in enumerate(zip(journey.shards, decisions, strict=True))
    ]
    task = partial(_emit_part, source=source, tables=journey.tables)
    reports = make_parts(FOLDER, stage, parts, task, journey.engine, journey.observe)
    return sum(report["rows"] for report in reports)


def _emit_part(item: tuple[int, Shard], handle: IO[bytes], *, source: ListSource, tables: Tables) -> dict[str, Any]:
    number, shard = item
    rows = 0
    writer: pq.ParquetWriter | None = None
    for table in _groups(_kept(number, shard, source, tables)):
        writer = writer or pq.ParquetWriter(handle, table.schema, compression="zstd")
        writer.write_table(table)
        rows += table.num_rows
    if writer is None:  # nothing of a damaged shard is known, not even its columns
        writer = pq.ParquetWriter(handle, source.schema(shard))
    writer.close()
    return {"rows": rows}


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches put together to what makes a row group that reads well."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(each.num_rows for each in waiting) >= _GROUP_ROWS or sum(each.nbytes for each in waiting) > _GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _kept(number: int, shard: Shard, source: ListSource, tables: Tables) -> Iterator[pa.RecordBatch]:
    """The rows of a shard that stay, read again and checked to be those that were decided about."""
    keeps = [action == Action.KEEP for action in tables.decisions(number, ("action",))["action"].to_pylist()]
    sha256 = tables.fingerprints(number, ("sha256",))["sha256"].to_pylist()
    first = 0
    for piece in source.pieces(shard):
        span = slice(first, first + len(piece.samples))
        if given_digests(piece, source, shard.name, first) != sha256[span]:
            raise changed(shard.name)
        if piece.rows is not None:
            yield piece.rows.filter(pa.array(keeps[span], pa.bool_()))
        first = span.stop
    if first != len(keeps):
        raise changed(shard.name)
    check_unchanged(source, shard)
