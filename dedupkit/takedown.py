"""The takedown list of an output folder: fingerprints of what was removed, which a later run does not let in again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dedupkit.errors import RunError, error_text
from dedupkit.parts import Part, make_part, write_table
from dedupkit.sample import FINGERPRINTS
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dedupkit.journey import Journey
    from dedupkit.storage import Folder

TAKEN_DOWN = "takedown.parquet"
"""Name of the list in an output folder; not even ``--overwrite`` removes it."""
PLAN = "takedown_plan.parquet"
"""Name in the work folder of the decisions about what is being removed."""
_log = logging.getLogger("dedupkit")


def taken_down(out: Folder, prints: pa.Table) -> None:
    """Add the fingerprints of what is removed to the list, each picture once and without its caption."""
    table = pa.concat_tables([read_list(out), prints.select(FINGERPRINTS.names)])
    digests = table["sha256"].to_pylist()
    first = sorted({each: row for row, each in reversed(list(enumerate(digests)))}.values())
    table = table.take(pa.array(first, pa.int64()))
    for name in ("caption", "fault_detail"):
        empty = pa.nulls(table.num_rows, pa.string())
        table = table.set_column(FINGERPRINTS.get_field_index(name), FINGERPRINTS.field(name), empty)
    table = table.set_column(0, FINGERPRINTS.field("position"), pa.array(np.arange(table.num_rows, dtype=np.uint64)))
    with out.writing(TAKEN_DOWN) as handle:
        write_table(table, handle)


def read_list(out: Folder) -> pa.Table:
    """Fingerprints of all that was taken down from an output folder; empty where nothing was."""
    if not out.exists(TAKEN_DOWN):
        return FINGERPRINTS.empty_table()
    try:
        with out.reading(TAKEN_DOWN) as handle:
            listed = pq.read_table(handle)
        listed.validate(full=True)  # offsets that lie outside of a buffer would crash the process
        return listed.select(FINGERPRINTS.names).cast(FINGERPRINTS)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of the file
        remedy = "put back a copy of it, or remove it to let in again what was taken down"
        raise RunError(f"{TAKEN_DOWN} in the output folder is damaged: {error_text(error)}; {remedy}") from error


def block_taken_down(journey: Journey, listed: pa.Table, reports: Sequence[Mapping[str, Any]]) -> None:
    """Block what has the bytes, or nearly the hash and the descriptor, of what was taken down before."""
    from dedupkit.examples import find_in_shards
    from dedupkit.matching.shown import Given

    stage, part = journey.tables.stage("taken_list"), Part("listed.parquet", {"listed": _identity(listed)}, None)
    make_part(stage, lambda _, handle: write_table(listed, handle), part)
    given = Given(table=stage, name=part.name, views=None, said="taken down earlier, as", only_sure=True)
    inputs = stage.report(part.name)["sha256"]
    found = find_in_shards(journey, "taken_down", lambda: given, inputs, reports, listed.num_rows)
    _log.warning(
        "%d samples stay out because they were taken down earlier; remove %s from the output folder to let them in",
        sum(report["rows"] for report in found),
        TAKEN_DOWN,
    )


def _identity(listed: pa.Table) -> str:
    return digest([each.hex() for each in listed["sha256"].to_pylist()])
