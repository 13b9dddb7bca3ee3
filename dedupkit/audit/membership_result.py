"""What membership inference found, and what that does not show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dedupkit.audit.statistics import CONFIDENCE, difference_p_value, holm

if TYPE_CHECKING:
    from dedupkit.audit.dataset_inference import DatasetInference
    from dedupkit.audit.lira import CalibratedPoint
    from dedupkit.audit.statistics import Curve, OperatingPoint
    from dedupkit.audit.told_apart import ToldApart

SIGNIFICANT = 0.05
_PRIOR = 0.01  # share of members among candidates that the worth of an accusation is spelled out for


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack's scores.

    Attributes
    ----------
    name : str
    curve : Curve
        Scores of members and controls; a higher one speaks for a member.
    calls : int
        Times that the model is asked for each sample; LiRA asks each shadow model as often besides.
    calibrated : tuple of CalibratedPoint
        At thresholds that shadow models alone set; empty without them.
    """

    name: str
    curve: Curve
    calls: int
    calibrated: tuple[CalibratedPoint, ...] = ()

    @property
    def p_value(self) -> float:
        """Chance of scores as far apart if members scored like controls (Mann-Whitney, one-sided)."""
        return difference_p_value(self.curve.members, self.curve.controls)

    def to_json(self, rates: tuple[float, ...]) -> dict[str, Any]:
        """All of it, in names and numbers."""
        found = {"name": self.name, "model_calls_a_sample": self.calls, "p_value": self.p_value}
        return found | self.curve.to_json(rates) | {"calibrated": [each.to_json() for each in self.calibrated]}


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether a model gives away who was in its training set.

    Attributes
    ----------
    attacks : tuple of Attack
    rates : tuple of float
        False positive rates that are looked at.
    told_apart : ToldApart or None
        Whether members and controls differ before the model is asked; None where there are too few of either.
    whole_set : DatasetInference or None
        Whether the members, as a set, can be told from the controls; None where there are too few of either.
    """

    attacks: tuple[Attack, ...]
    rates: tuple[float, ...]
    told_apart: ToldApart | None
    whole_set: DatasetInference | None

    @property
    def corrected(self) -> dict[str, float]:
        """The p-value of each attack, corrected for the number of attacks (Holm)."""
        p_values = holm([each.p_value for each in self.attacks]).tolist()
        return dict(zip((each.name for each in self.attacks), p_values, strict=True))

    @property
    def strongest(self) -> Attack:
        """The attack with the smallest p-value; of equal ones that with the largest AUC."""
        return min(self.attacks, key=lambda each: (each.p_value, -each.curve.auc))

    @property
    def point(self) -> OperatingPoint | None:
        """The strongest attack at the smallest false positive rate that there are controls enough for."""
        points = (self.strongest.curve.at(rate) for rate in sorted(self.rates))
        return next((point for point in points if point.resolved), None)

    @property
    def found(self) -> bool:
        """Whether an attack tells members from controls, corrected for their number, and looks alone do not."""
        shifted = self.told_apart is not None and self.told_apart.warns
        return not shifted and min(self.corrected.values()) <= SIGNIFICANT

    @property
    def answer(self) -> str:
        """The finding in a sentence."""
        significant = min(self.corrected.values()) <= SIGNIFICANT
        what = self._told() if significant else self._not_told() + self._all_the_same()
        if self.told_apart is not None and self.told_apart.warns:
            return f"{self.told_apart.answer}; {what}"
        return f"the model gives away who was in its training set: {what}" if significant else what

    def _told(self) -> str:
        return f"{self._which()} tells members from controls ({self._measured()}){self._at_rate()}"

    def _not_told(self) -> str:
        none = "the attack does not tell" if len(self.attacks) == 1 else f"none of {len(self.attacks)} attacks tells"
        return f"{none} members from controls: {self._which()} has {self._measured()}"

    def _all_the_same(self) -> str:
        if self.whole_set is None or not self.whole_set.found:
            return ""
        return f"; all the same, their scores together tell the sets apart (p = {self.whole_set.p_value:.2g})"

    def _which(self) -> str:
        if len(self.attacks) == 1:
            return self.strongest.name
        return f"the strongest of {len(self.attacks)} attacks ({self.strongest.name})"

    def _measured(self) -> str:
        low, high = self.strongest.curve.auc_interval
        p_value = min(self.corrected.values())
        return f"AUC {self.strongest.curve.auc:.2f}, {low:.2f} to {high:.2f}, where 0.5 is chance; p = {p_value:.2g}"

    def _at_rate(self) -> str:
        point = self.point
        if point is None:
            return ""
        low, high = point.members.interval
        return (
            f" and finds {point.members.value:.0%} of the members ({low:.0%} to {high:.0%}) where at most "
            f"{_percent(point.false_positive_rate)} of the controls are taken for members"
        )

    @property
    def limits(self) -> tuple[str, ...]:
        """What this result does not show, in its own numbers."""
        return (*self._of_the_sets(), *self._of_the_sizes(), *self._of_the_attacks())

    def _of_the_sets(self) -> list[str]:
        if self.told_apart is None:
            few = "Too few members or controls to see whether looks alone tell them apart"
            return [f"{few}: the result holds if a coin flip decided who was trained on."]
        said = self.told_apart.answer
        return [
            f"{said[0].upper()}{said[1:]}.",
            "Only a coin flip between members and controls, before training, makes sure that they differ in nothing "
            "else; copies of controls in the training set hide what the model gives away.",
        ]

    def _of_the_sizes(self) -> list[str]:
        members, controls = len(self.strongest.curve.members), len(self.strongest.curve.controls)
        found = [
            f"{controls} controls are too few for a false positive rate of {_percent(rate)}: {round(1 / rate)} are "
            f"needed."
            for rate in self.rates
            if not self.strongest.curve.at(rate).resolved
        ]
        found.append(
            f"With {members} members and {controls} controls no single sample can have a p-value below "
            f"{1 / (controls + 1):.2g}."
        )
        point = self.point
        if self.found and point is not None:
            true, false = point.members.value * _PRIOR, point.false_positive_rate * (1 - _PRIOR)
            found.append(
                f"Where 1 of 100 candidates is a member, {true / (true + false) if true else 0:.0%} of those found "
                f"at a false positive rate of {_percent(point.false_positive_rate)} would be members."
            )
        return found

    def _of_the_attacks(self) -> list[str]:
        high = self.strongest.curve.auc_interval[1]
        found = []
        if not self.found:
            found.append(
                f"Finding nothing proves little: an AUC of up to {high:.2f} by the same attack is not ruled out, nor "
                f"is a stronger attack."
            )
        if len(self.attacks) > 1:
            found.append(
                f"p-values are corrected for {len(self.attacks)} attacks; {CONFIDENCE:.0%} intervals hold for each "
                f"attack alone, not for the strongest of them."
            )
        if not any(each.name.startswith("LiRA") for each in self.attacks):
            found.append(
                "LiRA, which needs shadow models and is often far stronger, was not run; thresholds were set on the "
                "controls themselves, which an attacker does not have."
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """All of it, in names and numbers; no caption and no picture."""
        corrected = self.corrected
        return {
            "answer": self.answer,
            "limits": list(self.limits),
            "found": self.found,
            "strongest": self.strongest.name,
            "attacks": [
                each.to_json(self.rates) | {"p_value_corrected": corrected[each.name]} for each in self.attacks
            ],
            "told_apart": self.told_apart.to_json() if self.told_apart else None,
            "whole_set": self.whole_set.to_json() if self.whole_set else None,
        }


def _percent(share: float) -> str:
    return f"{share * 100:g}%"
