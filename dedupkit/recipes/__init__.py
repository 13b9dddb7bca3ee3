"""Recipes that come with the package, each a commented TOML file named for its aim."""

from __future__ import annotations

from importlib.resources import files

_ENDING = ".toml"


def names() -> list[str]:
    """Names of the recipes there are, in alphabetical order.

    Examples
    --------
    >>> names()
    ['finetune', 'pretraining', 'privacy', 'publishable']
    """
    found = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(_ENDING) for name in found if name.endswith(_ENDING))


def text(name: str) -> str | None:
    """The TOML of a recipe with its comments; None where there is none of that name."""
    return files(__name__).joinpath(name + _ENDING).read_text(encoding="utf-8") if name in names() else None
