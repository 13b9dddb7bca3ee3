"""What correct guesses about coins say of epsilon (Steinke et al. 2023, arXiv 2305.08846)."""

from __future__ import annotations

import numpy as np

from dedupkit.audit.statistics import CONFIDENCE

_GRID = 200
_HALVINGS = 40


def one_run_p_value(correct: int, guesses: int, epsilon: float, *, delta: float = 0.0, canaries: int = 0) -> float:
    """Chance of as many correct guesses, or more, if the training were (epsilon, delta)-differentially private.

    Each guess is right with a chance of e^eps / (1 + e^eps) at most, whatever came before, so the number of those that
    are is bounded by a binomial distribution; delta adds ``2 * canaries * delta * max_i P[correct - i <= B < correct] /
    i`` (appendix D of the paper gives it so).

    Parameters
    ----------
    correct, guesses : int
        ``0 <= correct <= guesses``.
    epsilon : float
        0 or more.
    delta : float
        In [0, 1].
    canaries : int
        Coins flipped, guessed about or not; `guesses` at the least.  Without delta it makes no difference.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> one_run_p_value(3, 4, 0.0)  # of 4 fair coins 3 or 4
    0.3125
    """
    from scipy.special import expit
    from scipy.stats import binom

    chance = float(expit(epsilon))
    tail = float(binom.sf(correct - 1, guesses, chance))
    if not delta or not correct:
        return min(tail, 1.0)
    steps = np.arange(1, correct + 1)
    slack = float(((binom.sf(correct - steps - 1, guesses, chance) - tail) / steps).max())
    return min(tail + 2 * max(canaries, guesses) * delta * slack, 1.0)


def one_run_epsilon(
    correct: int,
    guesses: int,
    *,
    delta: float = 0.0,
    canaries: int = 0,
    confidence: float = CONFIDENCE,
    records: int = 1,
) -> float:
    """The greatest epsilon that so many correct guesses rule out, with all smaller ones; 0 if they rule out none.

    Parameters
    ----------
    correct, guesses, delta, canaries
        See `one_run_p_value`.
    confidence : float
        Chance that the bound holds, in (0, 1).
    records : int
        Records that one coin decides of.  Training that is (eps, delta)-private for one record is
        ``(g * eps, delta * (e^(g * eps) - 1) / (e^eps - 1))``-private for g; the bound is that of one.

    Returns
    -------
    float

    Examples
    --------
    >>> round(one_run_epsilon(100, 100), 2), round(one_run_epsilon(1000, 1000), 2), one_run_epsilon(50, 100)
    (3.49, 5.81, 0.0)
    """
    from scipy.stats import beta

    level = 1 - confidence
    if not correct:
        return 0.0
    # without delta: Clopper and Pearson's lower bound for the chance of a right guess
    chance = float(beta.ppf(level, correct, guesses - correct + 1))
    without = max(0.0, float(np.log(chance / (1 - chance)))) / records if 0 < chance < 1 else 0.0
    if not delta or not without:
        return without

    def ruled_out(epsilon: float) -> bool:
        of_group = delta * float(np.exp(epsilon * np.arange(records)).sum())
        p_value = one_run_p_value(correct, guesses, records * epsilon, delta=of_group, canaries=canaries)
        return p_value <= level

    # The first that is not ruled out: then the bound holds even if the p-value should not rise all the way.
    high = next((each for each in np.linspace(0, without, _GRID).tolist() if not ruled_out(each)), without)
    low = max(0.0, high - without / (_GRID - 1))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if ruled_out(middle) else (low, middle)
    return low
