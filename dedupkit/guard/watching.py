"""Whoever watches processes that look at strangers' images: ends those that take too long or too much."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from dedupkit.guard.recorder import notes_in

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOKS_EVERY_S = 0.25
_SHARE_OF_MEMORY = 0.85  # of what the machine has, that one process may hold


def end_hopeless(folder: Path) -> list[int]:
    """End the processes that have looked at a sample for too long, or hold nearly all memory; which they are."""
    most, ended = _most_memory(), []
    for notes in notes_in(folder):
        greedy = bool(notes.parts) and _size(notes.pid) > most  # work over the set has a budget of its own
        if (notes.overdue_s > 0 or greedy) and _is_child(notes.pid):
            with suppress(OSError):
                os.kill(notes.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
                ended.append(notes.pid)
    return ended


def forget(folder: Path, *, ended_only: bool = False) -> None:
    """Remove the notes of processes, or only of those that have ended by now, such as workers that nobody needed."""
    for path in folder.iterdir():
        if not (ended_only and path.name.isdecimal() and _is_child(int(path.name))):
            path.unlink(missing_ok=True)


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Watch, in a thread of this process, those that keep notes in a folder."""
    over = Event()

    def watch() -> None:
        while not over.wait(LOOKS_EVERY_S):
            end_hopeless(folder)

    thread = Thread(target=watch, name="dedupkit-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def notes_folder() -> Iterator[Path]:
    """A folder for notes, removed at the end by the process that made it."""
    folder, owner = Path(tempfile.mkdtemp(prefix="dedupkit-notes-")), os.getpid()
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)


def _is_child(pid: int) -> bool:
    """Whether that is a process of ours still: numbers are given out again."""
    import psutil

    try:
        return bool(psutil.Process(pid).ppid() == os.getpid())
    except psutil.Error:
        return False


def _most_memory() -> int:
    if not hasattr(os, "sysconf"):
        return 1 << 62
    with suppress(ValueError, OSError):
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return int(_SHARE_OF_MEMORY * min(machine, _of_group(machine)))
    return 1 << 62


def _of_group(machine: int) -> int:
    """What a container may take."""
    with suppress(OSError, ValueError):
        return int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
    return machine


def _size(pid: int) -> int:
    """Memory that a process holds alone; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        resident, shared = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1:3]
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    return 0
