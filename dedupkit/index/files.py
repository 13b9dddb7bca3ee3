"""The files of an index: Arrow files that are written once, whole, and mapped ever after."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from dedupkit.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dedupkit.storage import Folder

_LAYOUT = b"dedupkit.layout"
_UNFIT = (OSError, ValueError, KeyError, TypeError, OverflowError, IndexError, RecursionError, pa.ArrowException)


class Form(NamedTuple):
    """What an array of a file has to be like: kinds of numbers as NumPy writes them, and columns; none for a vector."""

    kinds: tuple[str, ...]
    columns: int | None = None

    def check(self, name: str, values: NDArray[Any]) -> None:
        """Raise ValueError where an array is otherwise; -1 columns are any number."""
        sides = 1 if self.columns is None else 2
        fits = values.ndim == sides and (sides == 1 or self.columns in (-1, values.shape[1]))
        if values.dtype.str[1:] not in self.kinds or not fits:
            raise ValueError(f"{name} is {values.dtype} of shape {values.shape}")


@dataclass(frozen=True, slots=True)
class File:
    """A file that the index names.

    Attributes
    ----------
    name : str
        In the folder of the index.
    start, stop : int
        Entries that it tells of, `stop` not included.
    byte_size : int
        What it has to have.
    """

    name: str
    start: int
    stop: int
    byte_size: int

    @property
    def entries(self) -> int:
        """How many entries it tells of, at most."""
        return self.stop - self.start

    def to_json(self) -> dict[str, Any]:
        """As it stands in the index."""
        return asdict(self)


def write_arrays(folder: Folder, name: str, arrays: Mapping[str, NDArray[Any]], span: tuple[int, int]) -> File:
    """Write arrays as the one row of an Arrow file, so that each can be mapped where it lies."""
    layout = {key: [str(values.dtype), list(values.shape)] for key, values in arrays.items()}
    columns = [_one_value(np.ascontiguousarray(values)) for values in arrays.values()]
    schema = pa.schema([(key, pa.large_binary()) for key in arrays], metadata={_LAYOUT: json.dumps(layout)})
    return write_table(folder, name, pa.Table.from_arrays(columns, schema=schema), span)


def _one_value(values: NDArray[Any]) -> pa.Array:
    ends = pa.py_buffer(np.array([0, values.nbytes], np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(values.reshape(-1).view(np.uint8))])


def read_arrays(folder: Folder, file: File, forms: Mapping[str, Form]) -> dict[str, NDArray[Any]]:
    """Map the arrays of a file.

    Parameters
    ----------
    folder : Folder
        Of the index.
    file : File
        Which.
    forms : mapping of str to Form
        The arrays that there have to be, and what each has to be like.

    Raises
    ------
    RunError
        The file is missing, cut short, no Arrow file, or holds other arrays.
    """
    table = read_table(folder, file)
    try:
        layout = json.loads(table.schema.metadata[_LAYOUT])
        arrays = {key: _mapped_value(table[key].chunk(0), *layout[key]) for key in forms}
        for key, form in forms.items():
            form.check(key, arrays[key])
    except _UNFIT as error:
        raise damaged(Path(folder.path(file.name)), f"{type(error).__name__}: {error}") from error
    return arrays


def _mapped_value(column: pa.Array, kind: str, shape: list[int]) -> NDArray[Any]:
    """The array that is the one value of a column; a scalar of it would be a copy."""
    if pa.types.is_large_binary(column.type) and len(column) == 1 and min(shape, default=0) >= 0:
        count = math.prod(shape)
        return np.frombuffer(column.buffers()[2], kind, count).reshape(shape) if count else np.empty(shape, kind)
    raise ValueError(f"{len(column)} values of {column.type}, shape {shape}")


def write_table(folder: Folder, name: str, table: pa.Table, span: tuple[int, int]) -> File:
    """Write a table as an Arrow file that can be mapped."""
    with folder.writing(name) as handle, pa.ipc.new_file(handle, table.schema) as out:
        out.write_table(table)
    return File(name, *span, folder.size(name))


def read_table(folder: Folder, file: File, schema: pa.Schema | None = None) -> pa.Table:
    """Map the table of a file, of a schema where one is given.

    Raises
    ------
    RunError
        The file is missing, cut short, no Arrow file, or of another schema.
    """
    path = check_size(folder, file)
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate(full=True)  # offsets that lie outside of a buffer would crash the process
        if schema is not None and not table.schema.equals(schema):
            raise ValueError(f"its columns are {', '.join(table.schema.names)}")
    except _UNFIT as error:
        raise damaged(path, str(error)) from error
    return table


def check_size(folder: Folder, file: File) -> Path:
    """The path of a file that is there and as long as it should be.

    Raises
    ------
    RunError
        It is not.
    """
    path = Path(folder.path(file.name))
    try:
        size = path.stat().st_size
    except OSError as error:
        raise damaged(path, error.strerror or "it cannot be read") from error
    if size != file.byte_size:
        raise damaged(path, f"{size} bytes instead of {file.byte_size}")
    return path


def damaged(path: Path, why: str) -> RunError:
    """What to say of a file of an index that cannot be used."""
    shown = " ".join(why.split())
    return RunError(f"{path} of the index is damaged: {shown}; put back a copy of the index, or build it anew")
