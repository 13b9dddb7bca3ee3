"""One run at a time below a folder on a store: a lock object that has to be renewed, or it is taken over."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import signal
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from dedupkit.errors import RunError, UsageError, error_text, public

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dedupkit.storage import Folder

LEASE_S = 90
"""How long a lock holds that nobody renews."""
RENEW_S = 20
_WATCHED = 1.5
"""For how many renewals a lock of another machine is watched before it is taken over, whatever the clocks say."""
_CLOCKS_DIFFER_S = 60
_SETTLE_S = 2
_DRAWN = 1 << 40
"""The bit of a network address that each process has drawn for itself, where there is no network (RFC 4122, 4.5)."""
_held: set[str] = set()
"""Tokens of the locks of this process."""
_log = logging.getLogger("dedupkit")


@cache
def _machine() -> str:
    told = [platform.node()]
    if not uuid.getnode() & _DRAWN:
        told.append(f"{uuid.getnode():x}")
    for place in ("/proc/sys/kernel/random/boot_id", "/etc/machine-id"):
        with suppress(OSError):
            told.append(Path(place).read_text(encoding="utf-8"))
    with suppress(OSError):
        told.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 - process ids mean nothing in another namespace
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _began(pid: int | None = None) -> float:
    """When a process began; on Linux since the machine was started, for there other numbers change with the clock."""
    process = psutil.Process(pid)
    return float(process.create_time() - (psutil.boot_time() if psutil.LINUX else 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What a lock object says: who holds it, told so that the same machine knows its dead processes, and since when.

    Attributes
    ----------
    token : str
        Random; tells this lock from all others.
    machine : str
        Digest of what tells this machine, since it was started, and this container from others.
    pid : int
        The process.
    started : float
        When that process began, as the machine tells it.
    renewed : float
        When the lock was written last, in seconds since 1970.
    """

    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    machine: str = field(default_factory=_machine)
    pid: int = field(default_factory=os.getpid)
    started: float = field(default_factory=_began)
    renewed: float = field(default_factory=time.time)

    @classmethod
    def loads(cls, data: bytes) -> Lock:
        """The lock that bytes tell of.

        Raises
        ------
        ValueError, TypeError
            They tell of none.
        """
        return cls(**json.loads(data))

    def dumps(self) -> bytes:
        """What stands in the lock object."""
        return json.dumps(asdict(self)).encode()

    def seconds_left(self) -> float:
        """How long it still holds if nobody renews it; one from the future holds no longer than a fresh one."""
        return min(LEASE_S, self.renewed + LEASE_S - time.time())

    @property
    def tells_time(self) -> bool:
        """Whether it was renewed a short while ago by this machine's clock; else one of the two clocks was set."""
        return -_CLOCKS_DIFFER_S <= time.time() - self.renewed < LEASE_S

    def is_of_the_dead(self) -> bool:
        """Whether the process that held it ran on this machine and has ended."""
        if self.machine != _machine():
            return False
        if self.pid == os.getpid():
            return self.token not in _held  # of an earlier run, which could not take it away at its end
        try:
            unburied = psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE  # as in containers without an init
            return unburied or abs(_began(self.pid) - self.started) > 2
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False


@contextmanager
def leased(folder: Folder, name: str) -> Iterator[None]:
    """Hold the lock object `name` in a folder for as long as the block lasts.

    Raises
    ------
    UsageError
        Another run holds it.
    RunError
        It was lost under way, for this machine slept or the store could not be reached for longer than a lease.
    """
    lock = Lock()
    _held.add(lock.token)
    try:
        _acquire(folder, name, lock)
        with _renewed(folder, name, lock):
            yield
    finally:
        _held.discard(lock.token)


@contextmanager
def _renewed(folder: Folder, name: str, lock: Lock) -> Iterator[None]:
    renewer = _Renewer(folder, name, lock)
    renewer.start()
    try:
        yield
    except KeyboardInterrupt:
        if renewer.lost:
            raise renewer.loss() from None
        raise
    finally:
        renewer.stop()
    if renewer.lost:
        raise renewer.loss()


def _acquire(folder: Folder, name: str, mine: Lock) -> None:
    found = _read(folder, name)
    if found is None:
        _create(folder, name, mine)
        found = _read(folder, name)
    if found == mine:  # also where the store did as it was asked and its answer was lost
        return
    if found is not None and not found.is_of_the_dead():
        if found.tells_time:
            raise _refused(folder, f"; if it was killed, wait {found.seconds_left():.0f} seconds for its lock to end")
        if _is_renewed(folder, name, found):
            raise _refused(folder)
    _take_over(folder, name, mine)


def _is_renewed(folder: Folder, name: str, found: Lock) -> bool:
    """Whether somebody renews a lock: a clock that was set back makes one that is held look as if it had ended."""
    wait_s = _WATCHED * RENEW_S
    _log.info("the lock of another machine seems to have ended; watching it for %.0f s before it is taken over", wait_s)
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        time.sleep(wait_s / 10)
        now = _read(folder, name)
        if now is None or now != found:
            return now is not None
    return False


def _create(folder: Folder, name: str, mine: Lock) -> None:
    try:
        folder.create(name, mine.dumps())
    except FileNotFoundError as error:
        why = f"cannot be written: {error_text(error)}; make the bucket or container first"
        raise UsageError(f"{public(folder.url).removesuffix('/.dedupkit')} {why}") from error


def _take_over(folder: Folder, name: str, mine: Lock) -> None:
    """Put a lock over one that does not hold any more; of several runs that do so at once the last one has it."""
    folder.write_bytes(name, mine.dumps())
    time.sleep(_SETTLE_S)
    if _read(folder, name) != mine:
        raise _refused(folder)
    _log.info("the lock of a run that was killed was taken over")


def _refused(folder: Folder, remedy: str = "") -> UsageError:
    shown = public(folder.url).removesuffix("/.dedupkit")
    return UsageError(f"another run is writing to {shown}; wait for it, or name another folder{remedy}")


def _read(folder: Folder, name: str) -> Lock | None:
    """The lock that lies there; None for none, or for what is no lock."""
    try:
        return Lock.loads(folder.read_bytes(name))
    except (FileNotFoundError, ValueError, TypeError):
        return None


class _Renewer(threading.Thread):
    """Writes the lock anew while its run is at work; stops the run if the lock has become another's."""

    def __init__(self, folder: Folder, name: str, lock: Lock) -> None:
        super().__init__(name="dedupkit lock", daemon=True)
        self._folder, self._name, self._lock = folder, name, lock
        self._ended = threading.Event()
        self._renewed_at = time.monotonic()
        self._of_main = threading.current_thread() is threading.main_thread()
        self.lost = False

    def loss(self) -> RunError:
        """The error of a run that lost its lock."""
        folder = public(self._folder.url).removesuffix("/.dedupkit")
        return RunError(f"the lock of {folder} was lost to another run; run again when that has ended")

    def run(self) -> None:
        """Renew until the run ends or the lock is lost."""
        while not self._ended.wait(RENEW_S):
            try:
                self._renew()
            except RunError:  # the store does not answer; what is still held is held
                self.lost = time.monotonic() - self._renewed_at >= LEASE_S
            if self.lost:
                self._interrupt()
                return

    def _interrupt(self) -> None:
        """Stop the run where it stands; one that is not in the main thread ends with its last part."""
        main = threading.main_thread().ident
        if self._of_main and main is not None and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, signal.SIGINT)

    def _renew(self) -> None:
        found = _read(self._folder, self._name)
        if found is None or found.token != self._lock.token:
            self.lost = True
            return
        renewed_at = time.monotonic()
        self._lock = Lock(**{**asdict(self._lock), "renewed": time.time()})
        self._folder.write_bytes(self._name, self._lock.dumps())
        self._renewed_at = renewed_at

    def stop(self) -> None:
        """End renewing, and take the lock away."""
        self._ended.set()
        self.join()
        with suppress(RunError):  # it ends by itself
            found = _read(self._folder, self._name)
            if found is not None and found.token == self._lock.token:
                self._folder.remove(self._name)
