"""Notes of processes are kept as long as those live."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from dedupkit.guard.watching import forget

if TYPE_CHECKING:
    from pathlib import Path


def test_notes_of_workers_that_ended_do_not_pile_up(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    for process in (ended, living):
        (tmp_path / str(process.pid)).touch()
    forget(tmp_path, ended_only=True)
    assert [path.name for path in tmp_path.iterdir()] == [str(living.pid)]
    living.communicate(b"\n")
    forget(tmp_path, ended_only=True)
    assert list(tmp_path.iterdir()) == []
