"""Equal rows against a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dedupkit.matching.equals import first_of_equals
from dedupkit.scratch import scratch_files

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.mark.parametrize("memory", [None, 1], ids=["at once", "in shares"])
@pytest.mark.parametrize("kind", [np.uint64, np.uint16])
def test_each_row_is_told_the_first_that_equals_it(kind: type, memory: int | None, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows: NDArray[Any] = rng.integers(0, 6, (50_000, 4)).astype(kind)
    rows[:, 2] <<= 5
    seen: dict[bytes, int] = {}
    expected = [seen.setdefault(row.tobytes(), number) for number, row in enumerate(rows)]
    with scratch_files(tmp_path) as scratch:
        mapped = scratch.array(rows.shape, kind)
        mapped[:] = rows
        assert first_of_equals(mapped, memory=memory, scratch=scratch).tolist() == expected


def test_no_rows_are_no_trouble() -> None:
    assert first_of_equals(np.empty((0, 4), np.uint64), memory=1).tolist() == []
