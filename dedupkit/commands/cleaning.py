"""The commands ``clean`` and ``remove``: each builds a recipe, calls one public function and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dedupkit.commands.completing import BLOCKS, FORMATS, POLICIES, among
from dedupkit.commands.options import (
    CaptionColumn,
    EmbeddingColumn,
    Engine,
    Gpus,
    ImageColumn,
    KeyColumn,
    Memory,
    MinCosine,
    Overrides,
    Preset,
    Radius,
    RayAddress,
    RecipeFile,
    Source,
    UrlColumn,
    Workers,
)
from dedupkit.commands.running import check_many, print_json, recipe_of, shown_progress
from dedupkit.errors import UsageError, public
from dedupkit.stores import is_remote
from dedupkit.terminal import printable


def clean(
    source: Source,
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder or URL for the cleaned dataset, the decisions and the report.")
    ],
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
    url_column: UrlColumn = None,
    embedding_column: EmbeddingColumn = None,
    max_hamming_bits: Radius = None,
    min_cosine: MinCosine = None,
    keep: Annotated[
        str | None, typer.Option(help="Which copy stays: best, first or last.", autocompletion=among(POLICIES))
    ] = None,
    max_copies: Annotated[
        str | None, typer.Option(metavar="N|all", help="How many copies of a picture stay; all of them get a weight.")
    ] = None,
    block: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=FILE",
            autocompletion=among(BLOCKS),
            help="What must not stay: KIND is urls, domains, keys, sha256, md5 or pdq, FILE has one a line; "
            "or images=PATH, of an image, or of a folder or tar of images, of which no copies stay.",
        ),
    ] = None,
    canaries: Annotated[
        int | None, typer.Option(metavar="N", help="Plant N canaries and hold out as many controls.")
    ] = None,
    manifest: Annotated[
        str | None,
        typer.Option(help="Their private manifest, outside of OUT; one that exists is used again, and protects them."),
    ] = None,
    format: Annotated[
        list[str] | None,
        typer.Option(help="arrow, parquet, webdataset, mds or list; may be repeated.", autocompletion=among(FORMATS)),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start again in OUT.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Remove duplicates and broken samples; write a cleaned dataset with a reason for every sample that is gone."""
    from dedupkit.cleaning import clean as run
    from dedupkit.engines.opening import open_engine

    where = open_engine(engine, workers=workers, memory=memory, address=ray_address, gpus_a_task=gpus_a_task)
    check_many(source)
    with shown_progress() as progress, where as workforce:
        chosen = recipe_of(
            recipe,
            {
                "preset": preset,
                "source": {
                    "image_column": image_column,
                    "caption_column": caption_column,
                    "key_column": key_column,
                    "url_column": url_column,
                    "embedding_column": embedding_column,
                },
                "matching": {"max_hamming_bits": max_hamming_bits, "min_cosine": min_cosine},
                "keep": {"policy": keep, "max_copies": _number_or_word(max_copies)},
                "blocklist": _blocklist(block or []),
                "canaries": {"planted": canaries, "controls": canaries, "manifest": manifest},
                "output": {"formats": tuple(format) if format else None},
            },
        )
        result = run(
            source, out, recipe=chosen, overrides=overrides, engine=workforce, overwrite=overwrite, progress=progress
        )
    if as_json:
        print_json(result.summary)
    else:
        _print_summary(result.summary, out)


def remove(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder or URL that dedupkit clean wrote to.")],
    like: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="A picture to take down, in any version, or a folder or tar of pictures."),
    ] = None,
    url: Annotated[list[str] | None, typer.Option(help="A URL among a sample's fields.")] = None,
    key: Annotated[list[str] | None, typer.Option(help="A sample's key.")] = None,
    sha256: Annotated[list[str] | None, typer.Option(help="Digest of an image as the source had it.")] = None,
    engine: Engine = "local",
    workers: Workers = None,
    memory: Memory = None,
    ray_address: RayAddress = None,
    gpus_a_task: Gpus = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the new decisions as JSON.")] = False,
) -> None:
    """Take pictures and all their copies out of a cleaned set, and nothing else; the options may be repeated."""
    from dedupkit.engines.opening import open_engine
    from dedupkit.removing import remove as run

    where = open_engine(engine, workers=workers, memory=memory, address=ray_address, gpus_a_task=gpus_a_task)
    with shown_progress() as progress, where as workforce:
        named = {"urls": url or (), "keys": key or (), "sha256": sha256 or ()}
        removed = run(out, like or (), **named, engine=workforce, progress=progress)
    rows = removed.decisions.select(["key", "tier", "detail"]).to_pylist()
    if as_json:
        print_json(rows)
        return
    typer.echo(f"{len(removed.keys)} samples removed, {len(rows)} with the copies that had been dropped before")
    for row in rows:
        typer.echo(f"  {printable(row['key'])}: {printable(row['detail'])}")


def _blocklist(given: list[str]) -> dict[str, tuple[str, ...]]:
    """The recipe's blocklist out of ``KIND=FILE``; what kinds there are, the recipe knows."""
    found: dict[str, tuple[str, ...]] = {}
    for each in given:
        kind, _, file = each.partition("=")
        if not file:
            raise UsageError(f"block must be KIND=FILE, such as domains=domains.txt, got {each!r}")
        found[kind] = (*found.get(kind, ()), file)
    return found


def _print_summary(summary: dict[str, Any], out: str) -> None:
    samples = summary["samples"]
    typer.echo(
        f"{samples['in']} samples in: {samples['kept']} kept, {samples['dropped']} dropped, "
        f"{samples['quarantined']} quarantined"
    )
    for reason, count in summary["reasons"].items():
        if count:
            typer.echo(f"  {count:>9}  {reason.replace('_', ' ')}")
    typer.echo(
        f"report: {public(out).rstrip('/')}/report.html" if is_remote(out) else f"report: {Path(out, 'report.html')}"
    )


def _number_or_word(value: str | None) -> int | str | None:
    return int(value) if value is not None and value.lstrip("-").isdecimal() else value
