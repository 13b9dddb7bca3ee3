"""A lower bound on epsilon of differential privacy from one training run (Steinke et al. 2023, arXiv 2305.08846)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.coins import Losses
from dedupkit.audit.one_run import one_run_epsilon
from dedupkit.audit.statistics import CONFIDENCE
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dedupkit.canaries.manifest import Manifest

_LEAST_GUESSES = 8
_UNFAIR = 0.01  # p-value of the counts, below which coins are not taken for fair


@dataclass(frozen=True, slots=True)
class EpsilonBound:
    """A lower bound on epsilon.

    Attributes
    ----------
    epsilon : float
        With `confidence`, training is not (e, delta)-differentially private for any e below this, where a canary with
        all its copies is what is added or left out.
    per_record : float
        The same for single records: canaries that stood several times bound the privacy of groups.
    most : float
        The bound that all guesses right would have given.
    correct, guesses, canaries : int
        Guesses that were right, all of them, and coins they were about.
    records : int
        How often those canaries stand that stand oftenest.
    delta, confidence : float
        As asked for.
    tried : tuple of int
        Numbers of guesses that were tried; the confidence is corrected for their number.
    paired : bool
        Whether the guesses were about pairs of a planted canary and a control, see `epsilon_lower_bound`.
    """

    epsilon: float
    per_record: float
    most: float
    correct: int
    guesses: int
    canaries: int
    records: int
    delta: float
    confidence: float
    tried: tuple[int, ...]
    paired: bool

    @property
    def answer(self) -> str:
        """What is ruled out, and by how many guesses."""
        about = "which of two canaries stood in the set" if self.paired else "whether a canary stood in the set"
        counts = f"of {self.guesses} guesses {about} {self.correct} were right"
        if not self.epsilon:
            return (
                f"No epsilon is ruled out: {counts}; had all been right, it would have been all below {self.most:.2f}."
            )
        each = f", {self.per_record:.2g} for each copy" if self.records > 1 else ""
        return (
            f"With {100 * self.confidence:.0f} % confidence training was not differentially private with any epsilon "
            f"below {self.epsilon:.2f}{each} (delta = {self.delta:g}): {counts}."
        )

    @property
    def limits(self) -> tuple[str, ...]:
        """What this does not show."""
        said = [
            f"It is a lower bound: the true epsilon may be any higher. {self.guesses} guesses cannot show more than "
            f"{self.most:.2f}.",
            "It holds if each canary's coin was fair and fell by itself, and nothing but training saw how it fell.",
        ]
        if self.paired:
            said.append(
                "The counts of planted canaries and controls were fixed, so their coins did not fall each by itself; "
                "guesses are about random pairs instead, whose coins did. Such a pair is two records that change, "
                'so the bound is half of what it would be; assignment = "independent" gives all of it.'
            )
        if self.records > 1:
            said.append(
                f"Canaries stood up to {self.records} times: the bound is for a group of so many equal records, that "
                "for one is as many times smaller; repetitions = 1 bounds it better."
            )
        if len(self.tried) > 1:
            said.append(f"{len(self.tried)} numbers of guesses were tried, each at a confidence corrected for it.")
        return tuple(said)

    def to_json(self) -> dict[str, Any]:
        """All of it in plain types."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return found | {"tried": list(self.tried), "answer": self.answer, "limits": list(self.limits)}


def epsilon_lower_bound(
    losses: ArrayLike,
    manifest: Manifest,
    *,
    delta: float = 0.0,
    repetitions: int | None = None,
    guesses: int | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> EpsilonBound:
    """Bound epsilon from below by guessing which canaries stood in the set (Steinke et al. 2023, arXiv 2305.08846).

    Losses are taken as places among all canaries of their kind.  The lowest half of the guesses is "in", the highest
    half "out"; the rest is abstained from.

    The theorem is about coins that fall each by itself.  With ``assignment = "exact"``, where the last coin follows
    from the others, and where the counts do not look like those of fair coins, each planted canary is paired at random
    with a control of its kind and repetitions: given the pairs, which of the two was planted was a fair coin for each
    by itself, whatever the counts.  The guess is then which it was, and the most different pairs are guessed about.
    One record more and one less is twice epsilon, which the bound allows for.

    Parameters
    ----------
    losses : array-like of float, shape (n,)
        One for each canary in the manifest's order; a lower one speaks for memorisation.
    manifest : Manifest
        The canaries.
    delta : float
        Of the privacy that is ruled out, in [0, 1).
    repetitions : int, optional
        Only canaries that stood, or would have stood, as often; all by default.
    guesses : int, optional
        How many to make, fixed before the losses were seen; of pairs no more than there are.  By default all, a half, a
        quarter and so on down to 8 are tried, at a confidence corrected for their number (Bonferroni).
    confidence : float
        Chance that the bound holds, in (0, 1).
    seed : int
        Of the pairs; fixed before the losses were seen.

    Returns
    -------
    EpsilonBound

    Raises
    ------
    UsageError
        If there is not one finite loss for each canary, none stand so often, or an argument is out of range.
    """
    _check(delta, confidence)
    found = Losses.of(losses, manifest)
    chosen = np.ones(len(found.values), bool) if repetitions is None else found.repetitions == repetitions
    if not (chosen & found.planted).any() or not (chosen & ~found.planted).any():
        stand = ", ".join(str(each) for each in np.unique(found.repetitions).tolist())
        raise UsageError(f"repetitions must be one of {stand}, with planted canaries and controls, got {repetitions}")
    paired = manifest.assignment == "exact" or not _fair(found.planted[chosen])
    right = _pairs(found, chosen, seed) if paired else _ends(found, chosen)
    tried = _numbers_of_guesses(len(right), guesses, int(chosen.sum()))
    each = 1 - (1 - confidence) / len(tried)
    records = int(found.repetitions[chosen].max())

    def bound(number: int, correct: int, copies: int) -> float:
        of_coin = copies * (2 if paired else 1)
        return one_run_epsilon(correct, number, delta=delta, canaries=len(right), confidence=each, records=of_coin)

    counts = [(number, int(right[:number].sum())) for number in tried]
    best, correct = max(counts, key=lambda pair: bound(pair[0], pair[1], 1))
    return EpsilonBound(
        epsilon=bound(best, correct, 1),
        per_record=bound(best, correct, records),
        most=max(bound(number, number, 1) for number in tried),
        correct=correct,
        guesses=best,
        canaries=len(right),
        records=records,
        delta=delta,
        confidence=confidence,
        tried=tried,
        paired=paired,
    )


def _check(delta: float, confidence: float) -> None:
    if not 0 <= delta < 1:
        raise UsageError(f"delta must be in [0, 1), got {delta}; 0 or one over the number of samples are usual")
    if not 0 < confidence < 1:
        raise UsageError(f"confidence must be in (0, 1), got {confidence}; 0.95 is usual")


def _fair(planted: NDArray[np.bool_]) -> bool:
    from scipy.stats import binomtest

    return float(binomtest(int(planted.sum()), len(planted)).pvalue) >= _UNFAIR


def _numbers_of_guesses(coins: int, asked: int | None, canaries: int) -> tuple[int, ...]:
    if asked is not None:
        if not 1 <= asked <= canaries:
            raise UsageError(f"guesses must be in [1, {canaries}], as there are so many canaries, got {asked}")
        return (min(asked, coins),)
    numbers = [coins]
    while numbers[-1] // 2 >= _LEAST_GUESSES:
        numbers.append(numbers[-1] // 2)
    return tuple(numbers)


def _ends(losses: Losses, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether guesses are right, the surest first: in turn that the lowest is in and that the highest is out."""
    places, planted = losses.within_kinds()[chosen], losses.planted[chosen]
    order = np.argsort(places, kind="stable")
    turns = np.empty(len(order), np.int64)
    turns[0::2], turns[1::2] = order[: (len(order) + 1) // 2], order[::-1][: len(order) // 2]
    guessed_in = np.arange(len(order)) % 2 == 0
    right: NDArray[np.bool_] = planted[turns] == guessed_in
    return right


def _pairs(losses: Losses, chosen: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Whether guesses about random pairs are right, the surest first."""
    rng, places = np.random.default_rng(seed), losses.within_kinds()
    pairs: list[tuple[int, int]] = []
    for kind in np.unique(losses.kinds[chosen]):
        for times in np.unique(losses.repetitions[chosen]):
            here = chosen & (losses.kinds == kind) & (losses.repetitions == times)
            mine, others = (rng.permutation(np.flatnonzero(here & side)) for side in (losses.planted, ~losses.planted))
            pairs += zip(mine.tolist(), others.tolist(), strict=False)
    if not pairs:
        raise UsageError("no planted canary has a control of its kind and repetitions to pair with; make more of them")
    both = np.sort(np.array(pairs), axis=1)  # by number, so that nothing of the coins is left in the order
    gaps = places[both[:, 1]] - places[both[:, 0]]
    guess = np.where(gaps < 0, both[:, 1], both[:, 0])
    order = np.lexsort((both[:, 0], -np.abs(gaps)))
    right: NDArray[np.bool_] = losses.planted[guess][order]
    return right
