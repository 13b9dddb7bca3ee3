"""WebDataset output: a tar a shard, with an image, a caption and a JSON file for each sample."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, ClassVar

from dedupkit.fields import json_text, value_of
from dedupkit.sinks.names import IMAGE_EXTENSIONS, MemberNames, extension, safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from dedupkit.sinks.base import KeptSample, WrittenPart
    from dedupkit.storage import Folder

_OWN_EXTENSIONS = IMAGE_EXTENSIONS | {"txt", "json"}


@dataclass(frozen=True, slots=True)
class WebDatasetSink:
    """Tars as webdataset reads them: NAME.jpg (or png, webp ...), NAME.txt, NAME.json.

    NAME is the key with the dots of its base name replaced, see `dedupkit.sinks.names.MemberNames`.  The text is
    empty where there is no caption, so that every sample has the same members.  The JSON holds key, caption, captions,
    size, group_size, weight and the source's fields; fields that are bytes are members of their own, NAME.FIELD.

    Examples
    --------
    >>> WebDatasetSink().part_name(12)
    '00012.tar'
    """

    folder: ClassVar[str] = "webdataset"

    def part_name(self, index: int) -> str:
        """File name of the part that the shard of this number becomes."""
        return f"{index:05d}.tar"

    def write_part(self, handle: IO[bytes], samples: Iterable[KeptSample], fields: pa.Schema) -> int:
        """Write one tar, the same bytes for the same samples; returns the number of samples written."""
        names = MemberNames()
        rows = 0
        for sample in samples:
            name = names.of(sample.key)
            for suffix, data in _members(sample, fields):
                write_member(handle, f"{name}.{suffix}", data)
            rows += 1
        handle.write(bytes(2 * tarfile.BLOCKSIZE))  # the mark of a tar's end
        return rows

    def finish(self, folder: Folder, parts: Sequence[WrittenPart], fields: pa.Schema) -> None:
        """Write ``index.json``, a shard list with counts as webdataset's indexed reader takes it.

        Parts of 0 samples stay out of it; a dataset of no parts gets an empty tar.
        """
        if not parts:
            with folder.writing(self.part_name(0)) as handle:
                self.write_part(handle, [], fields)
        listed = [{"url": part.name, "nsamples": part.rows} for part in parts if part.rows]
        folder.write_json("index.json", {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": listed})


def _members(sample: KeptSample, fields: pa.Schema) -> Iterator[tuple[str, bytes]]:
    """Suffix and content of each file of a sample."""
    values = {field.name: value_of(sample.fields, field) for field in fields}
    binary = {name: bytes(value) for name, value in values.items() if isinstance(value, bytes | bytearray)}
    yield extension(sample.format), sample.image
    yield "txt", (sample.caption or "").encode("utf-8", "replace")
    yield "json", json_text(_described(sample) | {name: values[name] for name in values if name not in binary}).encode()
    taken: set[str] = set()
    for name, value in binary.items():
        yield _suffix(name, taken), value


def _described(sample: KeptSample) -> dict[str, Any]:
    names = ("key", "caption", "captions", "width", "height", "group_size", "weight")
    return {name: getattr(sample, name) for name in names}


def _suffix(name: str, taken: set[str]) -> str:
    """Suffix of a binary field's member: webdataset reads suffixes in lower case, and the image's must be its own."""
    suffix = safe(name.lower().replace("/", "_")).strip(".") or "bytes"
    suffix = f"source.{suffix}" if suffix in _OWN_EXTENSIONS else suffix
    while suffix in taken:
        suffix += "_"
    taken.add(suffix)
    return suffix


def write_member(handle: IO[bytes], name: str, data: bytes) -> None:
    """Append a file to a tar; `tarfile.TarFile` would keep every header in memory until the end."""
    header = tarfile.TarInfo(name)  # owner, group and time are 0
    header.size = len(data)
    handle.write(header.tobuf(tarfile.PAX_FORMAT))
    handle.write(data)
    handle.write(bytes(-len(data) % tarfile.BLOCKSIZE))
