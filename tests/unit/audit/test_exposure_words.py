"""What is said of an exposure, word for word, of cells made by hand."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from dedupkit.audit.canary_exposure import Cell, exposure
from dedupkit.audit.exposure_words import answer
from tests.audit_canaries import halves, light_manifest


def cell(repetitions: int | None, p: float, planted: int = 10, above: int = 0, detectable: float | None = 0.4) -> Cell:
    return Cell(None, repetitions, planted, 30, above, 1.0, 0.5, 2.0, p, p, detectable)


def said(*cells: Cell, overall: float = 0.5) -> str:
    return answer(cells, cell(None, overall), "all 30 controls")


def test_all_that_stood_however_often_are_memorised() -> None:
    assert said(cell(1, 0.05, above=4), cell(4, 0.012, above=9)) == (
        "All canaries, also those that stood once, are memorised (p ≤ 0.05, 13 of 20 rank above all 30 controls)."
    )
    assert said(cell(2, 0.001)).startswith(
        "All canaries, also those that stood 2 times, are memorised (p = 0.001, 0 of"
    )


def test_those_that_stood_often_are_memorised_and_the_rest_is_not_safe() -> None:
    assert said(cell(1, 0.31, detectable=0.624), cell(4, 0.0316, above=3), cell(16, 0.0091, above=10)) == (
        "Canaries that stood 4 times or more are memorised (p ≤ 0.032, 13 of 20 rank above all 30 controls); those "
        "that stood once are not told from the controls (p = 0.31): an image that stands once is not safe by this, an "
        "effect on less than 62 % of them would not be seen."
    )


def test_counts_that_are_no_row_up_to_the_highest_are_all_named() -> None:
    cells = [cell(1, 0.01), cell(2, 0.2), cell(4, 0.01), cell(16, 0.3), cell(64, 0.4)]
    assert said(*cells).startswith("Canaries that stood once or 4 times are memorised (p = 0.01, 0 of 20")
    assert "those that stood 2, 16 or 64 times are not told from the controls (p ≥ 0.2)" in said(*cells)
    assert "an image that stands so often is not safe" in said(*cells)


def test_what_only_all_together_show_names_no_count() -> None:
    assert said(cell(1, 0.06), cell(4, 0.0619), overall=0.05) == (
        "Canaries taken together are memorised (p = 0.05), but those of no one repetition count are told from the "
        "controls (p ≥ 0.06): do not take any image for safe by this."
    )


def test_a_null_result_says_what_would_have_been_missed() -> None:
    assert said(cell(1, 0.3, detectable=0.25), cell(4, 1.0, detectable=0.75), overall=0.051) == (
        "No canaries are told from the controls (p ≥ 0.3): an image that stands so often is not safe by this, an "
        "effect on less than 75 % of them would not be seen."
    )
    assert said(cell(1, 0.3, detectable=0.25), cell(4, 1.0, detectable=None)).endswith(
        "is not safe by this, there are too few canaries to see even if all were memorised."
    )
    assert "an image that stands so often is not safe" in said(cell(4, 0.3))


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.0511, 0.2, "p ≥ 0.051"),
        (0.0699, 0.2, "p ≥ 0.069"),  # not 0.07, which is more than was found
        (0.06, 0.2, "p ≥ 0.06"),  # what is exact stays
        (0.2, 0.2004, "p = 0.2"),
        (1.0, 1.0, "p = 1"),
    ],
)
def test_p_values_of_null_results_are_rounded_down(low: float, high: float, shown: str) -> None:
    assert f"({shown})" in said(cell(1, low), cell(4, high))


def test_p_values_of_findings_are_rounded_up() -> None:
    assert "(p ≤ 0.032," in said(cell(1, 0.001), cell(4, 0.03111))
    assert "(p ≤ 0.03," in said(cell(1, 0.001), cell(4, 0.03))
    assert "(p = 0.031," in said(cell(1, 0.0309), cell(4, 0.0311))


def limits(planted: int, controls: int, repetitions: tuple[int, ...] = (1,), **losses: Any) -> tuple[str, ...]:
    fates = [number < planted for number in range(planted + controls)]
    values = np.random.default_rng(1).normal(0, 1, planted + controls)
    return exposure(values, light_manifest(fates, repetitions=repetitions), shuffles=99).limits


def test_limits_say_what_so_many_controls_can_show() -> None:
    found = limits(8, 15)
    assert found[0] == (
        "With 15 controls to compare with, the least p-value of one canary is 0.062 and the most exposure by rank 3.9 "
        "bits; a canary known by heart shows no more."
    )
    assert found[1] == "p-values of tests come from 99 shuffles: the least is 0.01."
    assert found[2].startswith("For a test to find something in 4 of 5 cases")
    assert found[5] == (
        "No single canary can be named with 95 % confidence that none is a false alarm: for 8 planted ones that takes "
        "159 controls, and there are 15."
    )
    assert len(found) == 6


def test_of_6_canaries_a_median_has_an_interval_and_of_5_none() -> None:
    assert "Of fewer than 6 canaries a median has no interval; so it is of once." in limits(5, 9)
    assert not any("a median has no interval" in each for each in limits(6, 9))


def test_every_limit_is_a_sentence() -> None:
    for each in (*limits(8, 15), *limits(30, 30, (1, 4)), *limits(1, 19)):
        assert re.fullmatch(r"(p-values|[A-Z0-9]).*[^ ]\.", each)
        assert "  " not in each


def test_with_controls_enough_single_canaries_can_be_named() -> None:
    assert not any("No single canary" in each for each in limits(1, 19))  # 1 / 20 is 0.05
    assert any("No single canary" in each for each in limits(1, 18))


def test_counts_of_which_there_are_few_are_named() -> None:
    fates = [*halves(20, 1), *[True] * 4]
    values = np.random.default_rng(2).normal(0, 1, 24)
    many = light_manifest(fates, repetitions=(1, 1, 1, 4))
    found = exposure(values, many, shuffles=99)
    few = [each.repetitions for each in found.by_repetitions if each.planted < 6]
    assert few == [4]
    assert "Of fewer than 6 canaries a median has no interval; so it is of 4 times." in found.limits
