"""Scratch arrays: in memory and in files, gone at the end, and a full disk is one line."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dedupkit.errors import RunError
from dedupkit.scratch import scratch_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("in_file", [False, True], ids=["memory", "file"])
def test_what_is_appended_is_read_whole_and_may_be_written_to(in_file: bool, tmp_path: Path) -> None:
    with scratch_files(tmp_path / "new" if in_file else None) as scratch:
        growing = scratch.growing(np.uint16, (2,))
        for start in range(0, 10, 5):
            growing.append(np.arange(2 * start, 2 * start + 10).reshape(5, 2))
        whole = growing.whole()
        whole[0] = 7
        assert whole.tolist() == [[7, 7], *([2 * row, 2 * row + 1] for row in range(1, 10))]
        assert scratch.growing(np.int64).whole().shape == (0,)
        scratch.array((3, 4), np.float32)[:] = 1
    assert not list(tmp_path.glob("new/*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a filesystem needs rights that this user has not")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_one_line_and_does_not_end_the_process(small_disk: Path) -> None:
    with pytest.raises(RunError, match=r"No space left.*free some space"), scratch_files(small_disk) as scratch:
        scratch.array((1 << 19,), np.float64)[:] = 1
    with pytest.raises(RunError, match="free some space"), scratch_files(small_disk) as scratch:
        scratch.growing(np.float64).append(np.ones(1 << 19))
    with scratch_files(small_disk) as scratch:
        assert scratch.array((1 << 10,), np.float64).shape == (1024,)
