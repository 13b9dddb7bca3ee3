"""MDS output, the shards of MosaicML Streaming: ``streaming.StreamingDataset(local="OUT/mds")`` reads them."""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from dedupkit.errors import RunError
from dedupkit.fields import json_text, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dedupkit.sinks.base import KeptSample, WrittenPart
    from dedupkit.storage import Folder

MAX_BYTES = (1 << 32) - 1  # offsets in a shard are uint32
_OWN = {
    "key": "str",
    "image": "bytes",
    "caption": "str",
    "captions": "json",
    "width": "int32",
    "height": "int32",
    "group_size": "int32",
    "weight": "float32",
}
_FIXED = {"int32": "<i", "float32": "<f"}


@dataclass(frozen=True, slots=True)
class MdsSink:
    """MDS shards of version 2, uncompressed; images are the encoded bytes, as `bytes`.

    A shard is the number of samples, where each begins and ends, its columns as JSON, then the samples; a sample is
    the sizes of its columns of no fixed size, then all columns in the order of their names.  The format has no nulls:
    a missing caption is the empty text.  The source's other fields are columns of JSON, those that are bytes of bytes.

    Examples
    --------
    >>> MdsSink().part_name(3)
    'shard.00003.mds'
    """

    folder: ClassVar[str] = "mds"

    def part_name(self, index: int) -> str:
        """File name of the part that the shard of this number becomes."""
        return f"shard.{index:05d}.mds"

    def write_part(self, handle: IO[bytes], samples: Iterable[KeptSample], fields: pa.Schema) -> int:
        """Write one shard; returns the number of samples written.

        Samples go through a file without a name, as what stands before them in a shard is known only at its end.
        """
        columns = columns_of(fields)
        encoded = (_encoded(_values(sample, fields), columns) for sample in samples)
        return write_shard(handle, json.dumps(_said(columns), sort_keys=True).encode(), encoded)

    def finish(self, folder: Folder, parts: Sequence[WrittenPart], fields: pa.Schema) -> None:
        """Write ``index.json``, which names the shards; those of 0 samples stay out of it."""
        sizes = folder.sizes()
        filled = [part for part in parts if part.rows]
        said: dict[str, Any] = {}
        if filled:  # all have the same columns; the smallest is the one to fetch from a store
            with folder.reading(min(filled, key=lambda part: sizes[part.name]).name) as handle:
                said = json.loads(read_head(handle).columns)
        shards = [
            said
            | {
                "raw_data": {"basename": part.name, "bytes": sizes[part.name], "hashes": {"sha256": part.sha256}},
                "samples": part.rows,
                "zip_data": None,
            }
            for part in filled
        ]
        folder.write_json("index.json", {"version": 2, "shards": shards})


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the samples of a shard.

    Attributes
    ----------
    offsets : ndarray of uint32, shape (samples + 1,)
        Where each sample begins; then, where the last ends.
    columns : bytes
        Names, encodings and sizes of the columns, as JSON.
    """

    offsets: np.ndarray[Any, np.dtype[np.uint32]]
    columns: bytes


def columns_of(fields: pa.Schema) -> dict[str, str]:
    """Encoding of each column, in the order of their names."""
    others = {field.name: "bytes" if pa.types.is_binary(field.type) else "json" for field in fields}
    return dict(sorted((others | _OWN).items()))


def write_shard(handle: IO[bytes], columns: bytes, samples: Iterable[bytes]) -> int:
    """Write a shard of samples as they are encoded; returns how many they are.

    Raises
    ------
    RunError
        They are more than a shard holds, 4 GiB.
    """
    sizes: list[int] = []
    with TemporaryFile() as body:
        total = 8 + len(columns)
        for sample in samples:
            sizes.append(len(sample))
            total += 4 + len(sample)
            if total > MAX_BYTES:
                raise RunError(
                    f"an MDS shard holds {MAX_BYTES:,} bytes at most, and what is kept of one shard of the source is "
                    "more; cut the source into smaller shards, or name another of [output] formats"
                )
            body.write(sample)
        begins = 4 + 4 * (len(sizes) + 1) + len(columns)
        offsets = begins + np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        handle.write(struct.pack("<I", len(sizes)))
        handle.write(offsets.astype("<u4").tobytes())
        handle.write(columns)
        body.seek(0)
        shutil.copyfileobj(body, handle, 1 << 20)
    return len(sizes)


def read_head(handle: IO[bytes]) -> Head:
    """What stands before the samples; the handle is at the first of them then."""
    (samples,) = struct.unpack("<I", handle.read(4))
    offsets = np.frombuffer(handle.read(4 * (samples + 1)), "<u4")
    return Head(offsets, handle.read(int(offsets[0]) - handle.tell()))


def read_shard(handle: IO[bytes], head: Head) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each sample of a shard, as it is encoded and decoded."""
    said = json.loads(head.columns)
    columns = dict(zip(said["column_names"], said["column_encodings"], strict=True))
    for size in np.diff(head.offsets.astype(np.int64)).tolist():
        data = handle.read(size)
        yield data, _decoded(data, columns)


def _said(columns: dict[str, str]) -> dict[str, Any]:
    """The columns as a shard and its index say them."""
    return {
        "column_encodings": list(columns.values()),
        "column_names": list(columns),
        "column_sizes": [4 if encoding in _FIXED else None for encoding in columns.values()],
        "compression": None,
        "format": "mds",
        "hashes": ["sha256"],
        "size_limit": None,
        "version": 2,
    }


def _values(sample: KeptSample, fields: pa.Schema) -> dict[str, Any]:
    others = {field.name: value_of(sample.fields, field) for field in fields}
    own = {name: getattr(sample, name) for name in _OWN}
    return others | own | {"captions": list(sample.captions)}


def _encoded(values: dict[str, Any], columns: dict[str, str]) -> bytes:
    data = [_datum(values[name], encoding) for name, encoding in columns.items()]
    loose = [len(datum) for datum, encoding in zip(data, columns.values(), strict=True) if encoding not in _FIXED]
    return struct.pack(f"<{len(loose)}I", *loose) + b"".join(data)


def _datum(value: Any, encoding: str) -> bytes:
    if encoding in _FIXED:
        return struct.pack(_FIXED[encoding], value)
    if encoding == "bytes":
        return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""
    return (json_text(value) if encoding == "json" else value or "").encode("utf-8", "replace")


def _decoded(data: bytes, columns: dict[str, str]) -> dict[str, Any]:
    loose = sum(encoding not in _FIXED for encoding in columns.values())
    sizes = iter(struct.unpack_from(f"<{loose}I", data))
    values, begins = dict[str, Any](), 4 * loose
    for name, encoding in columns.items():
        ends = begins + (4 if encoding in _FIXED else next(sizes))
        values[name] = _value(data[begins:ends], encoding)
        begins = ends
    return values


def _value(datum: bytes, encoding: str) -> Any:
    if encoding in _FIXED:
        return struct.unpack(_FIXED[encoding], datum)[0]
    if encoding == "bytes":
        return datum
    return json.loads(datum) if encoding == "json" else datum.decode()
