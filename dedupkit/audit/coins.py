"""What the coins allow: planted canaries against controls, exact because a coin alone told them apart.

If a model has memorised nothing, its losses are what they are, whichever side the coins fell on.  So every p-value here
asks how often other falls of the same coins would look as bad, and needs to know nothing of how losses are distributed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dedupkit.canaries.manifest import Manifest

ENOUGH_OF_A_KIND = 99  # controls; then p-values go down to 0.01 within the kind
SHUFFLES = 9999
POWER_QUANTILE = 0.8416  # of the standard normal distribution at 0.8
_VALUES_AT_ONCE = 4_000_000
_TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Losses:
    """One loss for each canary of a manifest, and what the coins need to know of it; nothing of it is secret.

    Attributes
    ----------
    values : ndarray of float64, shape (n,)
        In the order of the manifest; a lower one speaks for memorisation.
    planted : ndarray of bool, shape (n,)
    kinds : ndarray of str, shape (n,)
    repetitions : ndarray of int64, shape (n,)
        Of a control, how often it would stand in the set.
    """

    values: NDArray[np.float64]
    planted: NDArray[np.bool_]
    kinds: NDArray[np.str_]
    repetitions: NDArray[np.int64]

    @classmethod
    def of(cls, losses: ArrayLike, manifest: Manifest) -> Losses:
        """Losses in the order of a manifest.

        Raises
        ------
        UsageError
            If there is not one finite loss for each canary, or there are no planted ones or no controls.
        """
        values, canaries = np.asarray(losses, np.float64), manifest.canaries
        if values.shape != (len(canaries),):
            raise UsageError(
                f"losses must be one for each of {len(canaries)} canaries, controls too, in the manifest's order, got "
                f"shape {values.shape}"
            )
        if not np.isfinite(values).all():
            raise UsageError(f"losses must be finite, got {int((~np.isfinite(values)).sum())} that are not; ask again")
        planted = np.array([each.planted for each in canaries], bool)
        if not planted.any() or planted.all():
            raise UsageError(
                f"canaries must be planted and held out, got {int(planted.sum())} planted of {len(planted)}; make them "
                "with both planted and controls above 0"
            )
        repetitions = np.array([each.repetitions for each in canaries], np.int64)
        return cls(values, planted, np.array([each.kind for each in canaries]), repetitions)

    def within_kinds(self) -> NDArray[np.float64]:
        """Each loss as its place among all of its kind, in (0, 1), ties halved; knows nothing of the coins."""
        from scipy.stats import rankdata

        places = np.empty(len(self.values))
        for kind in np.unique(self.kinds):
            mine = self.kinds == kind
            places[mine] = rankdata(self.values[mine]) / (mine.sum() + 1)
        return places


@dataclass(frozen=True, slots=True)
class Standing:
    """Where each planted canary stands among the controls.

    Attributes
    ----------
    ranks, references : ndarray of int64, shape (planted,)
        1 + the controls that stand as high or higher, and how many there are to compare with.
    scores, control_scores : ndarray of float64, shape (planted,) and (controls,)
        Losses made comparable between kinds, negated: a higher one speaks for memorisation.
    same_kind : bool
        Whether each is compared with controls of its own kind alone.
    """

    ranks: NDArray[np.int64]
    references: NDArray[np.int64]
    scores: NDArray[np.float64]
    control_scores: NDArray[np.float64]
    same_kind: bool

    @property
    def exposures(self) -> NDArray[np.float64]:
        """Exposures by rank, in bits, see `dedupkit.audit.secret_sharer.rank_exposure`."""
        found: NDArray[np.float64] = np.log2(self.references) - np.log2(self.ranks)
        return found

    @property
    def p_values(self) -> NDArray[np.float64]:
        """Chance that a coin would have picked one that stands as high, see `dedupkit.audit.statistics.p_values`."""
        found: NDArray[np.float64] = self.ranks / (self.references + 1)
        return found


def standing(losses: Losses) -> Standing:
    """Rank each planted canary among the controls.

    With 99 controls of each kind or more it is compared with its own kind; else with all controls, each loss taken as
    its distance from the median of its kind in median deviations.  Both are exact under the coins.  Take one planted
    canary and all controls: given who they are, each of them was as likely to be the one that was planted.  Medians and
    deviations are those of just these canaries, the one included, so they are the same whichever it was; taken over
    the controls alone they would favour the planted, and taken over all canaries the memorised ones would hide in them.
    """
    controls = ~losses.planted
    names, counts = np.unique(losses.kinds[controls], return_counts=True)
    found = dict(zip(names.tolist(), counts.tolist(), strict=True))
    same_kind = all(found.get(kind, 0) >= ENOUGH_OF_A_KIND for kind in np.unique(losses.kinds[losses.planted]))
    by_kind = {kind: np.sort(losses.values[controls & (losses.kinds == kind)]) for kind in np.unique(losses.kinds)}
    comparable = {kind: _scaled(values, values) for kind, values in by_kind.items()}
    placed = [
        _placed(value, kind, by_kind, comparable, same_kind)
        for value, kind in zip(losses.values[losses.planted].tolist(), losses.kinds[losses.planted], strict=True)
    ]
    ranks, references, scores = zip(*placed, strict=True)
    control_scores = -np.concatenate(list(comparable.values()))
    return Standing(np.array(ranks), np.array(references), np.array(scores), control_scores, same_kind)


def _placed(
    value: float,
    kind: str,
    by_kind: dict[str, NDArray[np.float64]],
    comparable: dict[str, NDArray[np.float64]],
    same_kind: bool,
) -> tuple[int, int, float]:
    """Rank, references and score of one planted canary."""
    own = by_kind[kind]
    score = float(_scaled(np.array([value]), np.append(own, value))[0])
    rank = 1 + int(np.searchsorted(own, value, side="right"))
    others = [] if same_kind else [values for name, values in comparable.items() if name != kind]
    rank += sum(int(np.searchsorted(values, score, side="right")) for values in others)
    return rank, len(own) + sum(map(len, others)), -score


def _scaled(values: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances from the median of some values in their median deviations."""
    if not len(among):
        return values
    middle = np.median(among)
    off = np.abs(among - middle)
    spread = float(np.median(off)) or float(off.mean()) or 1.0
    scaled: NDArray[np.float64] = (values - middle) / spread
    return scaled


@dataclass(frozen=True, slots=True)
class RankTest:
    """A one-sided test whether some planted canaries stand higher than the controls of their kinds.

    Attributes
    ----------
    p_value : float
        In (0, 1]; the least is 1 / (1 + shuffles).
    detectable : float or None
        Share of them that would have to stand above every control for the test to find it in 4 of 5 cases at the level
        asked for; None if it could not even find all of them.
    """

    p_value: float
    detectable: float | None


def rank_test(losses: Losses, chosen: NDArray[np.bool_], *, level: float, shuffles: int, seed: int) -> RankTest:
    """Compare planted canaries with the controls of their kinds: Mann and Whitney's test, kind by kind.

    Ranks within a kind are divided by their number plus 1 and summed over kinds (van Elteren 1960).  p-value by random
    shuffles within kinds.  For all planted canaries of a kind it is exact under the coins.  For those of one repetition
    count it also rests on canaries being drawn without regard to repetitions, which `dedupkit.canaries.make` does: so
    controls of all repetition counts serve.

    Parameters
    ----------
    losses : Losses
        All losses.
    chosen : ndarray of bool, shape (n,)
        Which planted canaries; compared with all controls of their kinds.
    level : float
        At which `detectable` is given.
    shuffles, seed : int
        Shuffles, and their seed.
    """
    from scipy.stats import rankdata

    rng = np.random.default_rng(seed)
    seen, most, null = 0.0, 0.0, np.zeros(shuffles)
    for kind in np.unique(losses.kinds[chosen]):
        here = losses.kinds == kind
        mine, controls = losses.values[here & chosen], losses.values[here & ~losses.planted]
        places = rankdata(-np.concatenate([mine, controls])) / (len(mine) + len(controls) + 1)
        seen += float(places[: len(mine)].sum())
        most += float(np.sort(places)[len(controls) :].sum())
        null += _shuffled_sums(places, len(mine), shuffles, rng)
    p_value = float((1 + (null >= seen - _TIE).sum()) / (1 + shuffles))
    limit = float(np.quantile(null, 1 - level, method="higher"))
    room = most - float(null.mean())
    share = (limit - float(null.mean()) + POWER_QUANTILE * float(null.std())) / room if room > _TIE else 2.0
    within_reach = share <= 1 and (null >= most - _TIE).mean() <= level
    return RankTest(p_value, share if within_reach else None)


def _shuffled_sums(
    values: NDArray[np.float64], count: int, shuffles: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Sums of `count` of some values, drawn anew each time."""
    block = max(1, _VALUES_AT_ONCE // len(values))
    sums = [
        rng.permuted(np.tile(values, (min(block, shuffles - start), 1)), axis=1)[:, :count].sum(axis=1)
        for start in range(0, shuffles, block)
    ]
    return np.concatenate(sums)


def trend(losses: Losses, scores: NDArray[np.float64], *, shuffles: int, seed: int) -> tuple[float, float] | None:
    """Whether planted canaries score higher the oftener they stand: Spearman's correlation and its p-value.

    Repetitions are shuffled within kinds; one-sided.  It rests on canaries being drawn without regard to repetitions,
    which `dedupkit.canaries.make` does.

    Returns
    -------
    tuple of float, or None
        Correlation in [-1, 1] and p-value; None where all stand equally often, or score alike.
    """
    from scipy.stats import rankdata

    kinds, times = losses.kinds[losses.planted], losses.repetitions[losses.planted]
    if len(np.unique(times)) < 2 or len(np.unique(scores)) < 2:
        return None
    rng = np.random.default_rng(seed)
    one, other = (each - each.mean() for each in (rankdata(scores), rankdata(times)))
    shuffled = np.tile(other, (shuffles, 1))
    for kind in np.unique(kinds):
        mine = np.flatnonzero(kinds == kind)
        shuffled[:, mine] = rng.permuted(shuffled[:, mine], axis=1)
    seen = float(one @ other)
    p_value = float((1 + (shuffled @ one >= seen - _TIE * abs(seen) - _TIE).sum()) / (1 + shuffles))
    return seen / float(np.linalg.norm(one) * np.linalg.norm(other)), p_value
