"""What happens in a worker process of Ray."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dedupkit.engines.local import start_worker
from dedupkit.engines.reach import Reach  # noqa: TC001 - a worker unpickles it

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Work:
    """What all tasks of one `map` have in common; it is put into the cluster once.

    Attributes
    ----------
    task : callable
        What is run on each item.
    threads : int
        Threads it may use.
    sees_gpus : bool
        Whether it asked for a GPU.
    folder : str
        Where the driver runs: paths that a recipe names may be relative to it.
    reach : Reach or None
        What a worker has to see before its first task.
    """

    task: Callable[[Any], Any]
    threads: int
    sees_gpus: bool
    folder: str
    reach: Reach | None


def perform(work: Work, item: Any) -> Any:
    """Run the task on one item."""
    if not work.sees_gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray lets a task that asked for no GPU use those that others asked for
    with suppress(OSError):
        os.chdir(work.folder)
    _start(work.threads)
    if work.reach is not None:
        _look_once(work.reach.mark, work.reach)
    return work.task(item)


def look(reach: Reach) -> None:
    """See whether this node sees what it has to."""
    reach.check()


@lru_cache(maxsize=1)
def _start(threads: int) -> None:
    import pyarrow as pa

    start_worker()
    pa.set_cpu_count(threads)


_seen: set[str] = set()


def _look_once(mark: str, reach: Reach) -> None:
    if mark not in _seen:
        reach.check()
        _seen.add(mark)
