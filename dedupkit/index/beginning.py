"""What an index is begun with, and what it is checked against when it is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dedupkit.errors import UsageError
from dedupkit.index.state import State, made_by, read_state, recipe_parts
from dedupkit.matching.radius import max_hamming_bits
from dedupkit.sources.listing import public
from dedupkit.storage import Folder
from dedupkit.stores import is_url

if TYPE_CHECKING:
    from dedupkit.recipe import Recipe


def local_folder(path: str | os.PathLike[str]) -> Folder:
    if is_url(os.fspath(path)):
        raise UsageError(f"{os.fspath(path)} is a URL; an index lies in a local folder, for its files are mapped")
    return Folder(str(Path(path).resolve()))


def name_of(source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        named = os.fsdecode(source)
        return public(named) if is_url(named) else str(Path(named).resolve())
    return type(source).__name__


def check_choices(expected_samples: int, views: str) -> None:
    if expected_samples < 1:
        raise UsageError(f"expected_samples must be 1 or more, got {expected_samples}; say how many there will be")
    if views not in ("keep", "none"):
        raise UsageError(f'views must be "keep" or "none", got {views!r}')


def new_state(recipe: Recipe, expected_samples: int, views: Literal["keep", "none"]) -> State:
    if recipe.descriptor == "given":
        raise UsageError('descriptor must not be "given": an index describes images; name a network')
    looks = bool(recipe.descriptor) and recipe.matching.verify == "geometry"
    radius = max_hamming_bits(recipe.matching, expected_samples)
    return State(recipe_parts(recipe), made_by(recipe), expected_samples, radius, views if looks else "none")


def check_unbuilt(folder: Folder, fresh: State) -> None:
    state = read_state(folder)
    if state.entries:
        raise UsageError(f"{folder.url} holds an index of {state.entries} samples; add to it, or name another folder")
    if (state.recipe, state.max_hamming_bits, state.views) != (fresh.recipe, fresh.max_hamming_bits, fresh.views):
        raise UsageError(f"{folder.url} holds an empty index of another recipe; remove it, or name another folder")


def check_recipe(state: State, recipe: Recipe, folder: Folder) -> None:
    given = recipe_parts(recipe)
    changed = [name for name, value in given.items() if state.recipe.get(name) != value]
    if changed:
        raise UsageError(
            f"{folder.url} was built by another recipe ({', '.join(changed)} differ); open it without one, or build an "
            "index by yours"
        )
