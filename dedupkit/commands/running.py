"""What a command does around the public function that it calls."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe


def recipe_of(path: Path | None, choices: dict[str, Any]) -> Recipe:
    """The recipe of a file with what the command line says in its place."""
    from dedupkit.recipe import Recipe

    values = Recipe.load(path).model_dump(exclude_unset=True) if path else {}
    for name, choice in choices.items():
        if isinstance(choice, dict):
            given = {key: value for key, value in choice.items() if value is not None}
            if given:
                values[name] = {**values.get(name, {}), **given}
        elif choice is not None:
            values[name] = choice
    return Recipe.of(values, name="options")


def check_many(source: str) -> None:
    """Refuse one image where a set is meant: nothing in it could be a copy of anything."""
    from dedupkit.sources.listing import is_image_name

    if is_image_name(source) and Path(source).is_file():
        folder = Path(source).parent
        raise UsageError(f"{source} is one image; give its folder, {folder}, or ask `dedupkit index query` about it")


def check_writable(file: Path) -> None:
    """Refuse a place that no file can be written to, before anything runs."""
    if not file.absolute().parent.is_dir():
        raise UsageError(f"the folder of {file} does not exist; make it first")
    if file.is_dir():
        raise UsageError(f"{file} is a folder; name a file for the JSON")


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


@contextmanager
def shown_progress() -> Iterator[Observer | None]:
    """A progress bar and the log on stderr; only warnings where stderr is not a terminal."""
    if not sys.stderr.isatty():
        logging.basicConfig(level=logging.WARNING, format="dedupkit: %(message)s", stream=sys.stderr)
        logging.getLogger("dedupkit").setLevel(logging.INFO)
        warnings.simplefilter("ignore")
        yield None
        return
    from dedupkit.progress import ProgressBar

    with ProgressBar() as bar:
        yield bar.show
