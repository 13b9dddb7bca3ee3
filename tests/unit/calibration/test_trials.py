"""Trials on planted copies, with stages that are told what to find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dedupkit.calibration.proposals import limits_of, try_limits
from dedupkit.calibration.shares import Share
from dedupkit.calibration.trials import Outcome, Remembering
from dedupkit.matching.proof import EVIDENCE
from dedupkit.recipe import Fingerprints, Matching, Recipe

PICTURES = 40


class Counting:
    """A verifier whose score is told by the positions, and that counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def cosine(self, a: Any, b: Any) -> Any:
        return (a + b).astype(np.float32)

    def __call__(self, a: Any, b: Any) -> Any:
        self.asked += zip(a.tolist(), b.tolist(), strict=True)
        number = (a * 100 + b).astype(np.float32)
        evidence = np.zeros(len(a), EVIDENCE)
        evidence["score"] = number
        return evidence


def positions(*values: int) -> Any:
    return np.array(values, dtype=np.uint64)


def test_a_pair_is_asked_about_once_and_answers_keep_their_order() -> None:
    inner = Counting()
    verify = Remembering(inner, positions(3, 5, 8, 9))
    assert verify(positions(3, 5), positions(8, 9))["score"].tolist() == [308, 509]
    assert verify(positions(5, 3, 8, 3), positions(9, 5, 9, 8))["score"].tolist() == [509, 305, 809, 308]
    assert verify(positions(), positions())["score"].tolist() == []
    assert inner.asked == [(3, 8), (5, 9), (3, 5), (8, 9)]
    assert verify.cosine(positions(3), positions(5)).tolist() == [8]


class Told:
    """A bench where limits decide how many copies are found and how many pairs are wrong."""

    def __init__(self, law: Any) -> None:
        self.law, self.runs = law, 0

    def run(self, matching: Matching) -> Outcome:
        self.runs += 1
        hits, wrong = self.law(matching)
        found, true, false = (np.zeros((1, PICTURES), dtype=kind) for kind in (bool, np.int64, np.int64))
        found[0, :hits], true[0, :hits], false[0, 0] = True, 1, wrong
        family = np.arange(PICTURES)
        return Outcome(matching, found, np.ones((1, PICTURES), dtype=bool), true, false, family, pa.table({}))


def tried(law: Any, recipe: Recipe, wanted: float = 0.999, set_samples: int = 100) -> Any:
    bench: Any = Told(law)
    return try_limits(bench, recipe, set_samples, wanted, lambda _: None)


FAST = Recipe(preset="fast", matching=Matching(max_hamming_bits=31))
THOROUGH = Recipe(matching=Matching(max_hamming_bits=31))


def test_where_limits_change_nothing_the_recipes_own_are_proposed() -> None:
    for recipe in (FAST, THOROUGH):
        result = tried(lambda _: (30, 0), recipe)
        assert result.proposed is result.recipe is result.outcomes[0]


def test_a_gain_within_chance_moves_nothing() -> None:
    assert tried(lambda m: (30 + (m.max_hamming_bits > 39), 0), FAST).proposed.matching.max_hamming_bits == 31


def test_a_clear_gain_is_proposed() -> None:
    assert tried(lambda m: (30 + 6 * (m.max_hamming_bits > 31), 0), FAST).proposed.matching.max_hamming_bits == 39


def test_limits_get_stricter_until_the_precision_is_there() -> None:
    result = tried(lambda m: (36, 0) if m.min_score >= 0.9 else (38, 2), THOROUGH)
    assert result.proposed.matching.min_score == 0.9
    assert tried(lambda m: (36, 0) if m.min_score >= 0.9 else (38, 2), THOROUGH, 0.9).proposed.matching.min_score == 0.5


def test_where_nothing_is_precise_enough_nothing_is_proposed() -> None:
    assert tried(lambda _: (30, 10), THOROUGH).proposed is None
    assert tried(lambda _: (0, 0), THOROUGH).proposed is None


def test_limits_are_found_that_need_two_changes() -> None:
    def law(matching: Matching) -> tuple[int, int]:
        return 30 + 8 * (matching.min_cosine < 0.4), 0 if matching.min_score > 0.6 else 5

    matching = tried(law, THOROUGH).proposed.matching
    assert (matching.min_score, matching.min_cosine) == (0.7, 0.3)


def test_only_limits_that_count_are_tried() -> None:
    bare = Matching(verify="none", max_hamming_bits=31, min_cosine=0.8)
    assert limits_of(Matching(max_hamming_bits=31), described=False) == {"max_hamming_bits": 31}
    assert limits_of(bare, described=True) == {"max_hamming_bits": 31, "min_cosine": 0.8}
    assert {each.matching.min_cosine for each in tried(lambda _: (9, 0), FAST).outcomes} == {0.5}
    outcomes = tried(lambda _: (9, 0), Recipe(matching=bare)).outcomes
    assert {each.matching.min_score for each in outcomes} == {0.5}
    assert 0.8 in {each.matching.min_cosine for each in outcomes}


def test_radii_at_which_chance_makes_pairs_in_the_set_are_not_tried() -> None:
    recipe = Recipe(preset="fast", matching=Matching(hash="phash", max_hamming_bits=3))
    small, large = (
        [each.matching.max_hamming_bits for each in tried(lambda _: (9, 0), recipe, set_samples=samples).outcomes]
        for samples in (2, 100_000)
    )
    assert small == [3, 2, 4, 6, 8, 10]
    assert large == [3]  # the recipe's own is always tried
    assert 47 in {each.matching.max_hamming_bits for each in tried(lambda _: (9, 0), FAST, set_samples=10**6).outcomes}


def test_a_recipe_without_descriptor_has_one_limit() -> None:
    recipe = Recipe(fingerprints=Fingerprints(descriptor="none"), matching=Matching(max_hamming_bits=31))
    assert len(tried(lambda _: (9, 0), recipe).outcomes) == 5


def test_copies_of_one_family_count_as_alike() -> None:
    outcome = Outcome(
        Matching(),
        found=np.array([[True, True, False], [True, True, False]]),
        planted=np.ones((2, 3), dtype=bool),
        true_pairs=np.zeros((2, 3), dtype=np.int64),
        false_pairs=np.zeros((2, 3), dtype=np.int64),
        family=np.array([0, 0, 2]),
        mistakes=pa.table({}),
    )
    assert (outcome.recall.hits, outcome.recall.of) == (4, 6)
    assert outcome.recall_of(0).low == pytest.approx(Share(2, 3, *_of_two()).low)
    assert (outcome.precision.of, outcome.precision.low, outcome.precision.high) == (0, 0.0, 1.0)


def _of_two() -> tuple[float, float]:
    """What two clusters tell of a share of two thirds, by Wilson's formula."""
    z2, share, of = 1.959963984540054**2, 2 / 3, 2
    middle, margin = share + z2 / (2 * of), (z2 * (share * (1 - share) / of + z2 / (4 * of**2))) ** 0.5
    return (middle - margin) / (1 + z2 / of), (middle + margin) / (1 + z2 / of)
