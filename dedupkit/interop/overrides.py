"""Overrides: what a person, or another tool, says against a run's own decisions, as a file that `clean` obeys."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

Act = Literal["keep", "drop", "keep_group"]
ACTIONS: tuple[Act, ...] = ("keep", "drop", "keep_group")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Override:
    """What is to become of a sample whatever the run finds.

    Attributes
    ----------
    key : str
        Of the sample; with ``keep_group``, of the kept sample of a group whose members all stay.
    action : {"keep", "drop", "keep_group"}
        What becomes of it.
    note : str
        Why, in a person's words; empty for none.
    """

    key: str
    action: Act
    note: str = ""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise UsageError(f"action must be one of {', '.join(ACTIONS)}, got {self.action!r} for {self.key!r}")

    def to_json(self) -> dict[str, str]:
        """A row of the file."""
        return {"key": self.key, "action": self.action} | ({"note": self.note} if self.note else {})


def write_overrides(overrides: Iterable[Override], path: str | os.PathLike[str]) -> None:
    """Write a file for ``dedupkit clean --overrides``.

    Parameters
    ----------
    overrides : iterable of Override
        One for each key; of equal ones, the first is written.
    path : path
        The file; replaced if it is there.

    Raises
    ------
    UsageError
        Two overrides of one key say different things.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_overrides([Override("cats/1.jpg", "keep")], f"{folder}/overrides.json")
    ...     print(Path(f"{folder}/overrides.json").read_text())
    {
     "dedupkit_overrides": 1,
     "overrides": [
      {
       "key": "cats/1.jpg",
       "action": "keep"
      }
     ]
    }
    <BLANKLINE>
    """
    chosen: dict[str, Override] = {}
    for each in overrides:
        if chosen.setdefault(each.key, each).action != each.action:
            both = f"{chosen[each.key].action} and {each.action}"
            raise UsageError(f"overrides of {each.key!r} say {both}; leave one of them out")
    content: dict[str, Any] = {"dedupkit_overrides": _FORMAT, "overrides": [each.to_json() for each in chosen.values()]}
    Path(path).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
