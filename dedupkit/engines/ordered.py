"""Threads within a task: results come in the order of what they were made from, and only a few are under way."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def in_order(task: Callable[[Item], Outcome], items: Iterable[Item], threads: int) -> Iterator[tuple[Item, Outcome]]:
    """Run `task` on each item in so many threads; yields item and outcome in the order of the items.

    At most twice as many items as there are threads are read ahead.
    """
    if threads == 1:
        for item in items:
            yield item, task(item)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="dedupkit") as pool:
        waiting: deque[tuple[Item, Future[Outcome]]] = deque()
        for item in items:
            waiting.append((item, pool.submit(task, item)))
            if len(waiting) > 2 * threads:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
