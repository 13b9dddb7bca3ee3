"""The command ``dedupkit plan``: it builds a recipe, calls one public function and prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dedupkit.commands.options import Preset, RecipeFile


def plan(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A folder of images, tars or Parquet, a glob, or any fsspec URL."),
    ],
    recipe: RecipeFile = None,
    preset: Preset = None,
    samples: Annotated[int, typer.Option(help="How many samples to clean to find out.")] = 500,
    rows: Annotated[
        int | None,
        typer.Option(help="Samples of the set; counted if left out, more than counted if SOURCE is a part of it."),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option(
            metavar="cores=N,memory=SIZE,disk=SIZE,price=X",
            help="What it would run on, with its price an hour; what is left out is as on this machine.",
        ),
    ] = None,
    machines: Annotated[int, typer.Option(help="How many of them.")] = 1,
    json_file: Annotated[str | None, typer.Option("--json", help="Write all numbers here; - for stdout.")] = None,
) -> None:
    """Clean a sample of SOURCE, and say what time, memory, disk and money the whole of it would take."""
    from dedupkit.commands.running import check_writable, recipe_of, shown_progress
    from dedupkit.planning.run import plan as run

    if json_file not in (None, "-"):
        check_writable(Path(str(json_file)))
    with shown_progress() as progress:
        chosen = recipe_of(recipe, {"preset": preset})
        found = run(
            source, recipe=chosen, samples=samples, rows=rows, machine=machine, machines=machines, progress=progress
        )
    if json_file is not None:
        text = json.dumps(found.to_json(), indent=1, ensure_ascii=False)
        if json_file == "-":
            typer.echo(text)
            return
        Path(json_file).write_text(text + "\n", encoding="utf-8")
    typer.echo(found.text())
