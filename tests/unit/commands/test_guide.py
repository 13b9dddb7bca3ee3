"""Help: what stands where, and examples that are command lines."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import typer

from dedupkit.cli import app
from dedupkit.commands.guide import EXAMPLES, PANELS

ROOT: Any = typer.main.get_command(app)


def commands(group: Any = ROOT, before: str = "") -> dict[str, Any]:
    """All commands by the words that call them."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found |= commands(command, f"{before}{name} ") if hasattr(command, "commands") else {before + name: command}
    return found


def test_every_command_has_examples_and_every_example_a_command() -> None:
    assert set(EXAMPLES) == set(commands())
    for name, command in commands().items():
        assert all(line in command.epilog for line in EXAMPLES[name])


def test_every_command_stands_in_a_panel_and_the_usual_first_ones_stand_first() -> None:
    assert set(ROOT.commands) == set(PANELS)
    assert list(ROOT.commands)[:4] == ["demo", "find", "clean", "doctor"]


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_is_a_command_line_that_is_understood(line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "dedupkit"
    assert "[" not in line  # rich would take it for markup
    command, path = ROOT, "dedupkit"
    while hasattr(command, "commands"):
        path = words.pop(0)
        command = command.commands[path]
    command.make_context(path, words)
