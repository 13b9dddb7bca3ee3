"""The local engine: every result once, failures at once, threads and processes as asked for."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from dedupkit.engines import local
from dedupkit.engines.budget import byte_count
from dedupkit.engines.local import LocalEngine
from dedupkit.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Pretend that the machine has so many cores."""
    return lambda count: monkeypatch.setattr(local, "available_cores", lambda: count)


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_every_item_has_its_outcome(count: int) -> None:
    found = list(LocalEngine(1).map(lambda item: item * item, range(count)))
    assert sorted(found) == [(item, item * item) for item in range(count)]


def test_two_workers_are_other_processes() -> None:
    def where(item: int) -> tuple[int, int]:
        time.sleep(0.05)
        return item + 1, os.getpid()

    found = list(LocalEngine(2).map(where, range(8)))
    assert sorted((item, number) for item, (number, _) in found) == [(item, item + 1) for item in range(8)]
    pids = {pid for _, (_, pid) in found}
    assert os.getpid() not in pids
    assert len(pids) == 2


def test_two_workers_are_two_processes_on_a_large_machine_too(cores: Callable[[int], None]) -> None:
    cores(6)

    def where(_: int) -> int:
        time.sleep(0.05)
        return os.getpid()

    pids = {pid for _, pid in LocalEngine(2).map(where, range(18))}
    assert len(pids) <= 2


def test_one_worker_is_this_process() -> None:
    assert {pid for _, pid in LocalEngine(1).map(lambda _: os.getpid(), range(5))} == {os.getpid()}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_exception_surfaces_and_the_rest_is_not_begun(workers: int, tmp_path: Any) -> None:
    def fail_at_three(item: int) -> int:
        (tmp_path / str(item)).touch()
        if item == 3:
            raise ValueError("no three")
        time.sleep(0.01)
        return item

    with pytest.raises(ValueError, match="no three"):
        for _ in LocalEngine(workers).map(fail_at_three, range(500)):
            pass
    assert len(list(tmp_path.iterdir())) < 40


def test_a_caller_that_stops_ends_the_rest() -> None:
    begun: list[int] = []

    def begin(item: int) -> None:
        begun.append(item)
        time.sleep(0.01)

    outcomes = LocalEngine(1).map(begin, range(500))
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]  # a generator, as its docstring's "yields" says
    seen = len(begun)
    assert seen < 40
    time.sleep(0.05)
    assert len(begun) == seen


def test_a_killed_worker_is_a_run_error_with_a_remedy() -> None:
    def kill(item: int) -> int:
        if item == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with pytest.raises(RunError, match="worker process died") as caught:
        list(LocalEngine(2).map(kill, range(6)))
    assert "\n" not in str(caught.value)
    assert "run again" in str(caught.value)


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_below_one_are_refused(workers: int) -> None:
    with pytest.raises(UsageError, match="workers must be 1 or more"):
        LocalEngine(workers)


def test_processes_times_threads_are_the_cores(cores: Callable[[int], None]) -> None:
    for count, workers, expected in (
        (1, None, (1, 1)),
        (2, None, (1, 2)),
        (4, None, (1, 4)),
        (8, None, (2, 4)),
        (64, None, (16, 4)),
        (8, 1, (1, 8)),
        (8, 2, (2, 4)),
        (8, 8, (8, 1)),
        (2, 4, (4, 1)),
    ):
        cores(count)
        engine = LocalEngine(workers)
        assert (engine.processes, engine.threads) == expected


@pytest.mark.parametrize(
    ("workers", "items", "threads"),
    [(1, 1, 8), (1, 2, 4), (1, 3, 2), (1, 5, 1), (1, 8, 1), (1, 1000, 1), (2, 1, 8), (2, 2, 4), (2, 1000, 4)],
)
def test_tasks_that_run_at_once_share_the_cores(
    workers: int, items: int, threads: int, cores: Callable[[int], None]
) -> None:
    cores(8)
    assert LocalEngine(workers).threads_a_task(items) == threads


def test_no_more_tasks_run_at_once_than_there_are_cores(cores: Callable[[int], None]) -> None:
    cores(3)
    lock, running, most = threading.Lock(), 0, 0

    def count(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    list(LocalEngine(1).map(count, range(30)))
    assert most == 3


def test_memory_is_shared_by_this_process_and_its_workers() -> None:
    engine = LocalEngine(8, memory="4 GiB")
    assert engine.processes == 7  # and this one, at 512 MiB each
    assert engine.memory_of_set() == (4096 - 8 * 400) << 20
    assert LocalEngine(8, memory="700MiB").processes == 1
    assert LocalEngine(1, memory=1 << 30).memory_of_set() == 624 << 20
    assert LocalEngine(1).memory_of_set() is None


@pytest.mark.parametrize("memory", ["much", "4 apples", True, -1, "100MiB"])
def test_a_memory_that_cannot_be_is_refused_with_the_remedy(memory: str | int) -> None:
    with pytest.raises(UsageError, match="memory must be"):
        LocalEngine(memory=memory)


@pytest.mark.parametrize(
    ("text", "count"), [("4GiB", 4 << 30), ("1.5 gib", 3 << 29), ("2GB", 2 * 10**9), ("800m", 8 * 10**8), (123, 123)]
)
def test_sizes_are_read_as_people_write_them(text: str | int, count: int) -> None:
    assert byte_count("memory", text) == count
