"""Descriptors between a table's column and a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


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
