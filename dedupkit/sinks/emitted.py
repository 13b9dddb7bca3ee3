"""Parts of an output that lies there already: read sample by sample, and written anew without some of them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedupkit.sample import Sample
from dedupkit.sinks.mds import read_head, read_shard, write_shard
from dedupkit.sinks.names import IMAGE_EXTENSIONS
from dedupkit.sinks.parquet import image_writer
from dedupkit.sinks.webdataset import write_member
from dedupkit.sources.base import Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dedupkit.storage import Folder

_ROWS = 64

Emitted = tuple[str, bytes, Mapping[str, Any]]
"""Key, encoded image and the other fields of an emitted sample."""


@dataclass(frozen=True, slots=True)
class EmittedSource:
    """A set as `clean` wrote it, with the shards and positions of its source: what did not stay has no image.

    Attributes
    ----------
    format : "arrow", "parquet", "webdataset" or "mds"
        Which of its forms is read.
    folder : Folder
        Where its parts lie.
    names : tuple of str
        The part that each shard of the source became.
    keys : tuple of sequence of str
        Keys of all samples of each shard, in their order.
    """

    format: str
    folder: Folder
    names: tuple[str, ...]
    keys: tuple[Sequence[str], ...] = field(repr=False)

    def shards(self) -> list[Shard]:
        """One for each shard of the source."""
        return [Shard(f"{number:05d}", "", number) for number in range(len(self.names))]

    def fields(self, shard: Shard) -> pa.Schema | None:
        """Not asked for."""

    def read(self, shard: Shard) -> Iterator[Sample]:
        """All samples of one shard of the source; those that were not emitted without image."""
        with self.folder.local(self.names[shard.location]) as path:
            emitted = read_part(self.format, path)
            waiting = next(emitted, None)
            for key in self.keys[shard.location]:
                if waiting is not None and waiting[0] == key:
                    yield Sample(key, waiting[1], None, waiting[2])
                    waiting = next(emitted, None)
                else:
                    yield Sample(key, None)


def read_part(format: str, path: str) -> Iterator[Emitted]:
    """The samples of one part, streamed."""
    if format == "webdataset":
        for members in _tar_groups(path):
            said = json.loads(_by_ending(members, lambda ending: ending == "json") or b"{}")
            yield str(said["key"]), _by_ending(members, IMAGE_EXTENSIONS.__contains__) or members[0][1], said
        return
    if format == "mds":
        with Path(path).open("rb") as handle:
            for _, values in read_shard(handle, read_head(handle)):
                yield values.pop("key"), values.pop("image"), values
        return
    with _batches(format, path) as (_, batches):
        for batch in batches:
            for row in batch.to_pylist():
                yield row.pop("key"), row.pop("image")["bytes"], row


def keys_of_part(format: str, path: str) -> list[str]:
    """Keys of the samples of one part; of Parquet nothing else is read."""
    if format == "parquet":
        return list(pq.read_table(path, columns=["key"])["key"].to_pylist())
    if format in ("webdataset", "mds"):
        return [key for key, _, _ in read_part(format, path)]
    with _batches(format, path) as (_, batches):
        return [key for batch in batches for key in batch["key"].to_pylist()]


def write_without(format: str, path: str, gone: Sequence[str], handle: IO[bytes]) -> int:
    """Write a part again without the samples of some keys; all other bytes of samples stay.  Returns how many stay."""
    if format == "webdataset":
        return _write_tar_without(path, frozenset(gone), handle)
    if format == "mds":
        with Path(path).open("rb") as before:
            head, left_out = read_head(before), frozenset(gone)
            stay = (data for data, values in read_shard(before, head) if values["key"] not in left_out)
            return write_shard(handle, head.columns, stay)
    rows = 0
    with _batches(format, path) as (schema, batches):
        opened = pa.ipc.new_stream(handle, schema) if format == "arrow" else image_writer(handle, schema)
        with opened as out:
            for batch in batches:
                stays = batch.filter(pc.invert(pc.is_in(batch["key"], value_set=pa.array(gone, pa.string()))))
                if stays.num_rows:
                    # taken anew: a slice would write the whole buffers, and with them what is gone
                    out.write_batch(stays)
                    rows += stays.num_rows
    return rows


@contextmanager
def _batches(format: str, path: str) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    if format == "parquet":
        with pq.ParquetFile(path) as file:
            yield file.schema_arrow, file.iter_batches(batch_size=_ROWS, use_threads=False)
        return
    with pa.memory_map(path) as mapped, pa.ipc.open_stream(mapped) as stream:
        yield stream.schema, iter(stream)


def _tar_groups(path: str) -> Iterator[list[tuple[str, bytes]]]:
    """Name and content of the members of each sample."""
    stem, members = None, list[tuple[str, bytes]]()
    with tarfile.open(path, "r|") as tar:
        for member in tar:
            folder, slash, base = member.name.rpartition("/")
            name = folder + slash + base.partition(".")[0]
            if name != stem and members:
                yield members
                members = []
            stem = name
            handle = tar.extractfile(member)
            members.append((member.name, handle.read() if handle else b""))
    if members:
        yield members


def _by_ending(members: Sequence[tuple[str, bytes]], wanted: Callable[[str], bool]) -> bytes | None:
    return next((data for name, data in members if wanted(name.rpartition("/")[2].partition(".")[2])), None)


def _write_tar_without(path: str, gone: frozenset[str], handle: IO[bytes]) -> int:
    rows = 0
    for members in _tar_groups(path):
        if json.loads(_by_ending(members, lambda ending: ending == "json") or b"{}").get("key") in gone:
            continue
        for name, data in members:
            write_member(handle, name, data)
        rows += 1
    handle.write(bytes(2 * tarfile.BLOCKSIZE))  # the mark of a tar's end
    return rows
