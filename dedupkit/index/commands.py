"""The commands below ``dedupkit index``: each builds options, calls one public function and prints."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer evaluates annotations of this module
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from dedupkit.commands.completing import among, recipe_names
from dedupkit.commands.options import ImageColumn, KeyColumn, LocalWorkers, Preset, Source
from dedupkit.terminal import printable

if TYPE_CHECKING:
    from dedupkit.index.adding import Added
    from dedupkit.index.asking import Twin
    from dedupkit.recipe import SourceOptions

app = typer.Typer(
    name="index",
    help="Keep an index of a set: new samples are compared with it, single pictures are asked for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_Index = Annotated[str, typer.Argument(metavar="INDEX", help="Folder of the index.")]
_Name = Annotated[str | None, typer.Option(help="What SOURCE is called in answers; left out, its path.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def build(
    index: _Index,
    source: Source,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe", metavar="FILE|NAME", help="How images are compared, for good.", autocompletion=recipe_names
        ),
    ] = None,
    preset: Preset = None,
    expected_samples: Annotated[
        int, typer.Option(help="How many samples the index will hold; the radius of hashes is chosen for that many.")
    ] = 1_000_000,
    views: Annotated[
        str,
        typer.Option(
            help="keep or none: what geometry needs of each picture, 30 KB; none leaves doubts.",
            autocompletion=among(("keep", "none")),
        ),
    ] = "keep",
    name: _Name = None,
    workers: LocalWorkers = None,
    image_column: ImageColumn = None,
    key_column: KeyColumn = None,
    as_json: _Json = False,
) -> None:
    """Make an index of SOURCE."""
    from dedupkit.commands.running import recipe_of, shown_progress
    from dedupkit.index.kept import Index

    with shown_progress() as progress:
        columns = {"image_column": image_column, "key_column": key_column}
        chosen = recipe_of(recipe, {"preset": preset, "source": columns})
        kind = cast("Literal['keep', 'none']", views)
        made = Index.build(
            index, source, recipe=chosen, expected_samples=expected_samples, views=kind, name=name, workers=workers,
            progress=progress,
        )  # fmt: skip
    _show_info(made.info(), as_json)


@app.command()
def add(
    index: _Index,
    source: Source,
    name: _Name = None,
    workers: LocalWorkers = None,
    image_column: ImageColumn = None,
    key_column: KeyColumn = None,
    as_json: _Json = False,
) -> None:
    """Compare SOURCE with the index and with itself, and put it in; what was added before is passed over."""
    from dedupkit.commands.running import shown_progress
    from dedupkit.index.kept import Index

    with shown_progress() as progress:
        options = _options(image_column, key_column)
        added = Index.open(index, workers=workers).add(source, name=name, options=options, progress=progress)
    _show_added(added, as_json)


@app.command()
def query(
    index: _Index,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image file.")],
    verify: Annotated[bool, typer.Option(help="Ask geometry about pairs in doubt.")] = True,
    as_json: _Json = False,
) -> None:
    """Show the samples of INDEX that show the same picture as IMAGE."""
    from dedupkit.index.kept import Index

    twins = Index.open(index).query(image, verify=verify)
    if as_json:
        _print_json([twin.to_json() for twin in twins])
        return
    typer.echo(f"{len(twins)} samples show this picture")
    for twin in twins:
        typer.echo(f"  {_line(twin)}")


@app.command()
def remove(
    index: _Index,
    key: Annotated[list[str] | None, typer.Option(help="A sample's key; may be repeated.")] = None,
    source: Annotated[str | None, typer.Option(help="Only samples of this source.")] = None,
    like: Annotated[
        list[str] | None, typer.Option(metavar="IMAGE", help="An image whose twins all go; may be repeated.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Take samples out of the index."""
    from dedupkit.errors import UsageError
    from dedupkit.index.kept import Index

    if not key and not like:
        raise UsageError("nothing is named to be removed; give --key or --like")
    gone = Index.open(index).remove(keys=key or (), source=source, like=like or ()).to_pylist()
    if as_json:
        _print_json(gone)
        return
    typer.echo(f"{len(gone)} samples removed")
    for row in gone:
        typer.echo(f"  {printable(row['key'])}  {printable(row['source'])}")


@app.command()
def compact(index: _Index) -> None:
    """Give back the room of what was removed."""
    from dedupkit.index.kept import Index

    opened = Index.open(index)
    opened.compact()
    typer.echo(f"{len(opened)} samples in {opened.info()['files']} files")


@app.command()
def info(index: _Index, as_json: _Json = False) -> None:
    """Show what the index is and holds."""
    from dedupkit.index.kept import Index

    _show_info(Index.open(index).info(), as_json)


def _options(image_column: str | None, key_column: str | None) -> SourceOptions:
    from dedupkit.recipe import SourceOptions

    return SourceOptions(image_column=image_column, key_column=key_column)


def _show_added(added: Added, as_json: bool) -> None:
    if as_json:
        _print_json({name: getattr(added, name) for name in added.__slots__})
        return
    typer.echo(f"{added.samples} samples added: {added.pairs} pairs, in {added.groups} duplicate groups")
    if added.faults:
        typer.echo(f"{len(added.faults)} samples have no usable image")
    if added.known_shards or added.known_samples:
        typer.echo(f"passed over: {len(added.known_shards)} shards, {added.known_samples} samples that were in it")


def _show_info(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(told)
        return
    typer.echo(f"{told['samples']} samples, {told['faulty']} without a usable image, {told['removed']} removed")
    typer.echo(f"{told['groups']} duplicate groups, {told['pairs']} pairs, {told['look_alikes']} look-alikes")
    typer.echo(
        f"preset {told['preset']}, descriptor {told['descriptor']}, hashes within {told['max_hamming_bits']} bits, for "
        f"{told['expected_samples']} samples; views: {told['views']}"
    )
    if told["lists_made_at"]:
        recall = "" if told["list_recall"] is None else f"; they find {told['list_recall']:.1%} of near descriptors"
        typer.echo(f"lists made at {told['lists_made_at']} samples{recall}")
    sizes = ", ".join(f"{kind} {size / 1e6:.1f} MB" for kind, size in told["bytes"].items())
    typer.echo(f"{told['files']} files: {sizes}")


def _line(twin: Twin) -> str:
    from dedupkit.notebook.numbers import words

    return f"{printable(twin.key)}  {printable(twin.source)}: {words(twin)}"


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
