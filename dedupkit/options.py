"""What every entry point does with its arguments before anything runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dedupkit._version import __version__
from dedupkit.errors import UsageError
from dedupkit.fingerprints.descriptors import open_describer
from dedupkit.hygiene.brought import BroughtChecks
from dedupkit.hygiene.sensitive import Lookout
from dedupkit.plugins import DESCRIPTORS, SINKS
from dedupkit.recipe import Recipe
from dedupkit.sinks import make_sink

if TYPE_CHECKING:
    from collections.abc import Mapping

_DECIDING_PACKAGES = ("ftfy", "numpy", "phonenumbers", "pillow", "pyarrow", "simplejpeg")


def resolve_recipe(recipe: Recipe | str | os.PathLike[str] | None) -> Recipe:
    """A recipe from what a caller gave: itself, a TOML file, or nothing for the default."""
    if isinstance(recipe, (str, os.PathLike)):
        recipe = Recipe.load(recipe)
    elif recipe is None:
        recipe = Recipe()
    elif not isinstance(recipe, Recipe):
        raise UsageError(f"recipe must be a Recipe or the path of a TOML file, got {type(recipe).__name__}")
    Lookout.of(recipe.hygiene).check()
    _check_plugins(recipe)
    return recipe


def _check_plugins(recipe: Recipe) -> None:
    """What others bring can be made: nobody should learn under way that it cannot."""
    BroughtChecks.of(recipe.hygiene).check()
    for name in recipe.output.formats:
        if SINKS.brings(name):
            make_sink(name)
    if DESCRIPTORS.brings(recipe.descriptor):
        open_describer(recipe.descriptor)


def versions() -> Mapping[str, str]:
    """Versions of what an output depends on."""
    from importlib import metadata

    return {"dedupkit": __version__} | {name: metadata.version(name) for name in _DECIDING_PACKAGES}
