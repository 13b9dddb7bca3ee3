"""Machines out of text."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dedupkit.errors import UsageError
from dedupkit.planning.machines import Machine


def test_a_machine_is_read_from_text() -> None:
    machine = Machine.of("cores=64, memory=256GiB,disk=2TB,price=3.2")
    assert machine == Machine(cores=64, memory_bytes=256 << 30, disk_bytes=2 * 10**12, price_per_hour=3.2)


def test_what_is_left_out_is_as_here() -> None:
    machine = Machine.of("price=1")
    assert machine.cores == len(os.sched_getaffinity(0))
    assert machine.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine.disk_bytes == pytest.approx(shutil.disk_usage(Path.cwd()).free, rel=0.1)


@pytest.mark.parametrize("text", ["cores=many", "gpus=8", "memory=much", "cores=0", "price=-1", "64"])
def test_what_is_no_machine_is_refused_with_an_example_or_the_limit(text: str) -> None:
    with pytest.raises(UsageError, match=r"such as|or more"):
        Machine.of(text)
