"""The command line's own run in a process that may die; the one that was started watches it, and begins it again.

It costs a fork before anything large is imported.  Where that cannot be done (it needs Linux, so that the run dies with
the process that the user sees) worker processes do the same for record-local work.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import select
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from dedupkit.guard.recorder import keep_notes, notes_in
from dedupkit.guard.watching import LOOKS_EVERY_S, end_hopeless, notes_folder

if TYPE_CHECKING:
    from pathlib import Path

_MOST_DEATHS = 100
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_BY_HAND = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))

_suspects: set[bytes] = set()
_supervised = False


def is_supervised() -> bool:
    """Whether this process is one that may die."""
    return _supervised


def suspects() -> frozenset[bytes]:
    """Tags of the shards that earlier tries died at."""
    return frozenset(_suspects)


def can_supervise() -> bool:
    """Whether this system has what it takes."""
    has_all = hasattr(os, "fork") and hasattr(os, "pidfd_open") and hasattr(signal, "SIGKILL")
    return sys.platform == "linux" and has_all and os.environ.get("DEDUPKIT_SUPERVISE", "1") != "0"


def supervise() -> int | None:
    """Go on in a process of its own, which gets None; the one that was started gets the exit code once that has ended.

    It is begun again as long as it dies at samples, goes on from its last part, and tries the shards that it died at
    first.
    """
    with notes_folder() as folder:
        for _ in range(_MOST_DEATHS):
            child = os.fork()
            if not child:
                _begin(folder)
                return None
            code = _watched(child, folder)
            left = next((notes for notes in notes_in(folder) if notes.pid == child), None)
            if code >= 0 or left is None or left.ended:
                return code if code >= 0 else 128 - code
            if -code in _BY_HAND or not left.parts or left.parts <= _suspects:
                break
            _suspects.update(left.parts)
    return _given_up(-code)


def _begin(folder: Path) -> None:
    """Set up the process that may die."""
    global _supervised
    parent = os.getppid()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it has gone already
        os._exit(1)
    _supervised = True
    atexit.register(keep_notes(folder).end)  # what is registered first is called last


def _watched(child: int, folder: Path) -> int:
    """Wait for a process and watch it on; its exit code, negative for the signal that it died of."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT,)}
    passed_on = _BY_HAND[1:]
    before |= {number: signal.signal(number, lambda got, _: os.kill(child, got)) for number in passed_on}
    handle = os.pidfd_open(child)
    try:
        while not select.select([handle], [], [], LOOKS_EVERY_S)[0]:
            end_hopeless(folder)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(handle)
        for number, handler in before.items():
            signal.signal(number, handler)


def _given_up(number: int) -> int:
    if number in _BY_HAND:
        return 128 + number
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    print(f"dedupkit: the process died ({name}); run again to go on from the last part", file=sys.stderr)
    return 1
