"""Who holds a lock on a store, where clocks of machines were set under it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import psutil
import pytest

from dedupkit.errors import UsageError
from dedupkit.lease import LEASE_S, Lock, _began, _machine, leased
from dedupkit.storage import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    monkeypatch.setattr("dedupkit.lease.RENEW_S", 0.2)
    monkeypatch.setattr("dedupkit.lease._SETTLE_S", 0.01)
    folder = Folder.at("memory://lease/.dedupkit")
    yield folder
    folder.remove("lock")


def elsewhere(renewed: float) -> Lock:
    """The lock of a run on another machine, renewed at a time by that machine's clock."""
    return Lock(token="theirs", machine="another", renewed=renewed)


@contextmanager
def at_work(folder: Folder, offset_s: float) -> Iterator[None]:
    """Another machine that holds the lock and renews it by a clock that is wrong."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(0.05):
            folder.write_json("lock", asdict(elsewhere(time.time() + offset_s)))

    folder.write_json("lock", asdict(elsewhere(time.time() + offset_s)))
    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("offset_s", [-86_400, -LEASE_S - 1, 3_600])
def test_a_lock_that_is_renewed_holds_whatever_the_clocks_say(offset_s: float, folder: Folder) -> None:
    with (
        at_work(folder, offset_s),
        pytest.raises(UsageError, match="another run is writing to"),
        leased(folder, "lock"),
    ):
        pass


@pytest.mark.parametrize("offset_s", [-86_400, -LEASE_S - 1, 3_600, 86_400 * 365])
def test_a_lock_that_nobody_renews_ends_whatever_the_clocks_say(offset_s: float, folder: Folder) -> None:
    folder.write_json("lock", asdict(elsewhere(time.time() + offset_s)))
    with leased(folder, "lock"):
        assert folder.read_json("lock")["token"] != "theirs"
    assert not folder.exists("lock")


def test_a_fresh_lock_of_another_machine_is_not_waited_for(folder: Folder) -> None:
    folder.write_json("lock", asdict(elsewhere(time.time() - 30)))
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"wait (59|60) seconds for its lock to end"), leased(folder, "lock"):
        pass
    assert time.monotonic() - began < 0.2


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere a process began when it began")
def test_a_process_is_alive_after_the_clock_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = psutil.Process().ppid()
    living, before = Lock(pid=parent, started=_began(parent)), psutil.boot_time()
    monkeypatch.setattr(psutil, "boot_time", lambda: before - 7200)  # as Linux tells it, out of clock and uptime
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: before - 7200)
    assert psutil.Process(parent).create_time() < time.time() - 7000
    assert not living.is_of_the_dead()


def test_a_run_keeps_its_lock_while_its_clock_goes_backwards(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    with leased(folder, "lock"):
        monkeypatch.setattr(time, "time", lambda: real() - 7200)
        time.sleep(0.6)
        assert folder.read_json("lock")["renewed"] < real() - 7000
        with pytest.raises(UsageError, match="another run is writing to"), leased(folder, "lock"):
            pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that end before their parent asks how")
def test_a_process_that_nobody_buried_is_dead() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        lock = Lock(token="theirs", pid=child.pid, started=_began(child.pid))
        assert not lock.is_of_the_dead()
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and still stands in the table
        assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
        assert lock.is_of_the_dead()
    finally:
        child.kill()
        child.wait()


def test_a_machine_without_a_network_knows_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid, "_node", None)
    monkeypatch.setattr(uuid, "_GETTERS", [])  # no card is found: each process draws a number
    assert uuid.getnode() == uuid.getnode()
    first = _machine.__wrapped__()
    monkeypatch.setattr(uuid, "_node", None)
    assert _machine.__wrapped__() == first


def test_machines_are_told_apart_by_their_network_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for address in (0x0242AC110002, 0x0242AC110003):
        monkeypatch.setattr(uuid, "_node", address)
        found.add(_machine.__wrapped__())
    assert len(found) == 2
