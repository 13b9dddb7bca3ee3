"""Descriptors between a table's column and a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from dedupkit.scratch import Growing, Scratch


@dataclass(slots=True)
class DescriptorRows:
    """Rows of float16 as they come, part after part; a part without descriptors has no dimensions of its own."""

    scratch: Scratch
    rows: int = 0
    _stored: Growing | None = None

    def add(self, part: NDArray[np.float16]) -> None:
        """Take in the rows of a part, shape (n, dimensions).

        Raises
        ------
        UsageError
            If earlier parts have another number of dimensions.
        """
        if self._stored is None and part.shape[1]:
            self._stored = self.scratch.growing(np.float16, (part.shape[1],))
            self._stored.append(np.zeros((self.rows, part.shape[1]), np.float16))
        self.rows += len(part)
        if self._stored is None:
            return
        dimensions = self._stored.shape[0]
        if part.shape[1] not in (0, dimensions):
            raise UsageError(
                f"descriptors must all have the same length, got {dimensions} and {part.shape[1]} numbers; "
                "clean the parts one by one"
            )
        self._stored.append(part if part.shape[1] else np.zeros((len(part), dimensions), np.float16))

    def whole(self) -> NDArray[np.float16]:
        """All rows, shape (n, dimensions), which may be written to; zeros where there is none."""
        return np.empty((self.rows, 0), np.float16) if self._stored is None else self._stored.whole()


def descriptor_rows(column: pa.ChunkedArray) -> NDArray[np.float16]:
    """Descriptors as a matrix, shape (n, dimensions); zeros where there is none."""
    parts = [chunk for chunk in column.chunks if len(chunk)]
    if not parts:
        return np.empty((0, 0), np.float16)
    dimensions = max((len(chunk.flatten()) // max(1, len(chunk) - chunk.null_count) for chunk in parts), default=0)
    rows = np.zeros((len(column), dimensions), np.float16)
    start = 0
    for chunk in parts:
        present = start + np.flatnonzero(chunk.is_valid().to_numpy(zero_copy_only=False))
        rows[present] = chunk.flatten().to_numpy().reshape(len(present), -1) if len(present) else 0
        start += len(chunk)
    return rows
