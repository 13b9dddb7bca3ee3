"""The state of a stream, to be saved with a training checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a stream is after the last sample that came out.

    Attributes
    ----------
    rules : dict of str to str
        Digests of all that decides what is a copy, by name.
    seen, kept : int
        Samples until then.
    dropped, faults : dict of str to int
        Those that went, and those with a fault, by reason.
    entries : int
        Entries that were remembered, the forgotten ones counted.
    folder : str or None
        Where they lie.
    data : bytes or None
        They themselves, where there is no folder.
    """

    rules: dict[str, str]
    seen: int
    kept: int
    dropped: dict[str, int]
    faults: dict[str, int]
    entries: int
    folder: str | None
    data: bytes | None

    def to_dict(self) -> dict[str, Any]:
        """Numbers, strings and bytes, in a dictionary."""
        return asdict(self) | {"format": FORMAT}

    @classmethod
    def of(cls, state: Mapping[str, Any], rules: Mapping[str, str]) -> Checkpoint:
        """Read one that was made under the same rules.

        Raises
        ------
        UsageError
            It is none, or was made under others.
        """
        values = dict(state)
        if values.pop("format", None) != FORMAT or set(values) != set(cls.__slots__):
            raise UsageError("this is no state of a StreamingDeduplicator; give what its state_dict() gave")
        check_rules(values["rules"], rules, "the state")
        return cls(**values)


def check_rules(before: Mapping[str, str], now: Mapping[str, str], what: str) -> None:
    """Whether samples were compared as they are now.

    Raises
    ------
    UsageError
        They were not.
    """
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if changed:
        raise UsageError(f"{what} was made with another {', '.join(changed)}; use the same, or begin anew without it")
