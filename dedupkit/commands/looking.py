"""The commands ``find`` and ``calibrate``, which change nothing."""

from __future__ import annotations

import json
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Annotated, Any

import typer

from dedupkit.commands.completing import EDITS, some_of
from dedupkit.commands.options import (
    CaptionColumn,
    EmbeddingColumn,
    Engine,
    Gpus,
    ImageColumn,
    KeyColumn,
    Memory,
    MinCosine,
    Preset,
    Radius,
    RayAddress,
    RecipeFile,
    Source,
    UrlColumn,
    Workers,
)
from dedupkit.commands.running import check_many, check_writable, print_json, recipe_of, shown_progress
from dedupkit.terminal import printable


def find(
    source: Source,
    recipe: RecipeFile = None,
    preset: Preset = None,
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
    json_file: Annotated[
        str | None, typer.Option("--json", help="Write groups, number of samples and faults here; - for stdout.")
    ] = None,
) -> None:
    """Find duplicates and change nothing."""
    sys.meta_path.insert(0, _NoPandas())
    from dedupkit.engines.opening import open_engine
    from dedupkit.found import find_duplicates

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
            },
        )
        if json_file not in (None, "-"):
            check_writable(Path(str(json_file)))
        found = find_duplicates(source, recipe=chosen, engine=workforce, progress=progress)
    if json_file == "-":
        print_json(found.to_json())
        return
    if json_file is not None:
        Path(json_file).write_text(json.dumps(found.to_json(), ensure_ascii=False) + "\n", encoding="utf-8")
    copies = sum(map(len, found.groups)) - len(found.groups)
    typer.echo(f"{found.samples} samples: {len(found.groups)} duplicate groups, {copies} copies that could go")
    if found.faults:
        typer.echo(f"{len(found.faults)} samples have no usable image")
    if json_file is None:
        for group in found.groups[:20]:
            typer.echo("  " + "  ".join(printable(key) for key in group))
        if len(found.groups) > 20:
            typer.echo(f"  … and {len(found.groups) - 20} more groups; --json FILE writes all")


def calibrate(
    source: Source,
    recipe: RecipeFile = None,
    preset: Preset = None,
    engine: Engine = "local",
    workers: Workers = None,
    memory: Memory = None,
    ray_address: RayAddress = None,
    gpus_a_task: Gpus = 0,
    image_column: ImageColumn = None,
    key_column: KeyColumn = None,
    samples: Annotated[int, typer.Option(help="How many pictures to plant copies of.")] = 200,
    edits: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME", help="Which edits to plant; left out, all there are.", autocompletion=some_of(EDITS)
        ),
    ] = None,
    precision: Annotated[
        float, typer.Option(help="Least share of right pairs at the limits that are proposed.")
    ] = 0.999,
    seed: Annotated[int, typer.Option(help="Which pictures are drawn.")] = 0,
    json_file: Annotated[
        str | None, typer.Option("--json", help="Write all that was measured here; - for stdout.")
    ] = None,
) -> None:
    """Plant edited copies in a sample of SOURCE and measure what is found; SOURCE itself is not changed."""
    from dedupkit.calibration.run import calibrate as run
    from dedupkit.engines.opening import open_engine

    where = open_engine(engine, workers=workers, memory=memory, address=ray_address, gpus_a_task=gpus_a_task)
    check_many(source)
    with shown_progress() as progress, where as workforce:
        columns = {"image_column": image_column, "key_column": key_column}
        chosen = recipe_of(recipe, {"preset": preset, "source": columns})
        if json_file not in (None, "-"):
            check_writable(Path(str(json_file)))
        found = run(
            source,
            recipe=chosen,
            samples=samples,
            edits=None if edits is None else [name.strip() for name in edits.split(",") if name.strip()],
            wanted_precision=precision,
            seed=seed,
            engine=workforce,
            progress=progress,
        )
    if json_file == "-":
        print_json(found.to_json())
        return
    if json_file is not None:
        Path(json_file).write_text(json.dumps(found.to_json(), ensure_ascii=False) + "\n", encoding="utf-8")
    typer.echo(found.text())


class _NoPandas(MetaPathFinder):
    """Keeps pandas out of a process that ends after one look: pyarrow imports it with the first array it makes.

    Nothing there uses it, and its import takes as long as fingerprinting two hundred photos.
    """

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        """Refuse pandas, and know nothing of other modules."""
        if name == "pandas":
            raise ModuleNotFoundError(name)
