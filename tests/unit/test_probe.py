from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dedupkit.probe import auc_of, held_out_scores


def test_auc_is_that_of_the_rank_sum() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 20, 60).astype(float), rng.integers(0, 15, 90).astype(float)  # with ties
    expected = stats.mannwhitneyu(positive, negative).statistic / (60 * 90)
    assert auc_of(positive, negative) == pytest.approx(expected)


def test_what_is_drawn_alike_cannot_be_told() -> None:
    table = np.random.default_rng(1).normal(size=(1200, 24))
    labels = np.arange(1200) < 200
    scores = held_out_scores(table, labels, 5, 0)
    assert abs(auc_of(scores[labels], scores[~labels]) - 0.5) < 0.08


def test_a_weak_difference_is_found_as_well_as_theory_allows() -> None:
    table = np.random.default_rng(2).normal(size=(4000, 6))
    labels = np.arange(4000) < 400
    table[labels, 3] += 1  # one standard deviation: the best AUC is the normal distribution's at 1 / sqrt(2)
    scores = held_out_scores(table, labels, 5, 0)
    assert auc_of(scores[labels], scores[~labels]) == pytest.approx(stats.norm.cdf(2**-0.5), abs=0.03)
