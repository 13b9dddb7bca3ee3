"""MDS read by its description in the docs of MosaicML Streaming, for tests without that package."""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_DECODERS: dict[str, Callable[[bytes], Any]] = {"bytes": bytes, "str": bytes.decode, "json": json.loads}
_SCALARS = {"int32": np.int32, "float32": np.float32}


def read_mds(folder: Path) -> list[dict[str, Any]]:
    """All samples, in the order of the index; every size and offset is checked."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    assert index["version"] == 2
    return [sample for shard in index["shards"] for sample in _samples(folder, shard)]


def _samples(folder: Path, shard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    assert (shard["format"], shard["version"], shard["compression"], shard["zip_data"]) == ("mds", 2, None, None)
    assert shard["column_names"] == sorted(shard["column_names"])
    data = (folder / shard["raw_data"]["basename"]).read_bytes()
    assert len(data) == shard["raw_data"]["bytes"]
    (count,) = struct.unpack_from("<I", data)
    assert count == shard["samples"]
    offsets = np.frombuffer(data, "<u4", count + 1, 4)
    assert offsets[-1] == len(data)
    said = json.loads(data[4 * (count + 2) : offsets[0]])
    assert said == {name: shard[name] for name in said}
    for begin, end in pairwise(offsets):
        yield _sample(data[begin:end], shard)


def _sample(data: bytes, shard: dict[str, Any]) -> dict[str, Any]:
    place, sizes = 0, []
    for size in shard["column_sizes"]:
        if size is None:
            (size,) = struct.unpack_from("<I", data, place)
            place += 4
        sizes.append(size)
    sample = {}
    for name, encoding, size in zip(shard["column_names"], shard["column_encodings"], sizes, strict=True):
        sample[name] = _value(data[place : place + size], encoding)
        place += size
    assert place == len(data)
    return sample


def _value(data: bytes, encoding: str) -> Any:
    if encoding in _SCALARS:
        return np.frombuffer(data, _SCALARS[encoding])[0].item()
    return _DECODERS[encoding](data)
