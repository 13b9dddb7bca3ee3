"""Micro-batches that are worked on ahead, in threads, and come out in their order."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Pace:
    """How far work runs ahead.

    Attributes
    ----------
    batch_samples : int
        Samples of a micro-batch at most.
    max_wait_s : float
        A batch is closed when its first sample has waited so long and another one comes.
    threads : int
        That work ahead; 1 for none but the caller's.
    """

    batch_samples: int
    max_wait_s: float
    threads: int


def ahead(
    items: Iterable[Any], work: Callable[[int, list[Any]], Outcome], pace: Pace, first: int
) -> Generator[tuple[list[Any], Outcome]]:
    """Batches of items, and what `work` made of each and of the number of its first item.

    No more than a batch a thread, and one, are under way; what is done is given out before another item is asked for.
    """
    batches = _batches(iter(items), pace, first)
    if pace.threads == 1:
        for number, batch in batches:
            yield batch, work(number, batch)
        return
    with ThreadPoolExecutor(pace.threads, thread_name_prefix="dedupkit") as pool:
        waiting: deque[tuple[list[Any], Future[Outcome]]] = deque()
        try:
            for number, batch in batches:
                waiting.append((batch, pool.submit(work, number, batch)))
                while waiting and (len(waiting) > pace.threads or waiting[0][1].done()):
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _batches(items: Iterator[Any], pace: Pace, first: int) -> Iterator[tuple[int, list[Any]]]:
    for item in items:
        batch, closing = [item], time.monotonic() + pace.max_wait_s
        while len(batch) < pace.batch_samples and time.monotonic() < closing:
            following = next(items, _END)
            if following is _END:
                break
            batch.append(following)
        yield first, batch
        first += len(batch)


_END = object()
