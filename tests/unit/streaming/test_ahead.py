"""Work that runs ahead: in order, a few batches, and no longer than needed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from dedupkit.streaming.ahead import Pace, ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("batch_samples", [1, 4, 100])
def test_batches_come_in_order_with_the_number_of_their_first(threads: int, batch_samples: int) -> None:
    def work(first: int, batch: list[int]) -> tuple[int, int]:
        time.sleep(0.002 * (first % 3))
        return first, sum(batch)

    done = list(ahead(range(30), work, Pace(batch_samples, 9, threads), first=7))
    assert [item for batch, _ in done for item in batch] == list(range(30))
    assert all(outcome == (batch[0] + 7, sum(batch)) for batch, outcome in done)
    assert all(len(batch) == batch_samples for batch, _ in done[:-1])


def test_only_a_few_items_are_read_before_they_are_asked_for() -> None:
    read = 0

    def counted() -> Iterator[int]:
        nonlocal read
        for number in range(1000):
            read = number + 1
            yield number

    gone = ahead(counted(), lambda _, batch: len(batch), Pace(10, 9, 2), first=0)
    next(gone)
    assert read <= 10 * (2 + 1)
    gone.close()
    assert threading.active_count() < 20


def test_what_work_raises_is_raised_in_its_turn() -> None:
    def work(_: int, batch: list[int]) -> int:
        return 1 // (batch[0] - 4)

    gone = ahead(range(10), work, Pace(2, 9, 3), first=0)
    assert [next(gone)[0] for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(ZeroDivisionError):
        next(gone)
