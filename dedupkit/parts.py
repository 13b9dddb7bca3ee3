"""How a stage makes its parts: what is there and right is used again, the rest is made, each part once."""

from __future__ import annotations

import hashlib
import io
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from dedupkit.engines import WorkerDeathError
from dedupkit.errors import RunError
from dedupkit.guard.recorder import making

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from typing_extensions import Buffer

    from dedupkit.engines import Engine
    from dedupkit.sources.base import Shard
    from dedupkit.storage import Stage

_ROWS = 1 << 16  # of a row group
_log = logging.getLogger("dedupkit")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is.

    Attributes
    ----------
    stage : str
        Its name.
    parts, all_parts : int
        Parts done and parts to do.
    samples : int
        Samples in the parts done.
    """

    stage: str
    parts: int
    all_parts: int
    samples: int


Observer = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """The observer that tells nobody."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part to be made.

    Attributes
    ----------
    name : str
        File name.
    inputs : mapping of str to str
        All that its bytes depend on, by name.
    item : object
        What the task is handed.
    byte_size : int
        About how much it has to read; larger parts are begun first.
    shard : Shard or None
        Whose images it looks at, if it looks at any.
    """

    name: str
    inputs: Mapping[str, str]
    item: Any
    byte_size: int = 0
    shard: Shard | None = None


class LostPartsError(RunError):
    """The process died that was making parts of some shards."""

    def __init__(self, why: str, shards: Sequence[Shard]) -> None:
        super().__init__(why)
        self.shards = shards


Maker = Callable[[Any, IO[bytes]], dict[str, Any]]
"""Writes one part to an open file and reports what later stages want to know, ``rows`` among it."""


def table_name(number: int) -> str:
    """File name of a shard's table in every stage."""
    return f"{number:05d}.parquet"


def make_parts(
    title: str, stage: Stage, parts: Sequence[Part], make: Maker, engine: Engine, observe: Observer
) -> list[Any]:
    """Make the parts of a record-local stage that are missing or stale.

    Parameters
    ----------
    title : str
        Name of the stage for people.
    stage : Stage
        Where parts and receipts lie.
    parts : sequence of Part
        All parts that the stage shall have; others are removed.
    make : callable
        Writes one; runs as a task of the engine.
    engine : Engine
        Where.
    observe : callable
        Told after each part.

    Returns
    -------
    list
        The report of each part, in the order of `parts`.
    """
    stage.discard_others([part.name for part in parts])
    stale = stale_parts(title, stage, parts)
    done, samples = len(parts) - len(stale), 0
    observe(Progress(title, done, len(parts), samples))
    try:
        for _, report in engine.map(partial(make_part, stage, make), sorted(stale, key=lambda part: -part.byte_size)):
            done, samples = done + 1, samples + report["rows"]
            observe(Progress(title, done, len(parts), samples))
        if stale:
            stage.discard_half()  # of tasks whose worker was lost, and that were made again elsewhere
    except WorkerDeathError as death:
        shards = [part.shard for part in death.items if part.shard is not None]
        if shards:
            raise LostPartsError(str(death), shards) from death
        raise
    return stage.reports([part.name for part in parts])


def stale_parts(title: str, stage: Stage, parts: Sequence[Part]) -> list[Part]:
    """The parts that have to be made; says what is used again and why the others are not."""
    found = stage.stale_among({part.name: part.inputs for part in parts})
    reasons = [(part, found[part.name]) for part in parts]
    stale = [part for part, why in reasons if why is not None]
    changed = Counter(name for _, why in reasons for name in why or ())
    if len(stale) < len(parts):
        _log.info("%s: %d of %d parts used again", title, len(parts) - len(stale), len(parts))
    if changed:
        because = ", ".join(sorted(changed))
        _log.info("%s: %d parts made again, for what changed: %s", title, sum(bool(why) for _, why in reasons), because)
    return stale


def make_part(stage: Stage, make: Maker, part: Part) -> dict[str, Any]:
    """Make one part and its receipt; the report gets the digest of the part's bytes, ``sha256``."""
    with making(part.shard), stage.parts.writing(part.name) as handle:
        digesting = _DigestingWriter(handle)
        report = make(part.item, cast("IO[bytes]", digesting))
    report["sha256"] = digesting.digest.hexdigest()
    stage.commit(part.name, part.inputs, report, digesting.tell())
    return report


class _DigestingWriter(io.RawIOBase):
    """Passes on what is written and digests it on the way; closing it leaves the file below open."""

    def __init__(self, below: IO[bytes]) -> None:
        self._below = below
        self._written = 0
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        self._below.write(data)
        self.digest.update(data)
        size = memoryview(data).nbytes
        self._written += size
        return size

    def tell(self) -> int:
        return self._written


def write_table(table: pa.Table, handle: IO[bytes]) -> dict[str, Any]:
    """Write a table between stages."""
    pq.write_table(table, handle, compression="zstd", row_group_size=_ROWS)
    return {"rows": table.num_rows}


def write_tables(tables: Iterable[pa.Table], handle: IO[bytes], schema: pa.Schema) -> dict[str, Any]:
    """Write a table between stages that comes in parts, whose sizes the file does not show."""
    rows, waiting = 0, schema.empty_table()
    with pq.ParquetWriter(handle, schema, compression="zstd") as out:
        for table in tables:
            rows += table.num_rows
            waiting = pa.concat_tables([waiting, table.replace_schema_metadata(schema.metadata)])
            whole = waiting.num_rows // _ROWS * _ROWS
            if whole:
                out.write_table(waiting.slice(0, whole), row_group_size=_ROWS)
                waiting = waiting.slice(whole)
        if waiting.num_rows or not rows:
            out.write_table(waiting.combine_chunks(), row_group_size=_ROWS)
    return {"rows": rows}


def read_tables(stage: Stage, name: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Read a table between stages some rows at a time."""
    with stage.parts.reading(name) as handle:
        file = pq.ParquetFile(handle)
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns=None if columns is None else list(columns), use_threads=False)


def read_schema(stage: Stage, name: str) -> pa.Schema:
    """The schema of a table between stages, with its metadata."""
    with stage.parts.reading(name) as handle:
        return pq.read_schema(handle)


def read_table(stage: Stage, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table between stages, or some of its columns."""
    with stage.parts.reading(name) as handle:
        return pq.read_table(handle, columns=None if columns is None else list(columns), use_threads=False)
