"""The whole recipe: its tables, read from and written to TOML."""

from __future__ import annotations

import os  # noqa: TC003 - pydantic evaluates annotations of this module
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import ValidationError

from dedupkit import recipes
from dedupkit.errors import UsageError, did_you_mean, error_text
from dedupkit.recipe.augment import Augment
from dedupkit.recipe.blocklist import Blocklist
from dedupkit.recipe.canaries import Canaries
from dedupkit.recipe.captions import Captions
from dedupkit.recipe.card import Card
from dedupkit.recipe.hygiene import Hygiene
from dedupkit.recipe.matching import Keep, Matching, policy_name
from dedupkit.recipe.output import Output
from dedupkit.recipe.overrides import Overrides
from dedupkit.recipe.part import RecipePart
from dedupkit.recipe.reading import Fingerprints, Limits, SourceOptions


class Recipe(RecipePart):
    """Every choice of a run.

    Raises
    ------
    UsageError
        From `load` and `loads`, for an unknown name or a value out of range; the text names each.

    Examples
    --------
    >>> Recipe(keep=Keep(max_copies=2)).keep.max_copies
    2
    >>> Recipe.loads("[matching]\\nmax_hamming_bits = 20").matching.max_hamming_bits
    20
    """

    preset: Literal["fast", "thorough"] = "thorough"
    seed: int = 0
    source: SourceOptions = SourceOptions()
    limits: Limits = Limits()
    fingerprints: Fingerprints = Fingerprints()
    hygiene: Hygiene = Hygiene()
    matching: Matching = Matching()
    captions: Captions = Captions()
    keep: Keep = Keep()
    canaries: Canaries = Canaries()
    blocklist: Blocklist = Blocklist()
    overrides: Overrides = Overrides()
    augment: Augment = Augment()
    output: Output = Output()
    card: Card = Card()

    @property
    def descriptor(self) -> str:
        """Name of the network that describes pictures; empty where none does."""
        name = self.fingerprints.descriptor
        if name == "auto":
            name = "none" if self.preset == "fast" else "dedupkit"
        return "" if name == "none" else name

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recipe:
        """Read a recipe from a TOML file; what is no file may be the name of a recipe that comes with the package."""
        named = None if Path(path).exists() else recipes.text(str(path))
        try:
            return cls.loads(Path(path).read_text(encoding="utf-8") if named is None else named, name=str(path))
        except (OSError, UnicodeDecodeError) as error:
            known = recipes.names()
            remedy = f"{did_you_mean(Path(path).stem, known)}give the path of a TOML file, or one of {', '.join(known)}"
            raise UsageError(f"recipe {path} cannot be read: {error_text(error)}; {remedy}") from error

    @classmethod
    def loads(cls, text: str, name: str = "recipe") -> Recipe:
        """Read a recipe from TOML text; `name` stands in error messages.

        A ``[versions]`` table, as the recipe saved beside an output has, is passed over.
        """
        try:
            values = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            known = "mend it, or have `dedupkit recipe init` write one anew"
            raise UsageError(f"{name} is not TOML: {error_text(error)}; {known}") from error
        values.pop("versions", None)
        return cls.of(values, name=name)

    @classmethod
    def of(cls, values: dict[str, Any], name: str = "recipe") -> Recipe:
        """A recipe from nested mappings, as TOML gives them."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(f"{name}: " + "; ".join(complaints(error))) from error

    def dumps(self, versions: dict[str, str] | None = None) -> str:
        """The recipe as TOML with every default written out; a keep policy that is code is named, not stored."""
        values = self.model_dump(mode="python", exclude_none=True)
        if callable(self.keep.policy):
            values["keep"]["policy"] = policy_name(self.keep.policy)
        return tomli_w.dumps(values | ({"versions": versions} if versions else {}))


def complaints(errors: ValidationError) -> list[str]:
    """One line an option, each with a remedy; of an option that may be of several kinds, what the first kind says."""
    first: dict[Any, Any] = {}
    for error in errors.errors():
        first.setdefault(error["loc"][:2], error)
    return [_one_line(error) for error in first.values()]


def _one_line(error: Any) -> str:
    from dedupkit.recipe_options import remedy

    if error["type"] == "extra_forbidden":
        name = ".".join(map(str, error["loc"]))
        return f"unknown option {name}; {remedy(name)}"
    name = ".".join(str(part) for part in error["loc"][:2] if isinstance(part, str))  # deeper parts are pydantic's
    if error["type"] == "literal_error":
        known = re.findall("'([^']+)'", error["ctx"]["expected"])
        return f"{name}: there is no {error['input']!r}; {did_you_mean(str(error['input']), known)}{remedy(name)}"
    return f"{name}: {error['msg'].removeprefix('Value error, ')}, got {error['input']!r}; {remedy(name)}"
