"""``[overrides]``: what a person said while looking at a report."""

from __future__ import annotations

import re

from pydantic import field_validator

from dedupkit.recipe.part import RecipePart


class Overrides(RecipePart):
    """Marks that a person made while looking at the report of an earlier run; they win over every stage.

    Attributes
    ----------
    file : str or None
        The file that the report page writes; see docs/review.md.  The recipe saved beside an output names it without
        its folder.
    sha256 : str or None
        Its digest in hexadecimal; where it is said, another file is refused.
    """

    file: str | None = None
    sha256: str | None = None

    @field_validator("sha256")
    @classmethod
    def _digest_is_hexadecimal(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch("[0-9a-f]{64}", value):
            raise ValueError("must be 64 hexadecimal digits in small letters")
        return value
