"""Stretches of entries as files: what is searched is mapped, not read, so that processes share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.index.files import read_arrays, write_arrays
from dedupkit.matching.cell_means import CellMeans
from dedupkit.matching.descriptor_tables import DescriptorTable
from dedupkit.matching.digest_tables import DigestTable
from dedupkit.matching.hash_tables import HashTable
from dedupkit.matching.seen import Stretch

if TYPE_CHECKING:
    from dedupkit.index.files import File
    from dedupkit.index.state import State
    from dedupkit.storage import Folder

_TABLES: tuple[tuple[str, type[Any]], ...] = (
    ("digests", DigestTable),
    ("hashes", HashTable),
    ("descriptors", DescriptorTable),
)


def write_stretch(folder: Folder, name: str, stretch: Stretch) -> File:
    """Write what is searched of a stretch: some 200 bytes an entry, and 528 more with a descriptor."""
    arrays = {
        f"{part}.{field}": getattr(getattr(stretch, part), field) for part, kind in _TABLES for field in kind.__slots__
    }
    return write_arrays(folder, name, arrays, (stretch.start, stretch.stop))


def read_stretch(folder: Folder, file: File) -> Stretch:
    """Map a stretch."""
    arrays = read_arrays(folder, file)
    made: dict[str, Any] = {
        part: kind(*(arrays[f"{part}.{field}"] for field in kind.__slots__)) for part, kind in _TABLES
    }
    return Stretch(file.start, file.stop, name=file.name, **made)


def write_means(folder: Folder, name: str, means: CellMeans) -> File:
    """Write the means that lists are made around."""
    return write_arrays(folder, name, {"means": means.means}, (0, means.trained_at))


def read_means(folder: Folder, state: State) -> CellMeans:
    """Read the means that the lists of an index are made around."""
    if not state.files["means"]:
        return CellMeans(np.empty((0, 0), np.float16), state.trained_at)
    means = read_arrays(folder, state.files["means"][0])["means"]
    return CellMeans(means, state.trained_at, state.lists.visited_cells)
