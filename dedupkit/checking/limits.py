"""Limits as people write them: a count, or a share of all samples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from dedupkit.errors import UsageError

Given: TypeAlias = int | float | str
"""``12`` is a count; ``0.005`` and ``"0.5%"`` are the same share."""
_NUMBER = re.compile(r"(\d+)?(\.\d+)?(%)?")


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of samples, or a share of all.

    Attributes
    ----------
    count : int or None
        The number; None where it is a share.
    share : Fraction
        The share in [0, 1], exact; 0 where it is a number.
    """

    count: int | None
    share: Fraction

    @classmethod
    def of(cls, name: str, value: Given, *, share_only: bool = False) -> Limit:
        """The limit that somebody wrote for the option `name`; what has a point or a percent sign is a share.

        Raises
        ------
        UsageError
            If it is neither.

        Examples
        --------
        >>> Limit.of("max_duplicates", "0.5%").allows(5, 1000), Limit.of("max_duplicates", "0.5%").allows(6, 1000)
        (True, False)
        """
        text = repr(value) if isinstance(value, float) else str(value).strip()
        found = _NUMBER.fullmatch(text)
        if isinstance(value, bool) or found is None or not (found[1] or found[2]):
            raise _wrong(name, value, share_only=share_only)
        is_share = bool(found[2] or found[3])
        number = Fraction(text.rstrip("%")) / (100 if found[3] else 1)
        if not is_share and not (share_only and number == 1):
            if share_only:
                raise _wrong(name, value, share_only=share_only)
            return cls(int(number), Fraction(0))
        if number > 1:
            raise _wrong(name, value, share_only=share_only)
        return cls(None, number)

    def allows(self, found: int, samples: int) -> bool:
        """Whether so many of all samples are not too many."""
        return found <= (self.share * samples if self.count is None else self.count)

    def reached(self, found: int, samples: int) -> bool:
        """Whether so many of all samples are enough."""
        return found >= (self.share * samples if self.count is None else self.count)

    def __str__(self) -> str:
        return f"{float(100 * self.share):g}%" if self.count is None else str(self.count)


def _wrong(name: str, value: object, *, share_only: bool) -> UsageError:
    wanted = "a share such as 99% or 0.99" if share_only else "a count such as 10, or a share such as 0.5% or 0.005"
    return UsageError(f"{name} must be {wanted}, got {str(value)[:40]!r}; write it like that")
