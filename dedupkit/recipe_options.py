"""The options of the recipe one by one: names, kinds, defaults, and meanings out of the docstrings."""

from __future__ import annotations

import difflib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import tomli_w
from pydantic import BaseModel

from dedupkit.recipe import Recipe

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

# Ranges that a validator checks, which the model's own types do not tell.
_RANGES = {
    "matching.max_hamming_bits": "0 to 63",
    "keep.max_copies": "1 or more",
    "augment.jpeg_quality": "1 to 100, lowest first",
    "output.formats": "one or more, each once",
}
_IN_PYTHON = " or a callable (Python only)"
_OF_THE_RECIPE = {
    "preset": '"fast" stops at digests and hashes; "thorough" adds descriptors and geometry.',
    "seed": "What `[augment]` draws depends on it.",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the recipe.

    Attributes
    ----------
    part : str
        Name of its table; empty for those of the recipe itself.
    name : str
        Its own name.
    kind : str
        What it takes, in words: types and bounds, texts quoted.
    default : object
        Its default; None where it is not set.
    meaning : str
        What it does.
    """

    part: str
    name: str
    kind: str
    default: Any
    meaning: str

    @property
    def path(self) -> str:
        """Its name with that of its table in front, such as ``keep.policy``."""
        return f"{self.part}.{self.name}" if self.part else self.name

    def value_in(self, recipe: Recipe) -> Any:
        """What a recipe says of it; None where it is not set."""
        return getattr(getattr(recipe, self.part) if self.part else recipe, self.name)


def parts() -> dict[str, str]:
    """Tables of the recipe and the first line on each; those of the recipe itself stand first, under no name."""
    found = {"": "The recipe itself."}
    for name, field in Recipe.model_fields.items():
        if _is_part(field):
            found[name] = (field.annotation.__doc__ or "").strip().splitlines()[0]
    return found


@cache
def options() -> tuple[Option, ...]:
    """Every option, in the order of the recipe: those of the recipe itself, then table by table."""
    return tuple(option for part in parts() for option in _options_of(part))


def _options_of(part: str) -> Iterator[Option]:
    model = typing.cast("type[BaseModel]", Recipe.model_fields[part].annotation if part else Recipe)
    meanings = _attributes(inspect.getdoc(model) or "") if part else _OF_THE_RECIPE
    for name, field in model.model_fields.items():
        if _is_part(field):
            continue
        path = f"{part}.{name}" if part else name
        kind = "; ".join(filter(None, [_kind(field.annotation), _bounds(field.metadata), _RANGES.get(path)]))
        yield Option(part, name, kind, field.default, meanings.get(name, ""))


def written(value: Any) -> str:
    """A value as TOML has it; of what is not set, so much."""
    if value is None:
        return "not set"
    if callable(value):
        return "a callable (Python only)"
    if isinstance(value, tuple):
        return f"[{', '.join(map(written, value))}]"
    return tomli_w.dumps({"it": value}).removeprefix("it = ").strip()


def remedy(path: str) -> str:
    """What to do about a wrong value of an option, or about a name that there is not."""
    known = {option.path: option for option in options()}
    if option := known.get(path):
        return f"it takes {option.kind.removesuffix(_IN_PYTHON).replace(';', ',')}"
    names = [*known, *filter(None, parts())]
    if path in names:
        return f"see [{path}] in docs/recipe.md"
    near = _of_another_part(path, known) or difflib.get_close_matches(path, names, n=1)
    return f"did you mean {near[0]}?" if near else "see docs/recipe.md for the names there are"


def _of_another_part(path: str, known: typing.Iterable[str]) -> list[str]:
    """Options of the same name elsewhere, be it without a table."""
    name = path.rpartition(".")[2]
    return [each for each in known if each.rpartition(".")[2] == name]


def _is_part(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _attributes(docstring: str) -> dict[str, str]:
    """Names and descriptions out of a numpydoc section of attributes."""
    found: dict[str, str] = {}
    body = docstring.partition("Attributes\n")[2].partition("\n\n---")[0]
    names: list[str] = []
    for line in body.splitlines()[1:]:
        if head := re.match(r"^(\w[\w, ]*) : ", line):
            names = head[1].split(", ")
        elif line.strip():
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return {name: text.replace("``", "`").replace("  ", " ") for name, text in found.items()}


def _kind(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(argument) for argument in arguments if argument is not type(None))
    if origin is Literal:
        return ", ".join(f'"{value}"' for value in arguments)
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    if origin is Callable:
        return "a callable (Python only)"
    return {int: "integer", float: "number", str: "text", bool: "true, false"}[annotation]


def _bounds(metadata: list[Any]) -> str:
    low = next((item.ge for item in metadata if hasattr(item, "ge")), None)
    high = next((item.le for item in metadata if hasattr(item, "le")), None)
    if low is None and high is None:
        return ""
    return f"{low:,} to {high:,}" if high is not None else f"{low:,} or more"
