"""Atomic, resumable parts on any fsspec path.

On a disk a part is written beside its place, flushed to the device and renamed; on an object store it is put at once.
Its receipt follows the same way and names the inputs it was made from.  A part without a receipt of the right inputs
does not count, so a run that was killed at any moment is simply run again.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dedupkit.disk import PARTIAL
from dedupkit.folders import Folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Folder", "Stage", "digest"]

_PART_NAME = re.compile(r"(data-)?\d{5}\.(arrow|parquet|tar)|shard\.\d{5}\.mds")


def digest(value: object) -> str:
    """Short hexadecimal SHA-256 of a JSON-like value, the same on every machine."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Stage:
    """The parts of one stage, each with a receipt.

    Attributes
    ----------
    parts : Folder
        Where the parts lie.
    receipts : Folder
        Where their receipts lie, ``NAME.json``: the inputs a part was made from, its size and what it reports.
    """

    parts: Folder
    receipts: Folder

    def stale(self, name: str, inputs: Mapping[str, str]) -> list[str] | None:
        """Why the part `name` has to be made again: None if it does not, else the inputs that changed.

        An empty list says that there was no such part.
        """
        return self.stale_among({name: inputs})[name]

    def stale_among(self, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, list[str] | None]:
        """What `stale` says of each of many parts, whose inputs are given by name; folders are listed but once."""
        sizes = self.parts.sizes()
        there = sizes.keys() & {name.removesuffix(".json") for name in self.receipts.names()}
        receipts = self.receipts.read_many([f"{name}.json" for name in wanted if name in there])
        found = {name: _stale(receipts.get(f"{name}.json"), sizes.get(name), wanted[name]) for name in wanted}
        if self.parts.remote:
            for name in self.parts.missing([name for name, why in found.items() if why is None]):
                found[name] = []
        return found

    def commit(self, name: str, inputs: Mapping[str, str], report: object = None, byte_size: int | None = None) -> None:
        """Write the receipt of a part that lies in its place; its size is asked for where it is not given."""
        size = self.parts.size(name) if byte_size is None else byte_size
        receipt = {"inputs": dict(inputs), "byte_size": size, "report": report}
        self.receipts.write_json(f"{name}.json", receipt)

    def report(self, name: str) -> Any:
        """What was reported when the part was made."""
        return self.receipts.read_json(f"{name}.json")["report"]

    def reports(self, names: Sequence[str]) -> list[Any]:
        """What `report` says of each of many parts."""
        receipts = self.receipts.read_many([f"{name}.json" for name in names])
        return [json.loads(receipts[f"{name}.json"])["report"] for name in names]

    def discard_others(self, names: list[str]) -> None:
        """Remove every part that is not named, of an earlier source or recipe, and what was written half.

        Other files in the folder of the parts, such as a reader's own, are left alone.
        """
        wanted = set(names)
        for receipt in self.receipts.names():
            name = receipt.removesuffix(".json")
            if name not in wanted:
                self.parts.remove(name)
                self.receipts.remove(receipt)
        for name in self.parts.names():
            if name not in wanted and (name.endswith(PARTIAL) or _PART_NAME.fullmatch(name)):
                self.parts.remove(name)

    def discard_half(self) -> None:
        """Remove what workers that were killed wrote half of; where files are put whole there is none of it."""
        for folder in (self.parts, self.receipts):
            for name in () if folder.puts_whole else folder.names():
                if name.endswith(PARTIAL):
                    folder.remove(name)


def _stale(receipt: bytes | None, byte_size: int | None, inputs: Mapping[str, str]) -> list[str] | None:
    if receipt is None or byte_size is None:
        return []
    try:
        said = json.loads(receipt)
        whole, before = byte_size == said["byte_size"], dict(said["inputs"])
    except (ValueError, KeyError, TypeError):
        return []
    if not whole:
        return []
    return [key for key in sorted({*before, *inputs}) if before.get(key) != inputs.get(key)] or None
