"""``dedupkit report``: makes the page of a finished run again."""

from __future__ import annotations

from typing import Annotated

import typer


def report(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder or URL that dedupkit clean wrote to.")],
    calibration: Annotated[
        str | None, typer.Option(metavar="FILE", help="What dedupkit calibrate --json wrote; its recall is shown too.")
    ] = None,
    max_size: Annotated[str, typer.Option(metavar="SIZE", help="What the page may take, such as 4MB.")] = "8MiB",
) -> None:
    """Write OUT/report.html again, out of what lies in OUT; the source is not read."""
    from dedupkit.errors import public
    from dedupkit.report.again import make_report

    typer.echo(f"report: {public(make_report(out, calibration=calibration, max_page_bytes=max_size))}")
