"""The command ``dedupkit audit``: it builds options, calls one public function and prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from dedupkit.commands.completing import ATTACKS, some_of
from dedupkit.errors import UsageError


def audit(
    asked: Annotated[
        list[str],
        typer.Argument(
            metavar="[ATTACK] MODEL",
            help="A folder of save_pretrained, a folder of images the model drew, or module:function; before it, "
            "extraction, inpainting, membership or exposure for that attack alone.",
        ),
    ],
    data: Annotated[str, typer.Option(help="What the model was trained on: an output of clean, or any source.")],
    canaries: Annotated[str | None, typer.Option(metavar="FILE", help="The private manifest of canaries.")] = None,
    controls: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Images like those, that the model never saw.")
    ] = None,
    out: Annotated[str, typer.Option(help="Folder for audit.html and audit.json.")] = "audit",
    only: Annotated[
        str | None,
        typer.Option(metavar="ATTACK,ATTACK", help="Which attacks; all of them.", autocompletion=some_of(ATTACKS)),
    ] = None,
    captions: Annotated[int | None, typer.Option(help="Captions asked for their image.")] = None,
    images: Annotated[int | None, typer.Option(help="Images drawn of each caption.")] = None,
    unconditional: Annotated[int | None, typer.Option(help="Images drawn where no captions are asked.")] = None,
    samples: Annotated[int | None, typer.Option(help="Images, and controls, that membership is asked of.")] = None,
    inpainted: Annotated[int | None, typer.Option(help="The same for inpainting.")] = None,
    tries: Annotated[int | None, typer.Option(help="Times that each is filled in.")] = None,
    generations: Annotated[int | None, typer.Option(help="Draw no more images than this in all.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Begin nothing new after this time.")] = None,
    device: Annotated[str, typer.Option(help="Where the model runs, as torch names it.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    batch: Annotated[int, typer.Option(help="Images in the model at once.")] = 8,
    steps: Annotated[int | None, typer.Option(help="Steps of drawing and filling in.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Weight of the caption when drawing.")] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn by chance.")] = 0,
    show_canaries: Annotated[
        bool, typer.Option("--show-canaries", help="Let the report tell canaries one by one, and show them.")
    ] = False,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="How the set is read.")] = None,
    passphrase_file: Annotated[Path | None, typer.Option(help="File with the manifest's passphrase.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; as many as cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print audit.json.")] = False,
) -> None:
    """Measure what a trained MODEL gives away: the three attacks of Carlini et al. 2023, and planted canaries."""
    from dedupkit.audit.album import Budget
    from dedupkit.audit.extraction_attack import ExtractionOptions
    from dedupkit.audit.inpainting_attack import InpaintingOptions
    from dedupkit.audit.run import AuditOptions
    from dedupkit.audit.run import audit as run
    from dedupkit.canaries.commands import passphrase
    from dedupkit.commands.running import shown_progress
    from dedupkit.terminal import printable

    attacks, model = _what(asked, only)
    drawn = {"captions": captions, "images": images, "generations": unconditional, "seed": seed}
    best = None if tries is None else min(tries, InpaintingOptions().best)
    filled = {"tries": tries, "best": best, "seed": seed}
    counts = {"samples": samples, "inpainted": inpainted, "seed": seed}
    options = AuditOptions(
        attacks=attacks,
        extraction=ExtractionOptions(**_given(drawn)),
        inpainting=InpaintingOptions(**_given(filled)),
        show_canaries=show_canaries,
        **_given(counts),
    )
    budget = Budget(generations, None if minutes is None else 60 * minutes)
    opening: dict[str, Any] = {"device": device, "dtype": dtype, "batch": batch, "steps": steps, "guidance": guidance}
    with shown_progress() as progress:
        found = run(
            model, data=data, out=out, canaries=canaries, passphrase=passphrase(passphrase_file), controls=controls,
            options=options, budget=budget, recipe=recipe, workers=workers, progress=progress, **opening,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
        return
    for name, answer in found.answers.items():
        typer.echo(f"{name}: {printable(answer)}")
    for name, why in found.skipped.items():
        typer.echo(f"{name}: not asked, {printable(why)}")
    typer.echo(f"report: {Path(out, 'audit.html')}")


def _what(asked: list[str], only: str | None) -> tuple[tuple[str, ...], str]:
    """Which attacks, on which model."""
    if len(asked) == 2 and asked[0] in ATTACKS and only is None:
        return (asked[0],), asked[1]
    if len(asked) != 1:
        names = ", ".join(ATTACKS)
        raise UsageError(f"one MODEL is asked at a time, got {' '.join(asked)}; before it may stand one of {names}")
    named = None if only is None else tuple(each.strip() for each in only.split(",") if each.strip())
    return named or ATTACKS, asked[0]


def _given(values: dict[str, int | None]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
