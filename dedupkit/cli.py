"""The command line: a command builds a recipe, calls one public function and prints."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import warnings
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dedupkit._version import __version__
from dedupkit.audit.commands import audit
from dedupkit.canaries.commands import app as canaries_commands
from dedupkit.decontamination.commands import decontaminate
from dedupkit.engines.allocator import keep_freed_memory
from dedupkit.errors import DedupkitError, UsageError, public
from dedupkit.index.commands import app as index_commands
from dedupkit.planning.commands import plan
from dedupkit.recipe_cli import recipe_app
from dedupkit.report.commands import report
from dedupkit.stores import is_remote
from dedupkit.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe

app = typer.Typer(
    name="dedupkit",
    help="Clean captioned image sets before training so that models memorise less, and audit the models after.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(recipe_app)

app.add_typer(canaries_commands)
app.add_typer(index_commands)
app.command()(audit)
app.command()(plan)
app.command()(decontaminate)
app.command()(report)

_Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A folder of images, tars or Parquet, a glob, a saved dataset, or any fsspec URL."
    ),
]
_RecipeFile = Annotated[
    Path | None,
    typer.Option(
        "--recipe", metavar="FILE|NAME", help="TOML file with choices of the run, or a recipe of the package."
    ),
]
_Preset = Annotated[str | None, typer.Option(help="fast: digests and perceptual hashes.")]
_Engine = Annotated[str, typer.Option(help="Where tasks run: local, or ray for a cluster.")]
_Workers = Annotated[
    int | None,
    typer.Option(help="Worker processes; left out, one for every four cores. With ray: most tasks at once."),
]
_Memory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="What the run may take, such as 4GiB; left out, what is quickest.")
]
_RayAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The Ray cluster; left out, the one this machine belongs to.")
]
_Gpus = Annotated[float, typer.Option("--gpus-a-task", help="GPUs of each task on Ray; 0.25 lets four share one.")]
_ImageColumn = Annotated[str | None, typer.Option(help="Column of a table that holds the images.")]
_CaptionColumn = Annotated[str | None, typer.Option(help="Column that holds the captions.")]
_KeyColumn = Annotated[str | None, typer.Option(help="Column that names the samples.")]
_UrlColumn = Annotated[str | None, typer.Option(help="Column of a list that holds the images' URLs.")]
_EmbeddingColumn = Annotated[
    str | None, typer.Option(help="Column that holds an embedding of each image; no image is decoded then.")
]
_MinCosine = Annotated[float | None, typer.Option(help="Least cosine of descriptors of a pair.")]
_Radius = Annotated[int | None, typer.Option(help="Largest Hamming distance of a pair, in bits of the hash.")]


@app.command()
def clean(
    source: _Source,
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder or URL for the cleaned dataset, the decisions and the report.")
    ],
    recipe: _RecipeFile = None,
    preset: _Preset = None,
    engine: _Engine = "local",
    workers: _Workers = None,
    memory: _Memory = None,
    ray_address: _RayAddress = None,
    gpus_a_task: _Gpus = 0,
    image_column: _ImageColumn = None,
    caption_column: _CaptionColumn = None,
    key_column: _KeyColumn = None,
    url_column: _UrlColumn = None,
    embedding_column: _EmbeddingColumn = None,
    max_hamming_bits: _Radius = None,
    min_cosine: _MinCosine = None,
    keep: Annotated[str | None, typer.Option(help="Which copy stays: best, first or last.")] = None,
    max_copies: Annotated[
        str | None, typer.Option(metavar="N|all", help="How many copies of a picture stay; all of them get a weight.")
    ] = None,
    block: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=FILE",
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
        list[str] | None, typer.Option(help="arrow, parquet, webdataset or list; may be repeated.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start again in OUT.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Remove duplicates and broken samples; write a cleaned dataset with a reason for every sample that is gone."""
    from dedupkit.cleaning import clean as run
    from dedupkit.engines.opening import open_engine

    where = open_engine(engine, workers=workers, memory=memory, address=ray_address, gpus_a_task=gpus_a_task)
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
        result = run(source, out, recipe=chosen, engine=workforce, overwrite=overwrite, progress=progress)
    if as_json:
        _print_json(result.summary)
    else:
        _print_summary(result.summary, out)


@app.command()
def remove(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder or URL that dedupkit clean wrote to.")],
    like: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="A picture to take down, in any version, or a folder or tar of pictures."),
    ] = None,
    url: Annotated[list[str] | None, typer.Option(help="A URL among a sample's fields.")] = None,
    key: Annotated[list[str] | None, typer.Option(help="A sample's key.")] = None,
    sha256: Annotated[list[str] | None, typer.Option(help="Digest of an image as the source had it.")] = None,
    engine: _Engine = "local",
    workers: _Workers = None,
    memory: _Memory = None,
    ray_address: _RayAddress = None,
    gpus_a_task: _Gpus = 0,
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
        _print_json(rows)
        return
    typer.echo(f"{len(removed.keys)} samples removed, {len(rows)} with the copies that had been dropped before")
    for row in rows:
        typer.echo(f"  {printable(row['key'])}: {printable(row['detail'])}")


@app.command()
def find(
    source: _Source,
    recipe: _RecipeFile = None,
    preset: _Preset = None,
    engine: _Engine = "local",
    workers: _Workers = None,
    memory: _Memory = None,
    ray_address: _RayAddress = None,
    gpus_a_task: _Gpus = 0,
    image_column: _ImageColumn = None,
    caption_column: _CaptionColumn = None,
    key_column: _KeyColumn = None,
    url_column: _UrlColumn = None,
    embedding_column: _EmbeddingColumn = None,
    max_hamming_bits: _Radius = None,
    min_cosine: _MinCosine = None,
    json_file: Annotated[
        str | None, typer.Option("--json", help="Write groups, number of samples and faults here; - for stdout.")
    ] = None,
) -> None:
    """Find duplicates and change nothing."""
    sys.meta_path.insert(0, _NoPandas())
    from dedupkit.engines.opening import open_engine
    from dedupkit.found import find_duplicates

    where = open_engine(engine, workers=workers, memory=memory, address=ray_address, gpus_a_task=gpus_a_task)
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
        _print_json(found.to_json())
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


@app.command()
def calibrate(
    source: _Source,
    recipe: _RecipeFile = None,
    preset: _Preset = None,
    engine: _Engine = "local",
    workers: _Workers = None,
    memory: _Memory = None,
    ray_address: _RayAddress = None,
    gpus_a_task: _Gpus = 0,
    image_column: _ImageColumn = None,
    key_column: _KeyColumn = None,
    samples: Annotated[int, typer.Option(help="How many pictures to plant copies of.")] = 200,
    edits: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="Which edits to plant; left out, all there are.")
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
        _print_json(found.to_json())
        return
    if json_file is not None:
        Path(json_file).write_text(json.dumps(found.to_json(), ensure_ascii=False) + "\n", encoding="utf-8")
    typer.echo(found.text())


@app.command()
def demo(
    directory: Annotated[str, typer.Argument(help="Folder for the demo's shards and output.")] = "demo",
) -> None:
    """Build LAION-style shards with known copies and faults, clean them, and compare with what was planted."""
    from dedupkit.demo import run_demo

    with shown_progress() as progress:
        outcome = run_demo(Path(directory), progress=progress)
    typer.echo(outcome.text())


class _NoPandas(MetaPathFinder):
    """Keeps pandas out of a process that ends after one look: pyarrow imports it with the first array it makes.

    Nothing there uses it, and its import takes as long as fingerprinting two hundred photos.
    """

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        """Refuse pandas, and know nothing of other modules."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def main() -> None:
    """Entry point: exit code 0 done, 1 the run failed, 2 wrong usage or recipe."""
    keep_freed_memory()
    logging.getLogger("dedupkit").setLevel(logging.INFO)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except DedupkitError as error:
        typer.echo(f"dedupkit: {printable(str(error))}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        typer.echo("dedupkit: stopped; run the same command again to go on from the last part", err=True)
        sys.exit(1)
    except Exception as error:
        if os.environ.get("DEDUPKIT_DEBUG"):
            raise
        what = public(f"{type(error).__name__}: {error}".rstrip(": ").partition("\n")[0])
        typer.echo(f"dedupkit: {printable(what)}; DEDUPKIT_DEBUG=1 shows where", err=True)
        sys.exit(1)
    finally:
        gc.freeze()  # the process ends here: a last search for garbage would only take time


def _version(value: bool) -> None:
    if value:
        typer.echo(f"dedupkit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Clean captioned image sets before training so that models memorise less, and audit the models after."""


def recipe_of(path: Path | None, choices: dict[str, Any]) -> Recipe:
    """The recipe of a file with what the command line says in its place."""
    from dedupkit.recipe import Recipe

    values = Recipe.load(path).model_dump(exclude_unset=True) if path else {}
    for name, choice in choices.items():
        if isinstance(choice, dict):
            given = {key: value for key, value in choice.items() if value is not None}
            if given:
                values[name] = {**values.get(name, {}), **given}
        elif choice is not None:
            values[name] = choice
    return Recipe.of(values, name="options")


def _blocklist(given: list[str]) -> dict[str, tuple[str, ...]]:
    """The recipe's blocklist out of ``KIND=FILE``; what kinds there are, the recipe knows."""
    found: dict[str, tuple[str, ...]] = {}
    for each in given:
        kind, _, file = each.partition("=")
        if not file:
            raise UsageError(f"block must be KIND=FILE, such as domains=domains.txt, got {each!r}")
        found[kind] = (*found.get(kind, ()), file)
    return found


def check_writable(file: Path) -> None:
    """Refuse a place that no file can be written to, before anything runs."""
    if not file.absolute().parent.is_dir():
        raise UsageError(f"the folder of {file} does not exist; make it first")
    if file.is_dir():
        raise UsageError(f"{file} is a folder; name a file for the JSON")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


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


@contextmanager
def shown_progress() -> Iterator[Observer | None]:
    """A progress bar and the log on stderr; only warnings where stderr is not a terminal."""
    if not sys.stderr.isatty():
        logging.basicConfig(level=logging.WARNING, format="dedupkit: %(message)s", stream=sys.stderr)
        logging.getLogger("dedupkit").setLevel(logging.INFO)
        warnings.simplefilter("ignore")
        yield None
        return
    from dedupkit.progress import ProgressBar

    with ProgressBar() as bar:
        yield bar.show
