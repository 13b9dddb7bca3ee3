"""What became of each sample of a stream, and how many went for which reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dedupkit.errors import RunError
from dedupkit.sample import Reason, Tier

if TYPE_CHECKING:
    from dedupkit.streaming.judging import Match

_DROPS = {
    Tier.EXACT: Reason.EXACT_DUPLICATE,
    Tier.PERCEPTUAL: Reason.PERCEPTUAL_DUPLICATE,
    Tier.GEOMETRIC: Reason.GEOMETRIC_DUPLICATE,
    Tier.DESCRIPTOR: Reason.DESCRIPTOR_DUPLICATE,
    Tier.LOOK_ALIKE: Reason.LOOK_ALIKE,
}


@dataclass(frozen=True, slots=True)
class StreamDecision:
    """What became of one sample of a stream, and why.

    Attributes
    ----------
    number : int
        Its place in the stream, from 0.
    key : str
        Its name.
    kept : bool
        Whether it came out.
    reason : str or None
        Of a drop, and of a fault; None for what is kept without one.
    match : Match or None
        What it is a copy of, or come again.
    detail : str or None
        What was wrong with it, in words.
    """

    number: int
    key: str
    kept: bool
    reason: str | None = None
    match: Match | None = None
    detail: str | None = None


@dataclass(slots=True)
class Tally:
    """Counts of a pass until now.

    Attributes
    ----------
    seen, kept : int
        Samples, and those that came out.
    entries : int
        Those that were remembered, in all that is gone on with.
    dropped, faults : Counter
        Samples that went, and those with a fault, by reason.
    """

    seen: int = 0
    kept: int = 0
    entries: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def decide(
        self, key: str, match: Match | None, fault: tuple[str | None, str | None], *, on_fault: str, again: str
    ) -> StreamDecision:
        """Say what becomes of a sample, and count it.

        Raises
        ------
        RunError
            It has a fault, and `on_fault` says so.
        """
        reason, detail = fault
        if reason is not None and on_fault == "raise":
            raise RunError(f"sample {key} cannot be used ({reason}): {detail}; on_fault can drop or keep such")
        number, self.seen = self.seen, self.seen + 1
        if reason is not None:
            self.faults[reason] += 1
            kept = on_fault == "keep"
        else:
            kept = match is None or (match.same_sample and again == "keep")
            self.entries += match is None
            reason = None if kept or match is None else _DROPS[Tier(match.tier)].value
        self.kept += kept
        if not kept:
            self.dropped[str(reason)] += 1
        return StreamDecision(number, key, kept, reason, match, detail)
