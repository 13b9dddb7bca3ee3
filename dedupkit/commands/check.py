"""The command ``check``, for CI and pre-commit: exit code 0 within the limits, 1 not, 2 wrong usage."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer evaluates the annotations of commands
from typing import TYPE_CHECKING, Annotated

import typer

from dedupkit.commands.options import (
    CaptionColumn,
    Engine,
    Gpus,
    ImageColumn,
    KeyColumn,
    Memory,
    Overrides,
    Preset,
    RayAddress,
    RecipeFile,
    Source,
    Workers,
)
from dedupkit.commands.running import check_writable, print_json, recipe_of, shown_progress
from dedupkit.errors import DedupkitError
from dedupkit.terminal import printable

if TYPE_CHECKING:
    from dedupkit.checking.result import Check

_SHOWN = 10


def check(
    source: Source,
    max_duplicates: Annotated[
        str | None, typer.Option(metavar="N|N%", help="How many samples may be copies of others.")
    ] = None,
    no_leak: Annotated[
        list[str] | None,
        typer.Option(metavar="SET", help="A set, or an index of one, that must not stand in SOURCE; may be repeated."),
    ] = None,
    max_quarantined: Annotated[
        str | None, typer.Option(metavar="N|N%", help="How many samples may be broken or fail a check of hygiene.")
    ] = None,
    max_look_alikes: Annotated[
        str | None, typer.Option(metavar="N|N%", help="How many samples may look like another and be no copy.")
    ] = None,
    require_captions: Annotated[
        str | None, typer.Option(metavar="N%", help="How many samples must have a caption.")
    ] = None,
    recipe: RecipeFile = None,
    preset: Preset = None,
    overrides: Overrides = None,
    engine: Engine = "local",
    workers: Workers = None,
    memory: Memory = None,
    ray_address: RayAddress = None,
    gpus_a_task: Gpus = 0,
    image_column: ImageColumn = None,
    caption_column: CaptionColumn = None,
    key_column: KeyColumn = None,
    no_leak_image_column: Annotated[str | None, typer.Option(help="Column of the sets that holds the images.")] = None,
    no_leak_key_column: Annotated[str | None, typer.Option(help="Column of the sets that names the samples.")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML here, a test a limit.")] = None,
    sarif: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write SARIF 2.1.0 here, a result a sample.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Hold SOURCE against limits and change nothing; exit code 1 if one is exceeded. Without limits: no copies,
    nothing quarantined."""
    from dedupkit.checking.junit import junit_of, require_junitparser
    from dedupkit.checking.run import check as run
    from dedupkit.checking.sarif import sarif_of
    from dedupkit.engines.opening import open_engine
    from dedupkit.recipe import SourceOptions

    for file in filter(None, (junit, sarif)):
        check_writable(file)
    if junit is not None:
        require_junitparser()
    columns = {"image_column": image_column, "caption_column": caption_column, "key_column": key_column}
    chosen_by_hand = recipe is not None or any(given is not None for given in (preset, *columns.values()))
    where = open_engine(engine, workers=workers, memory=memory, address=ray_address, gpus_a_task=gpus_a_task)
    try:
        with shown_progress() as progress, where as workforce:
            found = run(
                source,
                max_duplicates=max_duplicates,
                no_leak=no_leak or (),
                max_quarantined=max_quarantined,
                max_look_alikes=max_look_alikes,
                require_captions=require_captions,
                recipe=recipe_of(recipe, {"preset": preset, "source": columns}) if chosen_by_hand else None,
                overrides=overrides,
                no_leak_options=SourceOptions(image_column=no_leak_image_column, key_column=no_leak_key_column),
                engine=workforce,
                progress=progress,
            )
    except DedupkitError as error:
        if as_json:  # a run that failed has exit code 1 too
            print_json({"passed": None, "error": str(error)})
        raise
    if junit is not None:
        junit.write_bytes(junit_of(found))
    if sarif is not None:
        sarif.write_text(json.dumps(sarif_of(found), indent=1) + "\n", encoding="utf-8")
    print_json(found.to_json()) if as_json else _show(found)
    if not found.passed:
        raise typer.Exit(1)


def _show(found: Check) -> None:
    """A short table, and the first samples against each limit that does not hold."""
    typer.echo(f"{printable(found.source)}: {found.samples} samples")
    names = {id(each): printable(each.name) for each in found.outcomes}
    wide = max(map(len, names.values()))
    words = max(len(each.limit) for each in found.outcomes)
    for each in found.outcomes:
        counted = f"{each.found} ({100 * each.share:.3g}%)"
        verdict = "ok" if each.passed else "EXCEEDED" if each.rule != "captions" else "NOT REACHED"
        typer.echo(f"  {names[id(each)]:<{wide}}  {each.limit:<{words}}  {counted:>16}  {verdict}")
    for each in found.outcomes:
        if not each.passed:
            against = list(found.against(each))
            for finding in against[:_SHOWN]:
                typer.echo(f"{printable(finding.key)}: {printable(finding.message)}")
            if len(against) > _SHOWN:
                typer.echo(f"  … and {len(against) - _SHOWN} more; --json, --junit and --sarif name all")
    typer.echo("check passed" if found.passed else "check failed: a limit is exceeded")
