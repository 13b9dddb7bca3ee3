"""The command ``dedupkit audit``: it builds options, calls one public function and prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from dedupkit.audit.command_options import (
    AsJson,
    Asked,
    Batch,
    Captions,
    Controls,
    Data,
    Device,
    Dtype,
    Guidance,
    ImagesEach,
    Inpainted,
    Manifest,
    Minutes,
    MostGenerations,
    Only,
    Out,
    PassphraseFile,
    SamplesAsked,
    Seed,
    ShowCanaries,
    Steps,
    Tries,
    TrustPickles,
    Unconditional,
)
from dedupkit.commands.options import LocalWorkers, RecipeFile
from dedupkit.errors import UsageError
from dedupkit.plugins import ATTACKS


def audit(
    asked: Asked,
    data: Data,
    canaries: Manifest = None,
    controls: Controls = None,
    out: Out = "audit",
    only: Only = None,
    captions: Captions = None,
    images: ImagesEach = None,
    unconditional: Unconditional = None,
    samples: SamplesAsked = None,
    inpainted: Inpainted = None,
    tries: Tries = None,
    generations: MostGenerations = None,
    minutes: Minutes = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: Batch = 8,
    steps: Steps = None,
    guidance: Guidance = None,
    trust_pickles: TrustPickles = False,
    seed: Seed = 0,
    show_canaries: ShowCanaries = False,
    recipe: RecipeFile = None,
    passphrase_file: PassphraseFile = None,
    workers: LocalWorkers = None,
    as_json: AsJson = False,
) -> None:
    """Measure what a trained MODEL gives away: the three attacks of Carlini et al. 2023, and planted canaries."""
    from dedupkit.audit.album import Budget
    from dedupkit.audit.extraction_attack import ExtractionOptions
    from dedupkit.audit.inpainting_attack import InpaintingOptions
    from dedupkit.audit.options import AuditOptions
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
    opening["trust_pickles"] = trust_pickles
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
        names = ", ".join(ATTACKS.names())
        raise UsageError(f"one MODEL is asked at a time, got {' '.join(asked)}; before it may stand one of {names}")
    named = None if only is None else tuple(each.strip() for each in only.split(",") if each.strip())
    return named or tuple(ATTACKS.own), asked[0]


def _given(values: dict[str, int | None]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
