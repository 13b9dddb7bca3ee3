"""Matrices in ``.npy`` files, read forward a few rows at a time from any filesystem; nothing is unpickled."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from tokenize import TokenError
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.sources.listing import File


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix of floating-point numbers in an open file.

    Attributes
    ----------
    handle : file
        Stands at the first row that was not read.
    rows, columns : int
        Its shape.
    dtype : numpy.dtype
        Of the file.
    byte_size : int
        Of the file: more is never asked for, whatever its header states.
    """

    handle: IO[bytes]
    rows: int
    columns: int
    dtype: np.dtype[Any]
    byte_size: int

    def read(self, rows: int) -> NDArray[Any]:
        """The next rows, shape (rows, columns).

        Raises
        ------
        ValueError
            If the file ends before them.
        """
        byte_size = rows * self.columns * self.dtype.itemsize
        data = self.handle.read(min(byte_size, self.byte_size))
        if len(data) < byte_size:
            raise ValueError(f"the .npy file ends {byte_size - len(data)} bytes too early")
        return np.frombuffer(data, self.dtype).reshape(rows, self.columns)


@contextmanager
def opened_matrix(file: File) -> Iterator[Matrix]:
    """Open a ``.npy`` file of a matrix; memory is that of the rows that are read at a time.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no ``.npy`` file of floating-point rows, one after the other.
    """
    with file.open() as handle:
        shape, columns_first, dtype = _header(handle)
        if len(shape) != 2 or min(shape) < 0 or columns_first or dtype.kind != "f":
            raise ValueError(f"{file.name} holds {dtype} of shape {shape}; it must hold rows of floating-point numbers")
        yield Matrix(handle, shape[0], shape[1], dtype, file.byte_size)


def _header(handle: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy.read_magic(handle)
        return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(handle)
    except (SyntaxError, TokenError, TypeError, RecursionError, MemoryError) as error:  # it is read as Python
        raise ValueError(f"no header of a .npy file: {type(error).__name__}") from error
