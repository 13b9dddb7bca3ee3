"""The command ``doctor``: it looks, prints, and says by its exit code whether the core works."""

from __future__ import annotations

from typing import Annotated

import typer

from dedupkit.commands.running import print_json


def doctor(
    out: Annotated[str | None, typer.Argument(metavar="[OUT]", help="Where output is to go: is there room?")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that was seen as JSON.")] = False,
) -> None:
    """Say whether this installation works and what it lacks; exit code 1 if the core does not work."""
    from dedupkit.checkup.run import doctor as run

    found = run(out)
    if as_json:
        print_json(found.to_json())
    else:
        typer.echo(found.text())
    raise typer.Exit(0 if found.works else 1)
