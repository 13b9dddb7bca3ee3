"""Fingerprints of many parts in arrays, in memory and in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from dedupkit.errors import UsageError
from dedupkit.matching.signatures import COLUMNS, gathered
from dedupkit.recipe import Matching
from dedupkit.sample import FINGERPRINTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WHOLE = [[0, 0, 0], [0, 0, 0], [0, 1, 2], [3, 4, 5], [0, 0, 0], [1, 1, 1]]
PARTS: list[list[list[int] | None]] = [[None, None], [[0, 1, 2], [3, 4, 5]], [None], [[1, 1, 1]], []]


def described(rows: list[list[int] | None], first: int) -> pa.Table:
    """Fingerprints of which only position, digest and descriptor matter."""
    given = {
        "position": list(range(first, first + len(rows))),
        "sha256": [bytes([first + row]) * 32 for row in range(len(rows))],
        "descriptor": [None if row is None else np.array(row, np.float16) for row in rows],
    }
    arrays = [pa.array(given.get(field.name, [None] * len(rows)), field.type) for field in FINGERPRINTS]
    return pa.Table.from_arrays(arrays, schema=FINGERPRINTS)


def parts(tables: list[list[list[int] | None]]) -> list[pa.Table]:
    return [described(rows, 10 * number) for number, rows in enumerate(tables)]


@pytest.mark.parametrize("in_file", [False, True], ids=["memory", "file"])
def test_parts_become_one_matrix_with_zeros_where_there_is_no_descriptor(in_file: bool, tmp_path: Path) -> None:
    with gathered(parts(PARTS), Matching(), tmp_path / "new" if in_file else None) as (prints, _):
        np.testing.assert_array_equal(prints.descriptors, WHOLE)
        assert prints.positions.tolist() == [0, 1, 10, 11, 20, 30]
        assert prints.digests[:, 0].tolist() == [int.from_bytes(bytes([each]) * 8) for each in prints.positions]
        prints.descriptors[0] = 7
        assert isinstance(prints.descriptors, np.memmap) == in_file
        assert prints.descriptors[0].tolist() == [7, 7, 7]
    assert not list(tmp_path.glob("new/*"))


@pytest.mark.parametrize("in_file", [False, True], ids=["memory", "file"])
def test_hashes_are_those_of_the_tables_in_files_too(
    in_file: bool, picture: Callable[..., object], fingerprint: Callable[..., pa.Table], tmp_path: Path
) -> None:
    table = fingerprint([picture(seed) for seed in range(5)])
    with gathered([table], Matching(), tmp_path if in_file else None) as (prints, _):
        assert [code.tobytes() for code in prints.whole.codes] == table["pdq"].to_pylist()
        assert prints.whole.present.all()
        assert not prints.trimmed.present.any()


def test_without_descriptors_there_are_no_dimensions(tmp_path: Path) -> None:
    for tables, rows in (([], 0), (parts([[None] * 4]), 4)):
        with gathered([table.select(COLUMNS) for table in tables], Matching(), tmp_path) as (prints, _):
            assert prints.descriptors.shape == (rows, 0)


def test_descriptors_of_different_length_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="same length, got 3 and 5 numbers"),
        gathered(parts([[[0, 1, 2]], [[1, 2, 3, 4, 5]]]), Matching(), tmp_path),
    ):
        pass
    assert not list(tmp_path.iterdir())
