"""Large arrays that are needed for a while: in files of a folder, or in memory where there is none."""

from __future__ import annotations

import mmap
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

_BLOCK_ROWS = 1 << 14  # read at a time


@dataclass(slots=True)
class Scratch:
    """Makes the arrays; the files are numbered."""

    folder: Path | None
    files: list[Path]

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array to be filled."""
        if self.folder is None or 0 in shape:
            return np.empty(shape, dtype)
        self.files.append(self.folder / f"neighbours-{len(self.files)}.tmp")
        return np.memmap(self.files[-1], dtype, "w+", shape=shape)


@contextmanager
def scratch_files(work: str | Path | None) -> Iterator[Scratch]:
    """A maker of scratch arrays, whose files are removed at the end; the folder is made if it does not exist."""
    scratch = Scratch(None if work is None else Path(work), [])
    if scratch.folder:
        scratch.folder.mkdir(parents=True, exist_ok=True)
    try:
        yield scratch
    finally:
        for file in scratch.files:
            file.unlink(missing_ok=True)


def release(values: NDArray[Any]) -> None:
    """Take a memory map's pages out of this process; they stay in the system's cache, also those just written."""
    mapped = getattr(values, "_mmap", None)
    if mapped is not None and getattr(values, "mode", None) != "c" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def blocks(count: int, size: int = _BLOCK_ROWS) -> Iterator[slice]:
    """Slices of so many rows."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
