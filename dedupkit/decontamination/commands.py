"""``dedupkit decontaminate``: builds a recipe, calls the public function, prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dedupkit.commands.completing import IMAGE_FORMATS, among
from dedupkit.commands.options import LocalWorkers, Overrides, Preset, RecipeFile
from dedupkit.terminal import printable

if TYPE_CHECKING:
    from dedupkit.decontamination.run import Decontaminated

_SHOWN = 20


def decontaminate(
    train: Annotated[
        str, typer.Argument(metavar="TRAIN", help="The training set: a folder, tars, Parquet, or any fsspec URL.")
    ],
    out: Annotated[
        str | None, typer.Argument(metavar="[OUT]", help="Folder for what is left; left out, it is only looked for.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="SET", help="What must not stand in TRAIN: a set, or an index of one; may be repeated."),
    ] = None,
    recipe: RecipeFile = None,
    preset: Preset = None,
    overrides: Overrides = None,
    deduplicate: Annotated[
        bool, typer.Option("--deduplicate", help="Also remove the training set's own duplicates.")
    ] = False,
    workers: LocalWorkers = None,
    image_column: Annotated[str | None, typer.Option(help="Column of TRAIN that holds the images.")] = None,
    caption_column: Annotated[str | None, typer.Option(help="Column of TRAIN that holds the captions.")] = None,
    key_column: Annotated[str | None, typer.Option(help="Column of TRAIN that names the samples.")] = None,
    against_image_column: Annotated[str | None, typer.Option(help="Column of the sets that holds the images.")] = None,
    against_key_column: Annotated[str | None, typer.Option(help="Column of the sets that names the samples.")] = None,
    format: Annotated[
        list[str] | None,
        typer.Option(help="arrow, parquet, webdataset or mds; may be repeated.", autocompletion=among(IMAGE_FORMATS)),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start again in OUT.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print counts and matches as JSON.")] = False,
) -> None:
    """Drop from TRAIN what stands in evaluation sets or others that it must not hold; these are never compared."""
    from dedupkit.commands.running import recipe_of, shown_progress
    from dedupkit.decontamination.run import decontaminate as run
    from dedupkit.errors import UsageError
    from dedupkit.recipe import SourceOptions

    if not against:
        raise UsageError("no set is named that TRAIN must not hold; give --against")
    columns = {"image_column": image_column, "caption_column": caption_column, "key_column": key_column}
    choices = {"preset": preset, "source": columns, "output": {"formats": tuple(format) if format else None}}
    chosen_by_hand = recipe is not None or any(given is not None for given in (preset, *columns.values(), format))
    with shown_progress() as progress:
        found = run(
            train,
            against,
            out,
            recipe=recipe_of(recipe, choices) if chosen_by_hand else None,
            overrides=overrides,
            deduplicate=deduplicate,
            against_options=SourceOptions(image_column=against_image_column, key_column=against_key_column),
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(_as_json(found), indent=1, ensure_ascii=False))
    else:
        _show(found)


def _as_json(found: Decontaminated) -> dict[str, Any]:
    summary = None if found.result is None else found.result.summary["samples"]
    return {
        "samples": found.samples,
        "contaminated": found.counts,
        "matches": found.matches.to_pylist(),
        "output": summary,
    }


def _show(found: Decontaminated) -> None:
    for name, count in found.counts.items():
        typer.echo(f"{count} of {found.samples} samples stand in {printable(name)}")
    rows = found.matches.select(["train_key", "set", "key", "tier"]).slice(0, _SHOWN).to_pylist()
    for row in rows:
        typer.echo(f"  {printable(row['train_key'])}  {printable(row['set'])} {printable(row['key'])}: {row['tier']}")
    if found.matches.num_rows > _SHOWN:
        typer.echo(f"  … and {found.matches.num_rows - _SHOWN} more; --json shows all")
    if found.result is not None:
        kept = found.result.summary["samples"]
        typer.echo(f"{kept['kept']} kept, {kept['dropped']} dropped, {kept['quarantined']} quarantined")
        typer.echo(f"report: {Path(found.result.out, 'report.html')}")
