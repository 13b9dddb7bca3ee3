"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dedupkit.commands.completing import ENGINES, PRESETS, among, recipe_names

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A folder of images, tars or Parquet, a glob, a saved dataset, or any fsspec URL."
    ),
]
RecipeFile = Annotated[
    Path | None,
    typer.Option(
        "--recipe",
        metavar="FILE|NAME",
        help="TOML file with choices of the run, or a recipe of the package.",
        autocompletion=recipe_names,
    ),
]
Overrides = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Marks made by hand in the report of an earlier run; they win over every stage."),
]
Preset = Annotated[str | None, typer.Option(help="fast: digests and perceptual hashes.", autocompletion=among(PRESETS))]
Engine = Annotated[
    str, typer.Option(help="Where tasks run: local, or ray for a cluster.", autocompletion=among(ENGINES))
]
Workers = Annotated[
    int | None,
    typer.Option(help="Worker processes; left out, one for every four cores. With ray: most tasks at once."),
]
LocalWorkers = Annotated[int | None, typer.Option(help="Worker processes; left out, one for every four cores.")]
Memory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="What the run may take, such as 4GiB; left out, what is quickest.")
]
RayAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The Ray cluster; left out, the one this machine belongs to.")
]
Gpus = Annotated[float, typer.Option("--gpus-a-task", help="GPUs of each task on Ray; 0.25 lets four share one.")]
ImageColumn = Annotated[str | None, typer.Option(help="Column of a table that holds the images.")]
CaptionColumn = Annotated[str | None, typer.Option(help="Column that holds the captions.")]
KeyColumn = Annotated[str | None, typer.Option(help="Column that names the samples.")]
UrlColumn = Annotated[str | None, typer.Option(help="Column of a list that holds the images' URLs.")]
EmbeddingColumn = Annotated[
    str | None, typer.Option(help="Column that holds an embedding of each image; no image is decoded then.")
]
MinCosine = Annotated[float | None, typer.Option(help="Least cosine of descriptors of a pair.")]
Radius = Annotated[int | None, typer.Option(help="Largest Hamming distance of a pair, in bits of the hash.")]
