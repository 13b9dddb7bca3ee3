"""The files of an index: Arrow files that are written once, whole, and mapped ever after."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dedupkit.storage import Folder

_LAYOUT = b"dedupkit.layout"


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


def read_arrays(folder: Folder, file: File) -> dict[str, NDArray[Any]]:
    """Map the arrays of a file."""
    table = read_table(folder, file)
    layout = json.loads(table.schema.metadata[_LAYOUT])
    return {key: _mapped_value(table[key].chunk(0), np.dtype(kind), shape) for key, (kind, shape) in layout.items()}


def _mapped_value(column: pa.Array, kind: np.dtype[Any], shape: list[int]) -> NDArray[Any]:
    """The array that is the one value of a column; a scalar of it would be a copy."""
    count = math.prod(shape)
    if not count:
        return np.empty(shape, kind)
    return np.frombuffer(column.buffers()[2], kind, count).reshape(shape)


def write_table(folder: Folder, name: str, table: pa.Table, span: tuple[int, int]) -> File:
    """Write a table as an Arrow file that can be mapped."""
    with folder.writing(name) as handle, pa.ipc.new_file(handle, table.schema) as out:
        out.write_table(table)
    return File(name, *span, folder.size(name))


def read_table(folder: Folder, file: File) -> pa.Table:
    """Map the table of a file.

    Raises
    ------
    RunError
        The file is missing, cut short or no Arrow file.
    """
    path = check_size(folder, file)
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid, ValueError) as error:
        raise damaged(path, str(error)) from error


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
