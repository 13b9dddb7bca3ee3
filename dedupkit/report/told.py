"""What a report reads again of the recipe that it tells."""

from __future__ import annotations

import tomllib
from functools import lru_cache

from dedupkit.errors import UsageError
from dedupkit.recipe import Recipe

_READ = ("matching", "hygiene", "augment", "canaries")  # others may be code, or name files that are gone


@lru_cache(maxsize=4)
def told_recipe(recipe_toml: str) -> Recipe:
    """Those parts of a resolved recipe that a page needs; the defaults where a later version wrote what is unknown."""
    try:
        values = tomllib.loads(recipe_toml)
        return Recipe.of({name: values[name] for name in _READ if name in values})
    except (tomllib.TOMLDecodeError, UsageError):
        return Recipe()
