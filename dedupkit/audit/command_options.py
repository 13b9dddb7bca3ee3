"""Options of ``dedupkit audit``, as typer reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dedupkit.commands.completing import ATTACKS, some_of

Asked = Annotated[
    list[str],
    typer.Argument(
        metavar="[ATTACK] MODEL",
        help="A folder of save_pretrained, a folder of images the model drew, or module:function; before it, "
        "extraction, inpainting, membership or exposure for that attack alone.",
    ),
]
Data = Annotated[str, typer.Option(help="What the model was trained on: an output of clean, or any source.")]
Manifest = Annotated[str | None, typer.Option(metavar="FILE", help="The private manifest of canaries.")]
Controls = Annotated[str | None, typer.Option(metavar="SOURCE", help="Images like those, that the model never saw.")]
Out = Annotated[str, typer.Option(help="Folder for audit.html and audit.json.")]
Only = Annotated[
    str | None,
    typer.Option(metavar="ATTACK,ATTACK", help="Which attacks; all of them.", autocompletion=some_of(ATTACKS)),
]
Captions = Annotated[int | None, typer.Option(help="Captions asked for their image.")]
ImagesEach = Annotated[int | None, typer.Option(help="Images drawn of each caption.")]
Unconditional = Annotated[int | None, typer.Option(help="Images drawn where no captions are asked.")]
SamplesAsked = Annotated[int | None, typer.Option(help="Images, and controls, that membership is asked of.")]
Inpainted = Annotated[int | None, typer.Option(help="The same for inpainting.")]
Tries = Annotated[int | None, typer.Option(help="Times that each is filled in.")]
MostGenerations = Annotated[int | None, typer.Option(help="Draw no more images than this in all.")]
Minutes = Annotated[float | None, typer.Option(help="Begin nothing new after this time.")]
Device = Annotated[str, typer.Option(help="Where the model runs, as torch names it.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")]
Batch = Annotated[int, typer.Option(help="Images in the model at once.")]
Steps = Annotated[int | None, typer.Option(help="Steps of drawing and filling in.")]
Guidance = Annotated[float | None, typer.Option(help="Weight of the caption when drawing.")]
TrustPickles = Annotated[
    bool,
    typer.Option(
        "--trust-pickles",
        help="Read weights that are pickles (.bin): whoever made them can run any program as you. "
        "Left out, safetensors alone are read.",
    ),
]
Seed = Annotated[int, typer.Option(help="Of all that is drawn by chance.")]
ShowCanaries = Annotated[
    bool, typer.Option("--show-canaries", help="Let the report tell canaries one by one, and show them.")
]
PassphraseFile = Annotated[Path | None, typer.Option(help="File with the manifest's passphrase.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print audit.json.")]
