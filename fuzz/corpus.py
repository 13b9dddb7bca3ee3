"""Small files that once showed something: kept in tests/corpus, and tried again in every test run."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from fuzz.images import Item
from fuzz.pictures import ROOT
from fuzz.shards import FAMILIES, Shard, listed
from fuzz.small import TARGETS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CORPUS = ROOT / "tests" / "corpus"
_MOST_BYTES = 6000


def keep_image(item: Item, why: str) -> Path:
    """Write a mutated image into the corpus."""
    return _written(CORPUS / "images" / f"{item.kind}-{why}-{_mark(item.data)}.{item.ending}", item.data)


def keep_shard(shard: Shard, why: str) -> Path:
    """Write a mutated shard into the corpus; a list with the matrix beside it."""
    mark = _mark(*shard.files.values())
    family = next(family for family, kinds in FAMILIES.items() if shard.kind in kinds)
    places = [
        _written(CORPUS / "shards" / family / f"{why}-{mark}.{ending}", data) for ending, data in shard.files.items()
    ]
    return places[0]


def keep_small(kind: str, files: Mapping[str, bytes], why: str) -> Path:
    """Write a mutated small file into the corpus; of an index, the files that were changed."""
    folder = CORPUS / "small" / f"{kind}-{why}-{_mark(*files.values())}"
    for name, data in files.items():
        _written(folder / name, data)
    return folder


def keep_examples(examples: Mapping[tuple[str, str], Item | Shard]) -> None:
    """Write the small ones of some mutants into the corpus, each called after what became of it."""
    for (_, outcome), mutant in sorted(examples.items(), key=lambda each: each[0]):
        why = "-".join(re.findall("[a-z_]+", outcome))
        if isinstance(mutant, Item):
            if len(mutant.data) <= _MOST_BYTES:
                keep_image(mutant, why)
        elif sum(map(len, mutant.files.values())) <= _MOST_BYTES:
            keep_shard(mutant, f"{mutant.kind.replace('.', '_')}-{why}")


def images() -> list[Item]:
    """All images of the corpus."""
    paths = _below("images")
    return [
        Item(f"m{number:06d}", path.name.partition("-")[0], path.suffix[1:], path.read_bytes(), (path.name,))
        for number, path in enumerate(paths)
    ]


def shards(family: str) -> list[Shard]:
    """All shards of a family in the corpus; what stands in a tar is what another reader lists."""
    found: dict[str, dict[str, bytes]] = {}
    for path in _below("shards", family):
        name, _, ending = path.name.partition(".")
        found.setdefault(name, {})[ending] = path.read_bytes()
    return [
        Shard(f"s-{name}", _kind(files, family), files, _keys(files), frozenset(), (name,))
        for name, files in found.items()
    ]


def _keys(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Those that mutators have left as they were made."""
    found = listed(files["tar"]) if "tar" in files else set()
    return tuple(sorted(key for key in found if re.fullmatch(r"s\d{6}-\d+", key)))


def _below(*names: str) -> list[Path]:
    folder = CORPUS.joinpath(*names)
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _kind(files: Mapping[str, bytes], family: str) -> str:
    return next((ending for ending in files if ending in FAMILIES[family]), next(iter(files)))


def small_files() -> list[tuple[str, dict[str, bytes]]]:
    """Kind and files of all small ones in the corpus."""
    folders = _below("small")
    return [
        (_small_kind(folder.name), {path.name: path.read_bytes() for path in sorted(folder.iterdir())})
        for folder in folders
    ]


def _small_kind(name: str) -> str:
    return name.partition("-")[0] if name.partition("-")[0] in TARGETS else "index"


def _written(place: Path, data: bytes) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return place


def _mark(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:8]
