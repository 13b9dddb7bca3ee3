"""Samples that can be read only once, written to Parquet parts so that they can be read again."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.sample import Fault, Note, Reason, Sample
from dedupkit.sources.base import Shard
from dedupkit.sources.captions import utf8_text
from dedupkit.sources.iterables import Entries, sample_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dedupkit.recipe import SourceOptions
    from dedupkit.storage import Folder

PART_SAMPLES = 2_000
PART_BYTES = 256 << 20
_GROUP_BYTES = 32 << 20  # of one row group: what is held in memory
_READ_ROWS = 64
_SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "image": pa.large_binary(),
        "caption": pa.string(),
        "fields": pa.string(),  # JSON; what JSON has no type for is tagged, see `_encoded`
        "fault": pa.string(),
        "fault_detail": pa.string(),
        "notes": pa.list_(pa.string()),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledSource:
    """Samples that `spool` wrote; one part is one shard.

    Attributes
    ----------
    folder : Folder
        Where the parts lie.
    parts : tuple of (str, str)
        Name of each part, and the digest of what it holds.
    """

    folder: Folder
    parts: tuple[tuple[str, str], ...]

    def shards(self) -> Sequence[Shard]:
        """One for each part, in the order the samples came."""
        return [Shard(name.removesuffix(".parquet"), content, name) for name, content in self.parts]

    def fields(self, shard: Shard) -> pa.Schema | None:
        """None: only the values tell."""
        return None

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream one part."""
        import pyarrow.parquet as pq

        try:
            with self.folder.reading(shard.location) as handle:
                for batch in pq.ParquetFile(handle).iter_batches(_READ_ROWS, use_threads=False):
                    yield from map(_from_row, batch.to_pylist())
        except (OSError, ValueError, pa.ArrowException) as error:
            yield Sample(shard.name, None, fault=Fault(Reason.DAMAGED_SHARD, f"the spooled part: {error}"))


def spool(samples: Iterable[Any], folder: Folder, options: SourceOptions | None = None) -> SpooledSource:
    """Write samples to Parquet parts of 2,000 samples or 256 MiB, and return a source that reads them.

    Parameters
    ----------
    samples : iterable of Sample or mapping
        Read once, from where it stands; see `dedupkit.sources.iterables.sample_of` for what a mapping may hold.
        What it raises is passed on, and no source comes back.
    folder : Folder
        Where the parts go; parts that an earlier call left there are replaced.
    options : SourceOptions, optional
        Names of the entries of a mapping.

    Returns
    -------
    SpooledSource
        Its shards' identities are digests of what they hold, so the same samples in the same order can be resumed.

    Notes
    -----
    Other fields come back as they were if they are None, bool, int, float, str, bytes, dates, or lists and
    string-keyed mappings of these; a tuple comes back as a list, an array as nested lists, anything else as text.
    No more than 32 MiB and one sample are held in memory.
    """
    from dedupkit.recipe import SourceOptions

    entries = Entries.of(options or SourceOptions())
    ready = (sample_of(item, entries, f"sample-{number:08d}") for number, item in enumerate(samples))
    parts: list[tuple[str, str]] = []
    for first in ready:
        name = f"samples-{len(parts):05d}.parquet"
        parts.append((name, _write_part(chain([first], ready), folder, name)))
    kept = {name for name, _ in parts}
    for name in folder.names():
        if name.startswith("samples-") and name.endswith(".parquet") and name not in kept:
            folder.remove(name)
    return SpooledSource(folder=folder, parts=tuple(parts))


def _write_part(samples: Iterator[Sample], folder: Folder, name: str) -> str:
    """Write one part, taking as many samples as it holds; returns the digest of what it holds."""
    import pyarrow.parquet as pq

    content = hashlib.sha256()
    count = part_bytes = 0
    rows: list[dict[str, Any]] = []
    with (
        folder.writing(name) as handle,
        pq.ParquetWriter(handle, _SCHEMA, compression="none", use_dictionary=False, write_statistics=False) as writer,
    ):
        room = _GROUP_BYTES
        for sample in samples:
            rows.append(_to_row(sample, content))
            byte_size = len(sample.image or b"") + len(rows[-1]["fields"])
            count, part_bytes, room = count + 1, part_bytes + byte_size, room - byte_size
            if room <= 0:
                writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
                rows, room = [], _GROUP_BYTES
            if count == PART_SAMPLES or part_bytes >= PART_BYTES:
                break
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
    return content.hexdigest()[:32]


def _to_row(sample: Sample, content: Any) -> dict[str, Any]:
    row = {
        "key": sample.key,
        "caption": None if sample.caption is None else utf8_text(sample.caption)[0],
        "fields": json.dumps(_encoded(sample.fields)),
        "fault": None if sample.fault is None else str(sample.fault.reason),
        "fault_detail": None if sample.fault is None else utf8_text(sample.fault.detail)[0],
        "notes": [str(note) for note in sample.notes],
    }
    content.update(json.dumps([row, None if sample.image is None else len(sample.image)]).encode())
    content.update(sample.image or b"")
    return {**row, "image": sample.image}


def _from_row(row: Mapping[str, Any]) -> Sample:
    fault = None if row["fault"] is None else Fault(Reason(row["fault"]), row["fault_detail"])
    notes = tuple(map(Note, row["notes"]))
    return Sample(row["key"], row["image"], row["caption"], _decoded(json.loads(row["fields"])), fault, notes)


def _encoded(value: Any) -> Any:
    """A value as JSON can hold it: bytes and times as a mapping with one entry, whose name begins with "$"."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime):  # before date, which it is a kind of
        return {"$datetime": value.isoformat()}
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    if isinstance(value, list | tuple):
        return [_encoded(item) for item in value]
    if hasattr(value, "items"):
        entries = {str(name): _encoded(item) for name, item in value.items()}
        return {"$mapping": entries} if any(name.startswith("$") for name in entries) else entries
    return _encoded(value.tolist()) if hasattr(value, "tolist") else str(value)


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next(iter(value), "")
    if not tag.startswith("$"):
        return {name: _decoded(item) for name, item in value.items()}
    if tag == "$mapping":
        return {name: _decoded(item) for name, item in value[tag].items()}
    return _DECODERS[tag](value[tag])


_DECODERS: dict[str, Callable[[str], Any]] = {
    "$bytes": base64.b64decode,
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
}
