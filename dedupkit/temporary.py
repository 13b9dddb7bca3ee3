"""Folders below TMPDIR for a while; those that killed processes left there are removed when the next one is made."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import weakref
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_PREFIX = "dedupkit-"
_CLAIM, _FILES = "claim.json", "files"
_YOUNG_S = 60
"""How long one is left alone in any case, which may be about to say whose it is."""


class TemporaryFolder:
    """A folder that goes at the end of a block, with this object, or with the process.

    A process that is killed leaves it behind, with its number: once that has ended, `sweep` finds it.

    Attributes
    ----------
    path : Path
        The folder, which is empty at first.
    """

    def __init__(self) -> None:
        _sweep_once()
        outer = tempfile.mkdtemp(prefix=_PREFIX)
        self._end = weakref.finalize(self, _removed, outer, os.getpid())
        self.path = Path(outer, _FILES)
        self.path.mkdir()
        _claim(outer)

    def __enter__(self) -> str:
        return str(self.path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove it before the end."""
        self._end()


def sweep() -> int:
    """Remove the temporary folders of processes of this machine and user that have ended; how many there were."""
    return sum(_swept(Path(entry)) for entry in _ours())


@cache
def _sweep_once() -> None:
    sweep()


def _ours() -> list[str]:
    """Folders that may be of this package and this user; never what a link leads to."""
    found: list[str] = []
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False) and _may_go(entry):
                    found.append(entry.path)
    return found


def _may_go(entry: os.DirEntry[str]) -> bool:
    """Whether it is this user's, and old enough to have said whose it is."""
    told = entry.stat(follow_symlinks=False)
    mine = not hasattr(os, "getuid") or told.st_uid == os.getuid()
    return mine and time.time() - told.st_mtime > _YOUNG_S


def _swept(outer: Path) -> bool:
    from dedupkit.lease import Lock

    try:
        owner = Lock.loads((outer / _CLAIM).read_bytes())
        dead = owner.pid != os.getpid() and owner.is_of_the_dead()
    except (OSError, ValueError, TypeError):  # of an older version, or of something else
        return False
    if dead:
        shutil.rmtree(outer, ignore_errors=True)
    return dead


def _claim(outer: str) -> None:
    with suppress(OSError):  # a full disk is told of by who writes to it
        Path(outer, _CLAIM).write_bytes(_owner(os.getpid()))


@cache
def _owner(pid: int) -> bytes:
    """Who this process is."""
    from dedupkit.lease import Lock

    return Lock(pid=pid).dumps()


def _removed(outer: str, owner: int) -> None:
    if os.getpid() == owner:  # not in a process that was forked meanwhile
        shutil.rmtree(outer, ignore_errors=True)
