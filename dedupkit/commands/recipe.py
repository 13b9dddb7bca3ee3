"""The commands of `dedupkit recipe`: write a recipe to begin with, check one, explain one."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dedupkit import recipes
from dedupkit.commands.completing import recipe_names
from dedupkit.errors import UsageError, did_you_mean
from dedupkit.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dedupkit.recipe import Recipe
    from dedupkit.recipe_options import Option

recipe_app = typer.Typer(
    name="recipe", help="Write, check and explain recipes, the choices of a run.", no_args_is_help=True
)

_COMMENT_COLUMNS = 116  # as wide as the recipes of the package
_MAX_COLUMNS = 100


@recipe_app.command()
def init(
    name: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(recipes.names())}; left out, every option at its default.",
            autocompletion=recipe_names,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="File to write; never one that exists.")] = Path("recipe.toml"),
) -> None:
    """Write a recipe with a comment on every option, to be edited."""
    found = _default_recipe() if name is None else recipes.text(name)
    if found is None:
        known = recipes.names()
        raise UsageError(f"there is no recipe {name}; {did_you_mean(str(name), known)}name one of {', '.join(known)}")
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(found)
    except FileExistsError as error:
        raise UsageError(f"{out} exists; name another file with --out, or remove it") from error
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}; name another file") from error
    typer.echo(f"wrote {printable(str(out))}")


@recipe_app.command()
def check(
    recipe: Annotated[
        str, typer.Argument(metavar="FILE|NAME", help="The recipe to check.", autocompletion=recipe_names)
    ],
) -> None:
    """Say whether a recipe is right, and what in it differs from the default; else what is wrong, exit code 2."""
    from pydantic import ValidationError

    from dedupkit.recipe import Recipe, complaints
    from dedupkit.recipe_options import options

    try:
        loaded = Recipe.load(recipe)
    except UsageError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        for line in complaints(error.__cause__):
            typer.echo(f"dedupkit: {printable(f'{recipe}: {line}')}", err=True)
        raise typer.Exit(2) from None
    other = [option for option in options() if option.value_in(loaded) != option.default]
    typer.echo(f"{printable(recipe)} is right; {_counted(len(other))} from the default")
    for option in other:
        typer.echo(f"  {option.path} = {_said(option, loaded)}")


@recipe_app.command()
def explain(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="FILE|NAME", help="A recipe; left out, the default.", autocompletion=recipe_names),
    ] = None,
) -> None:
    """Print every option with its value, whether that is the default, and what it means."""
    from dedupkit.recipe import Recipe
    from dedupkit.recipe_options import options, parts

    loaded = Recipe() if recipe is None else Recipe.load(recipe)
    columns = min(_MAX_COLUMNS, shutil.get_terminal_size().columns)
    for part, summary in parts().items():
        typer.echo(f"[{part}] {summary}" if part else summary)
        for option in options():
            if option.part == part:
                typer.echo(f"  {option.name} = {_said(option, loaded)}")
                for line in textwrap.wrap(f"{option.meaning} Values: {option.kind}.", columns - 6):
                    typer.echo(f"      {line}")
        typer.echo()


def _counted(options: int) -> str:
    return "1 option differs" if options == 1 else f"{options or 'no'} options differ"


def _said(option: Option, recipe: Recipe) -> str:
    """A value and how it stands to the default."""
    from dedupkit.recipe_options import written

    value = option.value_in(recipe)
    note = "the default" if value == option.default else f"default: {written(option.default)}"
    return printable(f"{written(value)}  ({note})")


def _default_recipe() -> str:
    """Every option at its default, each as a comment: what is not said may still depend on the source."""
    return "\n".join(_default_lines()) + "\n"


def _default_lines() -> Iterator[str]:
    from dedupkit.recipe_options import options, parts, written

    yield "# Every option at its default; take the # away from those that are to be another."
    for part, summary in parts().items():
        yield ""
        if part:
            yield from _comment(summary)
            yield f"[{part}]"
        for option in options():
            if option.part == part:
                yield from _comment(f"{option.meaning} Values: {option.kind}.")
                value = "  # not set" if option.default is None else f" {written(option.default)}"
                yield f"# {option.name} ={value}"


def _comment(words: str) -> list[str]:
    return textwrap.wrap(words, _COMMENT_COLUMNS, initial_indent="# ", subsequent_indent="# ")
