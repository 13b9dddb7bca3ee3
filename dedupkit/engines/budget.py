"""How much memory a run may take."""

from __future__ import annotations

import re

from dedupkit.errors import UsageError

RESIDENT = 400 << 20
"""Bytes that a process takes with all that it imports, and while it fingerprints."""
LEAST_MEMORY = 512 << 20
_UNITS = {"": 1} | {letter: 1000**power for power, letter in enumerate("kmgt", 1)}
_UNITS |= {f"{letter}i": 1024**power for power, letter in enumerate("kmgt", 1)}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)


def byte_count(name: str, value: int | str, *, least: int = 0) -> int:
    """Bytes out of a number or a text such as ``4GiB``.

    Raises
    ------
    UsageError
        If it is neither, or below `least`.

    Examples
    --------
    >>> byte_count("memory", "1.5 GiB")
    1610612736
    """
    found = _SIZE.fullmatch(str(value)) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
    if found is None:
        raise UsageError(f"{name} must be bytes or a text such as 4GiB, got {value!r}")
    count = int(float(found[1]) * _UNITS[(found[2] or "").lower()])
    if count < least:
        raise UsageError(f"{name} must be {least >> 20} MiB or more, got {value!r}; leave it out for no limit")
    return count
