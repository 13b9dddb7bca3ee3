"""What typer finds wrong with a command line, told as dedupkit tells its own errors: one line that ends in a remedy."""

from __future__ import annotations

from typing import Any, NoReturn

import typer

from dedupkit.terminal import printable

_SPACES = "put a path with spaces in quotes"


def end_wrong_usage(error: Any) -> NoReturn:
    """Say what is wrong and exit with code 2; of a group of commands that was called alone, show the help.

    `error` is one of typer's, or of click's where typer still builds on that: it has ``format_message``.
    """
    if type(error).__name__ == "NoArgsIsHelpError":  # the help is on the screen already where rich printed it
        typer.echo(error.format_message(), nl=False)
        raise SystemExit(0)
    typer.echo(complaint(error), err=True)
    raise SystemExit(2)


def complaint(error: Any) -> str:
    """The line: which command, what is wrong, what helps."""
    words = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    command = "dedupkit" if context is None else " ".join(context.command_path.split())
    remedies = [_SPACES] if "unexpected extra argument" in words else []
    remedies.append(f"see {command} --help")
    return printable(f"{command}: {words[:1].lower()}{words[1:]}; {' and '.join(remedies)}")
