"""Licences by the names that the Hugging Face Hub and SPDX have for them."""

from __future__ import annotations

import csv
import difflib
from functools import cache
from importlib import resources

OTHER = "other"


@cache
def _known() -> dict[str, str]:
    """The Hub's ids (its docs, page "Licenses"), each with the SPDX id; empty for families and for what has none."""
    text = resources.files(__package__).joinpath("licenses.csv").read_text(encoding="utf-8")
    return {row["id"]: row["spdx"] for row in csv.DictReader(text.splitlines())}


def license_id(name: str) -> str:
    """The Hub's id of a licence that is named by it or by its SPDX id, in capitals or not.

    Raises
    ------
    ValueError
        No such licence is known.

    Examples
    --------
    >>> license_id("CC-BY-4.0"), license_id("ODbL-1.0")
    ('cc-by-4.0', 'odbl')
    """
    wanted = name.strip().lower()
    by_name = {spdx.lower(): each for each, spdx in _known().items() if spdx} | {each: each for each in _known()}
    if wanted in by_name:
        return by_name[wanted]
    near = difflib.get_close_matches(wanted, by_name, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]!r}? Else " if near else ""
    raise ValueError(
        f"is not among the licences that the Hub knows ({meant}name one of https://spdx.org/licenses that it knows, "
        'or "other" with license_link)'
    )


def license_url(license: str, link: str | None) -> str | None:
    """Where a licence's text stands: at the link given, else at SPDX."""
    spdx = _known().get(license)
    return link or (f"https://spdx.org/licenses/{spdx}.html" if spdx else None)
