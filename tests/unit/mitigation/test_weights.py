"""Weights: a picture of which several copies stay is drawn as often as one that stands once."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pytest
from scipy.stats import binomtest

from dedupkit.errors import UsageError
from dedupkit.mitigation.weights import Thinned, one_of_each, weighted_sampler

WEIGHTS = [1.0] * 40 + [1 / 3] * 30 + [1 / 12] * 12
PICTURE = [*range(40), *(40 + number // 3 for number in range(30)), *([50] * 12)]
EPOCHS = 400


def assert_all_as_often(drawn: Counter[int], total: int) -> None:
    assert set(drawn) == set(PICTURE)
    share = 1 / len(set(PICTURE))
    for picture in (0, 45, 50):
        assert binomtest(drawn[picture], total, share).pvalue > 1e-4


def test_rows_of_an_epoch_hold_each_picture_once_on_average() -> None:
    rows = [row for epoch in range(EPOCHS) for row in one_of_each(WEIGHTS, 7, epoch).tolist()]
    assert_all_as_often(Counter(PICTURE[row] for row in rows), len(rows))
    assert set(range(40)) <= set(one_of_each(WEIGHTS, 7, 0).tolist())
    assert one_of_each(WEIGHTS, 7, 3).tolist() == one_of_each(WEIGHTS, 7, 3).tolist()
    assert one_of_each(WEIGHTS, 7, 3).tolist() != one_of_each(WEIGHTS, 7, 4).tolist()


def test_a_thinned_stream_does_too_whoever_reads_it() -> None:
    samples = [{"key": str(row), "weight": weight} for row, weight in enumerate(WEIGHTS)]
    stream = Thinned(lambda: iter(samples), seed=3)
    halves = [Thinned(partial(lambda rows: iter(rows), samples[each::2]), seed=3) for each in range(2)]
    rows: list[int] = []
    for epoch in range(EPOCHS):
        for each in (stream, *halves):
            each.set_epoch(epoch)
        there = [int(sample["key"]) for sample in stream]
        assert sorted(there) == sorted(int(sample["key"]) for half in halves for sample in half)
        rows += there
    assert_all_as_often(Counter(PICTURE[row] for row in rows), len(rows))


def test_the_sampler_of_torch_draws_as_many_as_there_are_pictures() -> None:
    pytest.importorskip("torch")
    sampler = weighted_sampler(WEIGHTS, seed=5)
    rows = [row for _ in range(EPOCHS) for row in sampler]
    assert len(rows) == EPOCHS * len(set(PICTURE))
    assert_all_as_often(Counter(PICTURE[row] for row in rows), len(rows))
    assert list(weighted_sampler(WEIGHTS, seed=5)) == list(weighted_sampler(WEIGHTS, seed=5))


@pytest.mark.parametrize("weights", [[1, 0], [1, -1], [1, np.nan], [[1.0]]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(UsageError, match="over 0"):
        one_of_each(weights, 0, 0)
