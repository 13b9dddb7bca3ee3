"""Arrays in files: what was written, mapped and not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from dedupkit.errors import RunError
from dedupkit.index.files import Form, read_arrays, write_arrays
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
    forms = {"words": Form(("u8",), 4), "halves": Form(("f2",), 3), "columns": Form(("i8",), -1)}
    forms["nothing"] = Form(("u1", "u2"), 4)
    found = read_arrays(folder, write_arrays(folder, "a.arrow", arrays, (0, 7)), forms)
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype
        assert np.array_equal(found[name], values)


def test_arrays_are_mapped_and_not_read(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    file = write_arrays(folder, "a.arrow", {"rows": np.ones((1 << 14, 256), np.float16)}, (0, 1 << 14))
    before = pa.total_allocated_bytes()
    rows = read_arrays(folder, file, {"rows": Form(("f2",), 256)})["rows"]
    assert pa.total_allocated_bytes() - before < rows.nbytes / 100
    assert not rows.flags.owndata
    assert float(rows[-1].sum()) == 256


@pytest.mark.parametrize(
    "form", [Form(("f4",), 3), Form(("f2",), 4), Form(("f2",))], ids=["numbers", "columns", "no vector"]
)
def test_arrays_of_another_form_are_damage(form: Form, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    file = write_arrays(folder, "a.arrow", {"rows": np.ones((5, 3), np.float16)}, (0, 5))
    with pytest.raises(RunError, match=r"a\.arrow of the index is damaged: .*; put back a copy"):
        read_arrays(folder, file, {"rows": form})
    with pytest.raises(RunError, match="is damaged"):
        read_arrays(folder, file, {"absent": form})
