"""The forms of an emitted set as they lie in an output folder: which files, how large, how many samples."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from dedupkit.sinks import FORMATS, make_sink
from dedupkit.sinks.list_rows import FOLDER as LIST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from dedupkit.storage import Folder

FOLDERS = {format: make_sink(format).folder for format in FORMATS} | {LIST: LIST}
"""Folder below OUT of each format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A set in one format.

    Attributes
    ----------
    format : str
        As a recipe names it.
    folder : Folder
        Where it lies.
    part_bytes : mapping of str to int
        Size of each of its parts by file name.
    samples : int
        How many it holds.
    """

    format: str
    folder: Folder
    part_bytes: dict[str, int]
    samples: int

    @property
    def byte_size(self) -> int:
        """Bytes of all parts."""
        return sum(self.part_bytes.values())

    @property
    def is_parquet(self) -> bool:
        """Whether any Parquet reader reads it, the Hub's viewer among them."""
        return self.format in ("parquet", LIST)

    def schema(self) -> pa.Schema:
        """Columns of Parquet, read off the smallest part: on a store it is fetched whole."""
        smallest = min(self.part_bytes, key=lambda name: (self.part_bytes[name], name))
        with self.folder.reading(smallest) as handle:
            return pq.read_schema(handle)


def forms_in(out: Folder, formats: Iterable[str]) -> Iterator[Form]:
    """The set in an output folder in each of some formats, as the receipts of its parts tell."""
    receipts = out.below(".dedupkit/receipts")
    for format in formats:
        if format not in FOLDERS:  # what a sink of others writes is for them to describe
            continue
        name = FOLDERS[format]
        told = receipts.below(name).read_many(receipts.below(name).names())
        parts = {each.removesuffix(".json"): json.loads(data) for each, data in sorted(told.items())}
        if parts:
            sizes = {part: int(receipt["byte_size"]) for part, receipt in parts.items()}
            samples = sum(int(receipt["report"]["rows"]) for receipt in parts.values())
            yield Form(format=format, folder=out.below(name), part_bytes=sizes, samples=samples)
