"""The local engine: threads in this process on small machines, worker processes on large ones."""

from __future__ import annotations

import atexit
import os
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from dedupkit.engines import WorkerDeathError
from dedupkit.engines.allocator import keep_freed_memory
from dedupkit.engines.budget import LEAST_MEMORY, RESIDENT, byte_count
from dedupkit.errors import UsageError
from dedupkit.guard.recorder import keep_notes
from dedupkit.guard.supervisor import is_supervised
from dedupkit.guard.watching import forget, notes_folder, watched
from dedupkit.plugins import carrying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MOST_THREADS = 4
"""Of one process: the interpreter's lock leaves little to a fifth."""
_QUEUED_A_WORKER = 2
_IDLE_S = 60  # until a worker process ends that nobody needs
_blas_lock = Lock()
_blas_limits: list[Any] = []


class LocalEngine:
    """Runs tasks on this machine.

    Parameters
    ----------
    workers : int or None
        Worker processes; 1 runs in this process, with one thread a core.  None takes one process for every four
        cores, and at least one: images of strangers are looked at in a process that may die.  The command line, which
        is such a process already, looks at them itself where one is enough.
    memory : int or str, optional
        What all processes together may take: bytes, or text such as ``4GiB``.  Fewer processes are started if it is
        little.  The result never depends on it.

    Raises
    ------
    UsageError
        `workers` is below 1, or `memory` below what a run takes.

    Notes
    -----
    Decoding, hashing and matrix products release the interpreter's lock, and processes x threads is the number of
    cores.  Worker processes are loky's: they import nothing of the caller's main module, so a script needs no
    ``if __name__ == "__main__"``.
    """

    def __init__(self, workers: int | None = None, memory: int | str | None = None) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"workers must be 1 or more, got {workers}; leave it out for one a core")
        cores = available_cores()
        self.memory = None if memory is None else byte_count("memory", memory, least=LEAST_MEMORY)
        wanted = workers or max(1, cores // MOST_THREADS)
        most = wanted if self.memory is None else max(1, self.memory // LEAST_MEMORY - 1)  # and this process
        self.processes = min(wanted, most)
        self.threads = max(1, cores // self.processes) if workers != 1 else cores
        self.isolated = self.processes > 1 or (workers is None and not is_supervised())

    @property
    def in_this_process(self) -> bool:
        """Whether work over the whole set gains nothing from other processes."""
        return self.processes == 1

    @property
    def on_this_machine(self) -> bool:
        """Whether all tasks run on this machine."""
        return True

    def memory_of_set(self) -> int | None:
        """Bytes that work over the whole set may take, besides what a process takes anyway."""
        processes = 1 + self.processes if self.isolated else 1
        return None if self.memory is None else self.memory - RESIDENT * processes

    def threads_a_task(self, items: int) -> int:
        """Threads of one task: the tasks that run at once share the cores among them."""
        return max(1, self.processes * self.threads // self._at_once(items))

    def _at_once(self, items: int) -> int:
        """Tasks that run at the same time: one a process, or, within this process, one a thread."""
        return max(1, min(items, self.processes if self.isolated else self.threads))

    def map(self, task: Callable[[Item], Outcome], items: Sequence[Item]) -> Iterator[tuple[Item, Outcome]]:
        """Run `task` on each item; yields as they end.

        Raises
        ------
        WorkerDeathError
            A worker process died, or there was no memory left; what it was doing is not written.
        """
        slots = self._at_once(len(items))
        with one_blas_thread():
            if not self.isolated:
                with ThreadPoolExecutor(slots, thread_name_prefix="dedupkit") as pool:
                    yield from _as_completed(pool, task, items, slots)
                return
            with self._workers() as pool:
                yield from _as_completed(pool, carrying(task), items, slots)

    @contextmanager
    def _workers(self) -> Iterator[Executor]:
        """Worker processes, which wait a while for the next stage; none is at work any more after an exception."""
        from loky import get_reusable_executor

        notes = _notes()
        forget(notes, ended_only=True)
        pool = get_reusable_executor(
            max_workers=self.processes, timeout=_IDLE_S, initializer=start_worker, initargs=_surroundings(notes)
        )
        try:
            with watched(notes):
                yield pool
        except BaseException:
            pool.shutdown(wait=True)
            forget(notes)
            raise


def _surroundings(notes: Path) -> tuple[Any, ...]:
    """What workers are started with; those that were started with something else are not used again."""
    environment = tuple(sorted(item for item in os.environ.items() if not item[0].startswith("PYTEST_")))
    return str(notes), str(Path.cwd()), environment


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _as_completed(
    pool: Executor, task: Callable[[Item], Outcome], items: Sequence[Item], slots: int
) -> Iterator[tuple[Item, Outcome]]:
    """Submit a few tasks more than there are slots, so that neither memory nor the queue grows with the source."""
    waiting: dict[Future[Outcome], Item] = {}
    rest = iter(items)
    try:
        while True:
            for item in rest:
                waiting[pool.submit(task, item)] = item
                if len(waiting) >= slots * _QUEUED_A_WORKER:
                    break
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                item = waiting.pop(future)
                yield item, _result(future, item, waiting)
    except BrokenExecutor as error:  # it can break between two tasks, too
        raise _death(error, list(waiting.values())) from error
    finally:
        for future in waiting:
            future.cancel()


def _result(future: Future[Outcome], item: Item, waiting: dict[Future[Outcome], Item]) -> Outcome:
    try:
        return future.result()
    except BrokenExecutor as error:
        lost = [each for other, each in waiting.items() if not (other.done() and other.exception() is None)]
        raise _death(error, [item, *lost]) from error
    except MemoryError as error:
        raise WorkerDeathError("there was no memory left", [item]) from error


def _death(error: BrokenExecutor, items: Sequence[Any]) -> WorkerDeathError:
    why = str(error).partition("\n")[0]
    return WorkerDeathError(f"a worker process died ({why})", items)


@cache
def _notes() -> Path:
    """Where the workers of this process keep notes; it goes when the process ends."""
    return _until_exit.enter_context(notes_folder())


_until_exit = ExitStack()
atexit.register(_until_exit.close)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Small matrix products gain nothing from BLAS threads, which would fight with ours.

    A setting of the whole process: the first run that enters sets it, the last that leaves restores it.
    """
    from threadpoolctl import threadpool_limits

    with _blas_lock:
        _blas_limits.append(threadpool_limits(1, user_api="blas"))
    try:
        yield
    finally:
        with _blas_lock:
            limits = _blas_limits.pop()
            if not _blas_limits:  # the one that the first run set, which knows what was before
                limits.restore_original_limits()


def start_worker(notes: str | None = None, folder: str | None = None, environment: object = None) -> None:
    """Set up a worker process: its allocator, one BLAS thread, and where it keeps notes.

    It begins in the folder and environment of whoever started it; that they are said has it started anew for others.
    """
    import numpy  # noqa: F401 - BLAS has to be there before it can be told
    from loky import process_executor
    from threadpoolctl import threadpool_limits

    # Workers keep networks and mapped files between tasks, which loky, where it finds psutil, takes for a leak: it
    # would start them anew whenever they have grown by 300 MB, and it has no public switch.
    process_executor._USE_PSUTIL = False
    keep_freed_memory()
    threadpool_limits(1, user_api="blas")
    if notes is not None:
        keep_notes(Path(notes))
        os.environ.setdefault("PYTHONFAULTHANDLER", "")  # else loky prints stacks, and the run says it in a line
