"""Descriptors of many parts in one matrix, in memory and in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from dedupkit.errors import UsageError
from dedupkit.matching.gathered import gathering

if TYPE_CHECKING:
    from pathlib import Path

PARTS = [
    np.empty((2, 0), np.float16),
    np.arange(6, dtype=np.float16).reshape(2, 3),
    np.empty((1, 0), np.float16),
    np.ones((1, 3), np.float16),
    np.empty((0, 3), np.float16),
]
WHOLE = [[0, 0, 0], [0, 0, 0], [0, 1, 2], [3, 4, 5], [0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("in_file", [False, True], ids=["memory", "file"])
def test_parts_become_one_matrix_with_zeros_where_there_is_no_descriptor(in_file: bool, tmp_path: Path) -> None:
    with gathering(tmp_path / "new" if in_file else None) as gathered:
        for part in PARTS:
            gathered.add(part)
        matrix = gathered.matrix()
        np.testing.assert_array_equal(matrix, WHOLE)
        matrix[0] = 7
        assert isinstance(matrix, np.memmap) == in_file
        assert matrix[0].tolist() == [7, 7, 7]
    assert not list(tmp_path.glob("new/*"))


@pytest.mark.parametrize("in_file", [False, True], ids=["memory", "file"])
def test_without_descriptors_there_are_no_dimensions(in_file: bool, tmp_path: Path) -> None:
    with gathering(tmp_path if in_file else None) as gathered:
        assert gathered.matrix().shape == (0, 0)
        gathered.add(np.empty((4, 0), np.float16))
        assert gathered.matrix().shape == (4, 0)


def test_parts_of_different_length_are_refused(tmp_path: Path) -> None:
    with gathering(tmp_path) as gathered:
        gathered.add(PARTS[1])
        with pytest.raises(UsageError, match="same length, got 3 and 5 numbers"):
            gathered.add(np.ones((1, 5), np.float16))
    assert not list(tmp_path.iterdir())
