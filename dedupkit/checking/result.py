"""What a check found, in the words of people and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from dedupkit._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RULES = {
    "duplicates": "Copies of other samples: a model memorises what it sees often",
    "quarantined": "Samples without a usable image, or that a check of hygiene takes out",
    "leak": "Samples that stand in a set for evaluation too",
    "look_alikes": "Samples that are no copies of another, but very like it",
    "captions": "Samples without a caption",
}
"""What can be limited, and what it means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sample that counts against a limit.

    Attributes
    ----------
    rule : str
        One of `RULES`.
    key : str
        The sample: of a folder, the path of its file in it.
    shard : str
        Where it stands.
    message : str
        What is wrong with it, in one line.
    other : str or None
        The sample that it is a copy of, or looks like.
    set : str or None
        The set that `other` stands in, where that is not the source.
    """

    rule: str
    key: str
    shard: str
    message: str
    other: str | None = None
    set: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One limit and what was counted.

    Attributes
    ----------
    rule : str
        One of `RULES`.
    limit : str
        In words, such as "at most 0.5%".
    found : int
        Samples that were counted.
    share : float
        Of all, in [0, 1].
    passed : bool
        Whether the limit holds.
    set : str or None
        The set that must not stand in the source.
    """

    rule: str
    limit: str
    found: int
    share: float
    passed: bool
    set: str | None = None

    @property
    def name(self) -> str:
        """The rule in words, with the set it is about."""
        words = self.rule.replace("_", "-")
        return f"{words} of {self.set}" if self.set is not None else words


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Whether a source keeps within its limits.

    Attributes
    ----------
    source : str
        The source in words.
    samples : int
        How many it holds.
    outcomes : tuple of Outcome
        One a limit.
    findings : tuple of Finding
        All samples that count against one, also where the limit allows them; some 500 bytes each.
    folder : pathlib.Path or None
        The folder that keys are paths in, where the source is one.
    """

    source: str
    samples: int
    outcomes: tuple[Outcome, ...]
    findings: tuple[Finding, ...]
    folder: Path | None = field(default=None, repr=False)

    @property
    def passed(self) -> bool:
        """Whether every limit holds."""
        return all(each.passed for each in self.outcomes)

    def against(self, outcome: Outcome) -> Iterator[Finding]:
        """The findings that count against one limit."""
        return (each for each in self.findings if (each.rule, each.set) == (outcome.rule, outcome.set))

    def to_json(self) -> dict[str, Any]:
        """As ``dedupkit check --json`` prints it."""
        return {
            "passed": self.passed,
            "source": self.source,
            "samples": self.samples,
            "limits": [asdict(each) for each in self.outcomes],
            "findings": [asdict(each) for each in self.findings],
            "version": __version__,
        }
