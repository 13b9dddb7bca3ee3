"""An engine that notes what every task takes, and a stopwatch for what runs outside of tasks."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from dedupkit.engines.budget import RESIDENT
from dedupkit.engines.local import one_blas_thread
from dedupkit.storage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Taken:
    """What a part took.

    Attributes
    ----------
    cpu_s : float
        Processor seconds.
    rows : int
        Samples in it.
    """

    cpu_s: float
    rows: int


class MeteredEngine:
    """Runs tasks one after the other in this process, with one thread, and remembers what each took.

    Attributes
    ----------
    parts : mapping of str to list of Taken
        By stage, in the order of shards.
    steps : mapping of str to float
        Processor seconds of what was timed by name, without the tasks in it.
    """

    def __init__(self) -> None:
        self.parts: dict[str, list[Taken]] = defaultdict(list)
        self.steps: dict[str, float] = defaultdict(float)
        self._in_tasks = 0.0

    @property
    def in_this_process(self) -> bool:
        """True: processor time of other processes would not be seen."""
        return True

    @property
    def on_this_machine(self) -> bool:
        """True."""
        return True

    def memory_of_set(self) -> int | None:
        """None: a sample needs no limit."""
        return None

    def threads_a_task(self, items: int) -> int:
        """One."""
        return 1

    def map(self, task: Callable[[Item], Outcome], items: Sequence[Item]) -> Iterator[tuple[Item, Outcome]]:
        """Run `task` on each item, in the order of shards."""
        title = _title(task)
        with one_blas_thread():
            for item in sorted(items, key=_name):
                started = time.process_time()
                outcome = task(item)
                taken = time.process_time() - started
                self._in_tasks += taken
                self.parts[title].append(Taken(taken, _rows(outcome)))
                yield item, outcome

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note what the block takes besides tasks."""
        started, tasks = time.process_time(), self._in_tasks
        yield
        self.steps[name] += max(0.0, time.process_time() - started - (self._in_tasks - tasks))


def _title(task: Callable[..., Any]) -> str:
    """Name of the stage whose parts a task makes."""
    stage = next((given for given in getattr(task, "args", ()) if isinstance(given, Stage)), None)
    return "" if stage is None else stage.receipts.url.rpartition("/")[2]


def _name(item: Any) -> str:
    return str(getattr(item, "name", ""))


def _rows(outcome: Any) -> int:
    return int(outcome.get("rows", 0)) if isinstance(outcome, dict) else 0


def peak_memory() -> int:
    """The most bytes that this process has held so far."""
    try:
        import resource
    except ImportError:  # Windows
        return RESIDENT
    unit = 1 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
