"""The one-run test against the published algorithm written out, hand computation, and mechanisms of known epsilon."""

from __future__ import annotations

from math import comb, exp, log

import numpy as np
import pytest

from dedupkit.audit.coins import Losses
from dedupkit.audit.epsilon import epsilon_lower_bound
from dedupkit.audit.one_run import one_run_epsilon, one_run_p_value
from dedupkit.errors import UsageError
from tests.audit_canaries import halves, light_manifest


def _by_definition(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """Appendix D of arXiv 2305.08846, with binomial terms by hand."""
    q = exp(epsilon) / (1 + exp(epsilon))
    chances = [comb(guesses, each) * q**each * (1 - q) ** (guesses - each) for each in range(guesses + 1)]
    slack = max((sum(chances[correct - i : correct]) / i for i in range(1, correct + 1)), default=0.0)
    return min(1.0, sum(chances[correct:]) + 2 * canaries * delta * slack)


@pytest.mark.parametrize(("guesses", "correct"), [(10, 10), (40, 31), (25, 0), (60, 44), (1, 1)])
@pytest.mark.parametrize("epsilon", [0.0, 0.4, 2.5])
@pytest.mark.parametrize("delta", [0.0, 1e-5, 1e-3])
def test_the_p_value_is_that_of_the_papers_algorithm(guesses: int, correct: int, epsilon: float, delta: float) -> None:
    found = one_run_p_value(correct, guesses, epsilon, delta=delta, canaries=80)
    assert found == pytest.approx(_by_definition(80, guesses, correct, epsilon, delta), rel=1e-9)


def test_all_guesses_right_give_the_ceilings_that_follow_by_hand() -> None:
    for guesses, ceiling in ((100, 3.49), (1000, 5.81)):
        chance = 0.05 ** (1 / guesses)  # the chance of a right guess that makes all of them right in 5 % of runs
        assert one_run_epsilon(guesses, guesses) == pytest.approx(log(chance / (1 - chance)))
        assert one_run_epsilon(guesses, guesses) == pytest.approx(ceiling, abs=0.005)


@pytest.mark.parametrize("delta", [0.0, 1e-6, 1e-4])
@pytest.mark.parametrize(("guesses", "correct"), [(100, 80), (50, 50), (200, 130)])
def test_the_bound_is_where_the_p_value_crosses(guesses: int, correct: int, delta: float) -> None:
    found = one_run_epsilon(correct, guesses, delta=delta, canaries=300)
    assert found > 0
    assert one_run_p_value(correct, guesses, found - 1e-4, delta=delta, canaries=300) < 0.05
    assert one_run_p_value(correct, guesses, found + 1e-4, delta=delta, canaries=300) > 0.05
    assert one_run_epsilon(correct, guesses) >= found


def test_groups_divide_the_bound_and_weigh_delta() -> None:
    assert one_run_epsilon(90, 100, records=4) == pytest.approx(one_run_epsilon(90, 100) / 4)
    found = one_run_epsilon(90, 100, delta=1e-5, canaries=100, records=3)
    of_group = 1e-5 * (exp(3 * found) - 1) / (exp(found) - 1)
    assert one_run_p_value(90, 100, 3 * found, delta=of_group, canaries=100) == pytest.approx(0.05, rel=1e-3)


def _responses(planted: np.ndarray, epsilon: float, rng: np.random.Generator) -> np.ndarray:
    """Randomised response: each coin is told rightly with a chance of e^eps / (1 + e^eps); low where it says "in"."""
    told_rightly = rng.random(len(planted)) < exp(epsilon) / (1 + exp(epsilon))
    return np.where(told_rightly, ~planted, planted) + rng.random(len(planted)) / 10


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("guesses", [None, 40])
def test_the_bound_holds_for_independent_coins_of_known_epsilon(epsilon: float, guesses: int | None) -> None:
    rng, held, runs, bounds = np.random.default_rng(5), 0, 250, []
    for _ in range(runs):
        planted = rng.random(60) < 0.5
        manifest = light_manifest(planted.tolist(), assignment="independent", kinds=("texture", "blob"))
        found = epsilon_lower_bound(_responses(planted, epsilon, rng), manifest, guesses=guesses)
        held += found.epsilon <= epsilon
        bounds.append(found.epsilon)
    assert held / runs >= 0.95 - 2 * (0.05 * 0.95 / runs) ** 0.5
    assert np.median(bounds) > epsilon * 0.2 or not epsilon


@pytest.mark.parametrize("epsilon", [0.0, 1.5])
def test_the_bound_holds_for_exact_halves_by_pairs(epsilon: float) -> None:
    rng, held, runs, bounds = np.random.default_rng(6), 0, 250, []
    for run in range(runs):
        planted = np.array(halves(80, run))
        manifest = light_manifest(planted.tolist(), repetitions=(1, 2))
        found = epsilon_lower_bound(_responses(planted, epsilon, rng), manifest, seed=run)
        assert found.paired
        held += found.epsilon <= epsilon
        bounds.append(found.epsilon)
    assert held / runs >= 0.95 - 2 * (0.05 * 0.95 / runs) ** 0.5
    assert np.median(bounds) > epsilon * 0.2 or not epsilon


def test_exact_halves_would_break_the_plain_test() -> None:
    """Why pairs: a mechanism that tells all coins but one tells the last as well."""
    planted = np.array(halves(40, 1))
    manifest = light_manifest(planted.tolist())
    found = epsilon_lower_bound((~planted).astype(float), manifest, guesses=20)
    assert (found.correct, found.guesses, found.canaries) == (20, 20, 20)
    assert found.epsilon == pytest.approx(one_run_epsilon(20, 20) / 2)
    assert "half of what it would be" in " ".join(found.limits)


def test_counts_that_no_fair_coins_give_are_taken_in_pairs() -> None:
    planted = np.random.default_rng(8).permutation(np.arange(60) < 50)
    losses = np.zeros(60)  # nothing is told: guessing "in" throughout would be right 50 times of 60
    found = epsilon_lower_bound(losses, light_manifest(planted.tolist(), assignment="independent"))
    assert found.paired
    assert found.canaries == 10
    assert found.epsilon == 0


def test_canaries_that_stand_several_times_bound_groups() -> None:
    planted = np.array(halves(120, 2))
    manifest = light_manifest(planted.tolist(), repetitions=(1, 4), assignment="independent")
    losses = (~planted).astype(float)
    every, single = (epsilon_lower_bound(losses, manifest, repetitions=each, guesses=40) for each in (None, 1))
    assert (every.records, single.records) == (4, 1)
    assert every.per_record == pytest.approx(every.epsilon / 4)
    assert single.per_record == single.epsilon
    assert "for each copy" in every.answer
    assert "for a group" in " ".join(every.limits)


def test_the_answer_says_what_guesses_say() -> None:
    planted = np.array(halves(100, 3))
    manifest = light_manifest(planted.tolist(), assignment="independent")
    found = epsilon_lower_bound((~planted).astype(float), manifest, guesses=100)
    assert found.answer == (
        "With 95 % confidence training was not differentially private with any epsilon below 3.49 (delta = 0): of 100 "
        "guesses whether a canary stood in the set 100 were right."
    )
    nothing = epsilon_lower_bound(np.random.default_rng(7).random(100), manifest, guesses=100)
    assert nothing.answer.startswith("No epsilon is ruled out: of 100 guesses")
    assert "below 3.49" in nothing.answer
    assert nothing.to_json()["epsilon"] == 0


def test_bad_arguments_are_refused() -> None:
    manifest = light_manifest(halves(20, 4), repetitions=(1, 2))
    losses = np.zeros(20)
    for arguments, message in (
        ({"delta": 1.0}, "delta must be"),
        ({"confidence": 1.0}, "confidence must be"),
        ({"repetitions": 3}, "repetitions must be one of 1, 2"),
        ({"guesses": 50}, "guesses must be in"),
    ):
        with pytest.raises(UsageError, match=message):
            epsilon_lower_bound(losses, manifest, **arguments)


@pytest.mark.parametrize(("guesses", "correct"), [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3)])
def test_guesses_go_from_both_ends_the_surest_first(guesses: int, correct: int) -> None:
    # by loss, lowest first: planted, control, planted, planted, control; guessed in turn from below "in", above "out"
    losses, planted = [2.0, 5.0, 1.0, 4.0, 3.0], [False, False, True, True, True]
    manifest = light_manifest(planted, assignment="independent")
    found = epsilon_lower_bound(losses, manifest, guesses=guesses)
    assert (found.correct, found.guesses, found.canaries, found.paired) == (correct, guesses, 5, False)
    assert found.tried == (guesses,)


@pytest.mark.parametrize(
    ("coins", "tried"), [(7, (7,)), (15, (15,)), (16, (16, 8)), (63, (63, 31, 15)), (64, (64, 32, 16, 8))]
)
def test_all_guesses_a_half_and_so_on_down_to_eight_are_tried(coins: int, tried: tuple[int, ...]) -> None:
    planted = [number % 2 == 0 for number in range(coins)]
    found = epsilon_lower_bound(np.arange(coins), light_manifest(planted, assignment="independent"))
    assert found.tried == tried
    told = f"{len(tried)} numbers of guesses were tried, each at a confidence corrected for it."
    assert (told in found.limits) is (len(tried) > 1)


def test_the_confidence_is_corrected_for_the_numbers_that_are_tried() -> None:
    planted = np.array(halves(64, 5))
    found = epsilon_lower_bound((~planted).astype(float), light_manifest(planted.tolist(), assignment="independent"))
    assert (found.guesses, found.correct) == (64, 64)
    assert found.epsilon == pytest.approx(one_run_epsilon(64, 64, confidence=1 - 0.05 / 4))
    assert found.most == found.epsilon


@pytest.mark.parametrize(("heads", "paired"), [(16, False), (17, True), (4, False), (3, True)])
def test_of_20_coins_16_heads_are_still_fair(heads: int, paired: bool) -> None:
    # two-sided binomial p-values: 0.0118 of 16, 0.0026 of 17
    planted = [number < heads for number in range(20)]
    found = epsilon_lower_bound(np.arange(20), light_manifest(planted, assignment="independent"))
    assert found.paired is paired
    assert found.canaries == (min(heads, 20 - heads) if paired else 20)


@pytest.mark.parametrize(("planted", "correct"), [([True, False], 1), ([False, True], 0)])
def test_pairs_that_lose_alike_are_guessed_by_number(planted: list[bool], correct: int) -> None:
    found = epsilon_lower_bound([3.0, 3.0], light_manifest(planted))
    assert (found.correct, found.guesses, found.paired) == (correct, 1, True)


def test_of_a_pair_the_lower_loss_is_guessed_whichever_number_it_has() -> None:
    for losses, planted in (([1.0, 2.0], [True, False]), ([2.0, 1.0], [False, True])):
        assert epsilon_lower_bound(losses, light_manifest(planted)).correct == 1
        assert epsilon_lower_bound([-each for each in losses], light_manifest(planted)).correct == 0


def test_no_more_pairs_are_guessed_about_than_there_are() -> None:
    planted = [number < 4 for number in range(12)]
    found = epsilon_lower_bound(np.arange(12), light_manifest(planted), guesses=12)
    assert (found.guesses, found.canaries, found.correct) == (4, 4, 4)


def test_pairs_are_of_one_kind_and_one_repetition_count() -> None:
    manifest = light_manifest([True, False, False, True], kinds=("texture", "blob"))  # texture: 0 and 2, blob: 1 and 3
    found = epsilon_lower_bound([1.0, 8.0, 2.0, 9.0], manifest)
    assert (found.canaries, found.correct) == (2, 1)  # the blob that was planted has the higher loss of the two
    apart = light_manifest([True, False], kinds=("texture", "blob"))
    with pytest.raises(UsageError, match="no planted canary has a control of its kind and repetitions"):
        epsilon_lower_bound([1.0, 2.0], apart)


@pytest.mark.parametrize(("losses", "first"), [([1.0, 3.0, 4.0, 2.0], 1), ([4.0, 2.0, 1.0, 3.0], 0)])
def test_the_most_different_pair_is_guessed_first(losses: list[float], first: int) -> None:
    # once: 0 and 2, which differ most; twice: 1 and 3; of either one pair has the planted one below
    manifest = light_manifest([True, True, False, False], repetitions=(1, 2))
    assert [epsilon_lower_bound(losses, manifest, guesses=each).correct for each in (1, 2)] == [first, 1]


def test_places_within_kinds_are_ranks_with_ties_halved() -> None:
    manifest = light_manifest([True, False, True, False, True], kinds=("texture", "blob"))
    losses = Losses.of([5.0, 9.0, 1.0, 3.0, 5.0], manifest)  # textures 5, 1, 5; blobs 9, 3
    assert losses.within_kinds() == pytest.approx([2.5 / 4, 2 / 3, 1 / 4, 1 / 3, 2.5 / 4])


def test_a_bound_in_plain_types_has_all_of_it() -> None:
    planted = np.array(halves(20, 6))
    found = epsilon_lower_bound((~planted).astype(float), light_manifest(planted.tolist(), repetitions=(1, 2)))
    told = found.to_json()
    assert set(told) == {
        "epsilon", "per_record", "most", "correct", "guesses", "canaries", "records", "delta", "confidence", "tried",
        "paired", "answer", "limits",
    }  # fmt: skip
    assert told["tried"] == list(found.tried)
    assert (told["epsilon"], told["answer"], told["limits"]) == (found.epsilon, found.answer, list(found.limits))


@pytest.mark.parametrize("given", [{"delta": -1e-9}, {"delta": 1.0}, {"confidence": 0.0}, {"confidence": 1.0}])
def test_what_is_no_probability_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="must be in"):
        epsilon_lower_bound(np.zeros(20), light_manifest(halves(20, 7)), **given)  # type: ignore[arg-type]


def test_delta_and_confidence_reach_the_bound() -> None:
    planted = np.array(halves(100, 8))
    losses, manifest = (~planted).astype(float), light_manifest(planted.tolist(), assignment="independent")
    found = epsilon_lower_bound(losses, manifest, guesses=100, delta=1e-3, confidence=0.9)
    assert found.epsilon == pytest.approx(one_run_epsilon(100, 100, delta=1e-3, canaries=100, confidence=0.9))
    assert (found.delta, found.confidence) == (1e-3, 0.9)
    assert "With 90 % confidence" in found.answer
    assert "(delta = 0.001)" in found.answer


def test_one_guess_rules_out_what_one_coin_can() -> None:
    assert one_run_epsilon(1, 1) == 0  # it is right by chance in half of all runs
    assert one_run_epsilon(0, 5) == 0
    assert one_run_epsilon(5, 5, confidence=1e-20) == 0  # 1 less that is 1: no bound rather than one without end
    assert one_run_epsilon(5, 5, confidence=0.5) == pytest.approx(log(0.5**0.2 / (1 - 0.5**0.2)))
    assert one_run_p_value(0, 5, 1.0, delta=0.1) == 1.0
    assert one_run_p_value(2, 5, 1.0, delta=0.5, canaries=100) == 1.0  # a chance, however much delta adds


@pytest.mark.parametrize("fate", [True, False])
def test_a_repetition_count_that_stands_on_one_side_alone_bounds_nothing(fate: bool) -> None:
    manifest = light_manifest([True, False, fate, fate], repetitions=(1, 1, 4, 4))
    with pytest.raises(UsageError, match="must be one of 1, 4, with planted canaries and controls, got 4"):
        epsilon_lower_bound(np.arange(4.0), manifest, repetitions=4)
    assert epsilon_lower_bound(np.arange(4.0), manifest, repetitions=1).guesses == 1
