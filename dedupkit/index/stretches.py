"""Stretches of entries as files: what is searched is mapped, not read, so that processes share it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.index.files import Form, damaged, read_arrays, write_arrays
from dedupkit.matching.cell_means import CellMeans
from dedupkit.matching.descriptor_tables import DescriptorTable
from dedupkit.matching.digest_tables import DigestTable
from dedupkit.matching.hash_tables import HashTable
from dedupkit.matching.seen import Stretch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dedupkit.index.files import File
    from dedupkit.index.state import State
    from dedupkit.storage import Folder

_TABLES: tuple[tuple[str, type[Any]], ...] = (
    ("digests", DigestTable),
    ("hashes", HashTable),
    ("descriptors", DescriptorTable),
)


_BUCKETS = 1 << 16  # of `dedupkit.matching.hash_tables`
_SKETCH_WORDS = 4
_FORMS = {
    "digests.digests": Form(("u8",), 4),
    "digests.entries": Form(("i8",)),
    "hashes.owners": Form(("i8",)),
    "hashes.words": Form(("u2", "u4", "u8"), 4),
    "hashes.order": Form(("u4",)),
    "hashes.starts": Form(("u4",)),
    "descriptors.entries": Form(("i8",)),
    "descriptors.rows": Form(("f2",), -1),
    "descriptors.sketches": Form(("u8",), -1),
    "descriptors.starts": Form(("i8",)),
    "descriptors.ascending": Form(("i8",)),
}
_MEANS = {"means": Form(("f2",), -1)}


def write_stretch(folder: Folder, name: str, stretch: Stretch) -> File:
    """Write what is searched of a stretch: some 200 bytes an entry, and 528 more with a descriptor."""
    arrays = {
        f"{part}.{field}": getattr(getattr(stretch, part), field) for part, kind in _TABLES for field in kind.__slots__
    }
    return write_arrays(folder, name, arrays, (stretch.start, stretch.stop))


def read_stretch(folder: Folder, file: File) -> Stretch:
    """Map a stretch.

    Raises
    ------
    RunError
        The file is missing or damaged, or its arrays contradict each other.
    """
    arrays = read_arrays(folder, file, _FORMS)
    _check(folder, file, arrays)
    made: dict[str, Any] = {
        part: kind(*(arrays[f"{part}.{field}"] for field in kind.__slots__)) for part, kind in _TABLES
    }
    return Stretch(file.start, file.stop, name=file.name, **made)


def _check(folder: Folder, file: File, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise RunError where arrays do not fit together, or name entries that others tell of."""
    lengths = {name: len(values) for name, values in arrays.items()}
    sketches, starts = arrays["descriptors.sketches"], arrays["descriptors.starts"]
    described = {lengths["descriptors.entries"], lengths["descriptors.rows"], lengths["descriptors.ascending"]}
    chunks = arrays["hashes.words"].itemsize * 4 // 2
    tabled = (chunks * lengths["hashes.owners"], chunks * _BUCKETS + 1)
    fits = (
        lengths["digests.digests"] == lengths["digests.entries"]
        and lengths["hashes.owners"] == lengths["hashes.words"]
        and (lengths["hashes.order"], lengths["hashes.starts"]) in (tabled, (0, 0))
        and described == {sketches.shape[1]}
        and len(sketches) == _SKETCH_WORDS
        and len(starts) > 0
        and int(starts[-1]) == sketches.shape[1]
        and _within(arrays["digests.entries"], file.start, file.stop)
        and _within(arrays["descriptors.entries"], file.start, file.stop)
        and _within(arrays["hashes.owners"], 2 * file.start, 2 * file.stop)
        and _within(arrays["hashes.order"], 0, lengths["hashes.owners"])
        and _within(arrays["descriptors.ascending"], 0, sketches.shape[1])
    )
    if not fits:
        raise damaged(Path(folder.path(file.name)), "its arrays contradict each other")


def _within(values: NDArray[Any], start: int, stop: int) -> bool:
    return not len(values) or (start <= int(values.min()) and int(values.max()) < stop)


def write_means(folder: Folder, name: str, means: CellMeans) -> File:
    """Write the means that lists are made around."""
    return write_arrays(folder, name, {"means": means.means}, (0, means.trained_at))


def read_means(folder: Folder, state: State) -> CellMeans:
    """Read the means that the lists of an index are made around."""
    if not state.files["means"]:
        return CellMeans(np.empty((0, 0), np.float16), state.trained_at)
    means = read_arrays(folder, state.files["means"][0], _MEANS)["means"]
    return CellMeans(means, state.trained_at, state.lists.visited_cells)
