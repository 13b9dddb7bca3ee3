"""Kept samples as Arrow record batches of bounded size: what the Arrow and the Parquet sink share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.fields import column, value_of
from dedupkit.sinks.names import file_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dedupkit.sinks.base import KeptSample

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})  # what datasets.Image is stored as
_OWN = pa.schema(
    {
        "key": pa.string(),
        "image": IMAGE,
        "caption": pa.string(),
        "captions": pa.list_(pa.string()),
        "width": pa.int32(),
        "height": pa.int32(),
        "group_size": pa.int32(),
        "weight": pa.float32(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """How large a batch grows.

    Attributes
    ----------
    max_rows : int
        Samples.
    max_bytes : int
        Bytes of images, texts and binary fields; a single sample may exceed it.
    """

    max_rows: int = 256
    max_bytes: int = 64 << 20


def output_schema(fields: pa.Schema) -> pa.Schema:
    """Schema of an output table: dedupkit's columns, then the source's fields.

    The metadata names the features of `datasets` that Arrow's types do not tell: the image, and what the source
    declared.  `datasets` derives the others from the types, in each of its versions as that version calls them.
    """
    declared = json.loads((fields.metadata or {}).get(b"huggingface", b"{}"))
    types = declared.get("info", {}).get("features", {})
    features = {"image": {"_type": "Image"}, **{name: types[name] for name in fields.names if name in types}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    return pa.schema([*_OWN, *fields], metadata=metadata)


def record_batches(samples: Iterable[KeptSample], fields: pa.Schema, limits: BatchLimits) -> Iterator[pa.RecordBatch]:
    """Batches of `output_schema` in the order of the samples; holds one batch in memory."""
    schema = output_schema(fields)
    waiting: list[KeptSample] = []
    waiting_bytes = 0
    for sample in samples:
        sample_bytes = len(sample.image) + _byte_size([sample.caption, *sample.captions]) + _byte_size(sample.fields)
        if waiting and (len(waiting) == limits.max_rows or waiting_bytes + sample_bytes > limits.max_bytes):
            yield _batch(waiting, schema, fields)
            waiting, waiting_bytes = [], 0
        waiting.append(sample)
        waiting_bytes += sample_bytes
    if waiting:
        yield _batch(waiting, schema, fields)


def _batch(samples: list[KeptSample], schema: pa.Schema, fields: pa.Schema) -> pa.RecordBatch:
    images = pa.StructArray.from_arrays(
        [
            pa.array([sample.image for sample in samples], pa.binary()),
            column([file_name(sample.key, sample.format) for sample in samples], pa.field("path", pa.string())),
        ],
        fields=list(IMAGE),
    )
    own = {
        name: images if name == "image" else column([getattr(sample, name) for sample in samples], schema.field(name))
        for name in _OWN.names
    }
    others = [column([value_of(sample.fields, field) for sample in samples], field) for field in fields]
    return pa.RecordBatch.from_arrays([*own.values(), *others], schema=schema)


def _byte_size(value: Any) -> int:
    """Roughly what a value takes up in Arrow."""
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_byte_size, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_byte_size, value))
    return 8
