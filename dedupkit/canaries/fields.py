"""The other fields of a canary, filled like those of its neighbours."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from dedupkit.canaries.manifest import Canary
    from dedupkit.sample import Sample

DONORS = 16  # neighbours whose fields are looked at
_WIDTHS = frozenset({"width", "original_width", "image_width", "w"})
_HEIGHTS = frozenset({"height", "original_height", "image_height", "h"})
_HEX = re.compile(r"[0-9a-f]{12,}|[0-9A-F]{12,}")


def fields_like(donors: Sequence[Sample], key: str, canary: Canary, rng: np.random.Generator) -> dict[str, Any]:
    """Values for every field that the neighbours have.

    Parameters
    ----------
    donors : sequence of Sample
        Some neighbours.
    key : str
        The canary's key.
    canary : Canary
        Whose fields they will be.
    rng : numpy.random.Generator
        Chooses.

    Returns
    -------
    dict
        Sides are the canary's own; so are key and caption where a field repeats them.  Values that repeat among the
        neighbours are one neighbour's.  Values that are each neighbour's own are made up: numbers lie between two
        neighbours', digits and words at the end of a text are others.
    """
    names = dict.fromkeys(name for donor in donors for name in donor.fields)
    return {name: _value(name, donors, key, canary, rng) for name in names}


def _value(name: str, donors: Sequence[Sample], key: str, canary: Canary, rng: np.random.Generator) -> Any:
    values = [donor.fields.get(name) for donor in donors]
    chosen = int(rng.integers(len(donors)))
    value, donor = values[chosen], donors[chosen]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value == donor.key:
            return key
        if value == donor.caption:
            return canary.caption
        return _other_text(value, canary, rng) if _all_differ(values) else value
    if isinstance(value, int | float) and name.lower() in _WIDTHS | _HEIGHTS:
        return type(value)(canary.width if name.lower() in _WIDTHS else canary.height)
    if isinstance(value, int) and donor.image is not None and value == len(donor.image):
        return len(canary.data)
    if isinstance(value, int | float) and _all_differ(values):
        return _between(value, [each for each in values if type(each) is type(value)], rng)
    return value


def _all_differ(values: Sequence[Any]) -> bool:
    """Whether each neighbour has a value of its own, which two samples then cannot share."""
    present = [value for value in values if isinstance(value, Hashable) and value is not None]
    return len(present) > 1 and len(set(present)) == len(present)


def _between(value: Any, others: Sequence[Any], rng: np.random.Generator) -> Any:
    other = others[int(rng.integers(len(others)))]
    share = float(rng.uniform(0.2, 0.8))
    mixed = value + (other - value) * share
    return round(mixed) if isinstance(value, int) else mixed


def _other_text(text: str, canary: Canary, rng: np.random.Generator) -> str:
    """A text of the same make: of a URL, or a path, only the last part differs."""
    if "://" in text:
        try:
            parts = urlsplit(text)
        except ValueError:
            return text
        folder, slash, last = parts.path.rpartition("/")
        return urlunsplit(parts._replace(path=f"{folder}{slash}{_other_name(last, canary, rng)}"))
    if " " in text:
        return text  # prose: a neighbour's title or alternative text
    folder, slash, last = text.rpartition("/")
    return f"{folder}{slash}{_other_name(last, canary, rng)}"


def _other_name(name: str, canary: Canary, rng: np.random.Generator) -> str:
    """A name with other digits, and hexadecimal digits in their place; one without any, with words of the caption."""
    if _HEX.search(name):
        return _HEX.sub(lambda match: _others(match[0], "0123456789abcdef", rng), name)
    if sum(character.isdigit() for character in name) >= 3:
        return re.sub("[0-9]+", lambda match: _others(match[0], "0123456789", rng), name)
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if dot else (name, "")
    words = re.findall("[a-z]+", (canary.caption or "").lower())
    separator = "_" if "_" in stem else "-"
    return f"{separator.join(words[: max(1, len(re.split('[-_]', stem)))]) or stem}{ending}"


def _others(digits: str, alphabet: str, rng: np.random.Generator) -> str:
    drawn = "".join(alphabet[int(each)] for each in rng.integers(len(alphabet), size=len(digits)))
    return drawn.upper() if digits.isupper() else drawn
