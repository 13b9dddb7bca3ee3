"""The commands below ``dedupkit canaries``: each builds options, calls one public function and prints."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dedupkit.commands.completing import CANARY_KINDS, IMAGE_FORMATS, among, some_of
from dedupkit.errors import RunError, UsageError

if TYPE_CHECKING:
    from dedupkit.canaries.manifest import Manifest

app = typer.Typer(
    name="canaries",
    help="Plant pictures that no natural set holds, to measure later what a model has memorised.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_Manifest = Annotated[str, typer.Argument(metavar="MANIFEST", help="The private manifest; readable by you alone.")]
_PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="File with the manifest's passphrase; else DEDUPKIT_PASSPHRASE in the environment."),
]
_Output = Annotated[
    str, typer.Argument(metavar="OUTPUT", help="An output folder of `dedupkit clean`, or any source of images.")
]


@app.command()
def make(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The set that canaries shall look like.")],
    manifest: _Manifest,
    planted: Annotated[int | None, typer.Option(help="How many are planted.")] = None,
    controls: Annotated[int | None, typer.Option(help="How many are held out, for comparison.")] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            metavar="KIND,KIND", help="texture, blob, pair, scene, natural.", autocompletion=some_of(CANARY_KINDS)
        ),
    ] = None,
    repetitions: Annotated[
        str | None, typer.Option(metavar="N,N", help="How often they stand in the set, in turns.")
    ] = None,
    assignment: Annotated[
        str | None,
        typer.Option(
            help="exact or independent, see docs/canaries.md.", autocompletion=among(("exact", "independent"))
        ),
    ] = None,
    held_out: Annotated[
        str | None, typer.Option(help="Your own images that are in no set, for the kinds scene and natural.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="Recipe of the run that will plant them.")] = None,
    passphrase_file: _PassphraseFile = None,
) -> None:
    """Draw canaries that look like SOURCE and write MANIFEST; a line to publish is printed."""
    from dedupkit.canaries.making import make as run
    from dedupkit.recipe import Recipe

    chosen = Recipe.load(recipe) if recipe else Recipe()
    given = {
        "planted": planted,
        "controls": controls,
        "kinds": _named(kinds),
        "repetitions": None if repetitions is None else _numbers(repetitions, "repetitions"),
        "assignment": assignment,
    }
    values = chosen.canaries.model_dump(exclude_unset=True) | {
        name: value for name, value in given.items() if value is not None
    }
    options = Recipe.of({"canaries": values}, name="options").canaries
    made = run(source, manifest, options, held_out=held_out, recipe=chosen, passphrase=passphrase(passphrase_file))
    typer.echo(f"{len(made.manifest.planted)} canaries to plant, {len(made.manifest.controls)} controls: {manifest}")
    for kind, found in made.detection.items():
        typer.echo(f"  {kind}: AUC of a simple test {found.auc:.2f}, standard error {found.standard_error:.2f}")
    typer.echo(f"commitment: {made.commitment}")


@app.command(name="list")
def list_canaries(
    manifest: _Manifest,
    captions: Annotated[bool, typer.Option("--captions", help="Show captions too.")] = False,
    passphrase_file: _PassphraseFile = None,
) -> None:
    """Show what MANIFEST holds."""
    from dedupkit.canaries.commitment import commitment_of

    held = _read(manifest, passphrase_file)
    for canary in held.canaries:
        fate = f"planted {canary.repetitions} times" if canary.planted else f"control for {canary.repetitions} times"
        caption = f"  {canary.caption}" if captions else ""
        shown = f"{canary.kind:<8} {canary.format:<5} {canary.width}x{canary.height}"
        typer.echo(f"{canary.number:>6}  {shown}  {fate}{caption}")
    typer.echo(f"commitment: {commitment_of(held)}")


@app.command()
def verify(
    manifest: _Manifest,
    output: _Output,
    by_picture: Annotated[
        bool, typer.Option("--by-picture", help="Compare every picture, where images and captions were changed.")
    ] = False,
    passphrase_file: _PassphraseFile = None,
) -> None:
    """Look whether all canaries are in OUTPUT as often as they should be, unchanged; exit code 1 if not."""
    from dedupkit.canaries.checking import verify as run

    result = run(_read(manifest, passphrase_file), output, by_picture=by_picture)
    planted = [each for each in result.found if each.planted]
    whole = sum(each.unchanged == each.wanted for each in planted)
    typer.echo(f"{result.samples} samples: {whole} of {len(planted)} canaries are there as planted, byte for byte")
    for each in result.found:
        if each.unchanged != each.wanted or not each.right:
            typer.echo(
                f"  canary {each.number}: {each.wanted} wanted, {each.unchanged} unchanged, "
                f"{each.recaptioned} with another caption, {each.changed} with a changed image"
            )
    if not result.right:
        raise RunError("not every canary stands there as often as it should; run `dedupkit clean` with the manifest")


@app.command()
def strip(
    manifest: _Manifest,
    output: _Output,
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder for the copy without canaries.")],
    format: Annotated[
        list[str] | None,
        typer.Option(help="arrow, parquet, webdataset or mds; may be repeated.", autocompletion=among(IMAGE_FORMATS)),
    ] = None,
    passphrase_file: _PassphraseFile = None,
) -> None:
    """Write a copy of OUTPUT without the canaries."""
    from dedupkit.canaries.checking import strip as run

    result = run(_read(manifest, passphrase_file), output, out, formats=format or ())
    typer.echo(f"{result.summary['samples']['kept']} samples without canaries: {out}")


@app.command()
def prove(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="MANIFEST to write a proof of; with --check, the proof to check.")
    ],
    canary: Annotated[list[int] | None, typer.Option(help="Number of a canary to disclose; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the proof is written.")] = None,
    check: Annotated[
        str | None, typer.Option(metavar="COMMITMENT", help="Check FILE, a proof, against what was published.")
    ] = None,
    passphrase_file: _PassphraseFile = None,
) -> None:
    """Show that canaries were fixed when their commitment was published: one, some, or all."""
    from dedupkit.canaries.commitment import check_proof
    from dedupkit.canaries.commitment import prove as run

    if check is not None:
        shown = check_proof(_json(file), check)
        typer.echo(f"{len(shown)} canaries stand under the commitment: {', '.join(str(each.number) for each in shown)}")
        return
    if out is None:
        raise UsageError("a proof discloses canaries, so it is written only where you say; name a file with --out")
    proof = run(_read(file, passphrase_file), canary or None)
    out.write_text(json.dumps(proof, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{len(proof['canaries'])} canaries are disclosed in {out}")


def _read(path: str, passphrase_file: Path | None) -> Manifest:
    from dedupkit.canaries.manifest import read_manifest

    return read_manifest(path, passphrase=passphrase(passphrase_file))


def passphrase(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get("DEDUPKIT_PASSPHRASE")
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read; name a text file with the passphrase") from error


def _named(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str, name: str) -> tuple[int, ...]:
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError:
        raise UsageError(f"{name} must be numbers with commas between, such as 1,2,4, got {text!r}") from None


def _json(file: str) -> Any:
    try:
        return json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # the last of brackets in brackets in brackets
        raise UsageError(f"{file} cannot be read as JSON; name the proof that was given to you") from error
