"""Where tasks run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from dedupkit.errors import RunError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class WorkerDeathError(RunError):
    """A process died, or had no memory left, while it ran tasks.

    Attributes
    ----------
    items : sequence
        What was under way there, or may have been.
    """

    def __init__(self, why: str, items: Sequence[Any]) -> None:
        super().__init__(f"{why}; run again to go on from the last part")
        self.items = items


Spread = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[Any, Any]]]
"""Runs a task on each item in other processes; yields as they end."""


class Engine(Protocol):
    """Runs one task over many items; tasks write parts, so what comes back is small."""

    @property
    def in_this_process(self) -> bool:
        """Whether tasks run in threads of this process."""
        ...

    @property
    def on_this_machine(self) -> bool:
        """Whether all tasks run on this machine."""
        ...

    def memory_of_set(self) -> int | None:
        """Bytes that work over the whole set may take in this process; None: as much as is quickest."""
        ...

    def threads_a_task(self, items: int) -> int:
        """Threads that each of so many tasks may use, so that all cores are busy and none is fought over."""
        ...

    def map(self, task: Callable[[Item], Outcome], items: Sequence[Item]) -> Iterator[tuple[Item, Outcome]]:
        """Run `task` on each item; yields as they end.  The first exception ends the rest."""
        ...
