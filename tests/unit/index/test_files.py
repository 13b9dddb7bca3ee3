"""Arrays in files: what was written, mapped and not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.index.files import read_arrays, write_arrays
from dedupkit.storage import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {
        "words": rng.integers(0, 1 << 63, (5, 4), dtype=np.uint64),
        "halves": rng.standard_normal((7, 3)).astype(np.float16),
        "columns": rng.integers(0, 9, (4, 6)).T,
        "nothing": np.empty((0, 4), np.uint16),
    }
    folder = Folder(str(tmp_path))
    found = read_arrays(folder, write_arrays(folder, "a.arrow", arrays, (0, 7)))
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype
        assert np.array_equal(found[name], values)


def test_arrays_are_mapped_and_not_read(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    file = write_arrays(folder, "a.arrow", {"rows": np.ones((1 << 14, 256), np.float16)}, (0, 1 << 14))
    before = pa.total_allocated_bytes()
    rows = read_arrays(folder, file)["rows"]
    assert pa.total_allocated_bytes() - before < rows.nbytes / 100
    assert not rows.flags.owndata
    assert float(rows[-1].sum()) == 256
