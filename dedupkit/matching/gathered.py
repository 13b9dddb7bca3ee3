"""The descriptors of all samples in one matrix, in a file where there is room for one: memory is for the search."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import numpy as np

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_FILE = "descriptors.tmp"


@dataclass(slots=True)
class Gathered:
    """Rows of float16 as they come, part after part; a part without descriptors has no dimensions of its own."""

    path: Path | None
    handle: IO[bytes] | None
    rows: int = 0
    dimensions: int = 0
    parts: list[NDArray[np.float16]] = field(default_factory=list)

    def add(self, part: NDArray[np.float16]) -> None:
        """Take in the rows of a part, shape (n, dimensions).

        Raises
        ------
        UsageError
            If earlier parts have another number of dimensions.
        """
        if self.dimensions and part.shape[1] not in (0, self.dimensions):
            raise UsageError(
                f"descriptors must all have the same length, got {self.dimensions} and {part.shape[1]} numbers; "
                "clean the parts one by one"
            )
        if part.shape[1] and not self.dimensions:
            self.dimensions = part.shape[1]
            self._write(np.zeros((self.rows, self.dimensions), np.float16))
        self.rows += len(part)
        if self.dimensions:
            self._write(part if part.shape[1] else np.zeros((len(part), self.dimensions), np.float16))

    def _write(self, rows: NDArray[np.float16]) -> None:
        if self.handle is None:
            self.parts.append(rows)
        else:
            self.handle.write(np.ascontiguousarray(rows).data)

    def matrix(self) -> NDArray[np.float16]:
        """All rows, shape (n, dimensions): a memory map of the file that may be written to, or an array."""
        shape = (self.rows, self.dimensions)
        if self.handle is None or self.path is None or 0 in shape:
            return np.concatenate([np.empty((0, self.dimensions), np.float16), *self.parts]).reshape(shape)
        self.handle.flush()
        return np.memmap(self.path, np.float16, "r+", shape=shape)


@contextmanager
def gathering(folder: Path | None) -> Iterator[Gathered]:
    """Gather descriptors in a file of a folder, which is made if it does not exist; None gathers in memory.

    The file is removed at the end.
    """
    if folder is None:
        yield Gathered(None, None)
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _FILE
    try:
        with path.open("wb") as handle:
            yield Gathered(path, handle)
    finally:
        path.unlink(missing_ok=True)
