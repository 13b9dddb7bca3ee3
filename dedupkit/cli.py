"""The command line: all commands in one application, and how a process of it ends."""

from __future__ import annotations

import gc
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dedupkit._version import __version__
from dedupkit.audit.commands import audit
from dedupkit.canaries.commands import app as canaries_commands
from dedupkit.commands.check import check
from dedupkit.commands.cleaning import clean, remove
from dedupkit.commands.complaint import end_wrong_usage
from dedupkit.commands.doctor import doctor
from dedupkit.commands.guide import EXIT_CODES, WELCOME, guided
from dedupkit.commands.looking import calibrate, find
from dedupkit.commands.recipe import recipe_app
from dedupkit.commands.running import shown_progress
from dedupkit.decontamination.commands import decontaminate
from dedupkit.engines.allocator import keep_freed_memory
from dedupkit.errors import DedupkitError, UsageError, public
from dedupkit.guard.supervisor import can_supervise, supervise
from dedupkit.index.commands import app as index_commands
from dedupkit.planning.commands import plan
from dedupkit.plugins import import_plugins
from dedupkit.report.commands import report
from dedupkit.stores import OF_THE_MACHINE, first_remedy
from dedupkit.terminal import printable

_STOPPED = 130  # as shells have it, and typer, which says so of an interrupt

app = typer.Typer(
    name="dedupkit",
    invoke_without_command=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(recipe_app)
app.add_typer(canaries_commands)
app.add_typer(index_commands)
app.command()(doctor)
app.command()(clean)
app.command()(remove)
app.command()(find)
app.command()(check)
app.command()(calibrate)
app.command()(audit)
app.command()(plan)
app.command()(decontaminate)
app.command()(report)


@app.command()
def demo(
    directory: Annotated[str, typer.Argument(help="Folder for the demo's shards and output.")] = "demo",
) -> None:
    """Build LAION-style shards with known copies and faults, clean them, and compare with what was planted."""
    from dedupkit.demo import run_demo

    with shown_progress() as progress:
        outcome = run_demo(Path(directory), progress=progress)
    typer.echo(outcome.text())


def main() -> None:
    """Entry point: exit code 0 done, 1 the run failed or a check found a fault, 2 wrong usage, 130 stopped by hand."""
    try:
        code = supervise() if can_supervise() else None
        if code is not None:
            sys.exit(code)
        keep_freed_memory()
        logging.getLogger("dedupkit").setLevel(logging.INFO)
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        code = app(prog_name="dedupkit", standalone_mode=False)
        if code == _STOPPED:
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except DedupkitError as error:
        typer.echo(f"dedupkit: {printable(str(error))}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("dedupkit: stopped; run the same command again to go on from the last part", err=True)
        sys.exit(_STOPPED)
    except Exception as error:
        if hasattr(error, "format_message"):
            end_wrong_usage(error)
        if os.environ.get("DEDUPKIT_DEBUG"):
            raise
        what = public(f"{type(error).__name__}: {error}".rstrip(": ").partition("\n")[0])
        remedy = "DEDUPKIT_DEBUG=1 shows where"
        if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
            remedy = f"{first_remedy(error)}run again to go on from the last part"
        typer.echo(f"dedupkit: {printable(what)}; {remedy}", err=True)
        sys.exit(1)
    finally:
        gc.freeze()  # the process ends here: a last search for garbage would only take time


def _version(value: bool) -> None:
    if value:
        typer.echo(f"dedupkit {__version__}")
        raise typer.Exit


@app.callback(help=WELCOME, epilog=EXIT_CODES)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    plugin: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE", help="Import it first, for what it registers: docs/extending.md. May repeat."),
    ] = None,
) -> None:
    for module in plugin or ():
        import_plugins(module)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), nl=False)


guided(app)
