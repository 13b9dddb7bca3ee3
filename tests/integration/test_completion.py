"""Completion as a shell has it: the script that `--show-completion` prints, in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose `dedupkit` is this checkout, and whose home is empty."""
    home = tmp_path_factory.mktemp("home")
    command = home / "bin" / "dedupkit"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dedupkit "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {
        "HOME": str(home),
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }


def run(shell: dict[str, str], script: str) -> str:
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=shell, capture_output=True, encoding="utf-8", check=True, timeout=120
    )
    return done.stdout


def completed(shell: dict[str, str], *lines: str) -> list[list[str]]:
    """What bash offers at the end of each line."""
    ask = "\n".join(
        f"COMP_LINE={line!r}; COMP_WORDS=({line}{' ' if not line.endswith(' ') else ' ' + chr(39) * 2}); "
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); $function dedupkit; echo "${COMPREPLY[@]}"'
        for line in lines
    )
    script = (
        'source "$HOME/.bash_completions/dedupkit.sh"; set -- $(complete -p dedupkit); '
        'while [ "$1" != -F ]; do shift; done; function=$2\n' + ask
    )
    return [line.split() for line in run(shell, script).splitlines()]


def test_bash_completes_commands_options_and_values(shell: dict[str, str]) -> None:
    run(shell, "dedupkit --install-completion bash")
    assert "dedupkit.sh" in (Path(shell["HOME"]) / ".bashrc").read_text(encoding="utf-8")
    asked = {
        "dedupkit cl": ["clean"],
        "dedupkit recipe ": ["init", "check", "explain"],
        "dedupkit find photos --pre": ["--preset"],
        "dedupkit find photos --preset ": ["fast", "thorough"],
        "dedupkit clean photos out --engine r": ["ray"],
        "dedupkit clean photos out --format a": ["arrow"],
        "dedupkit clean photos out --keep ": ["best", "first", "last"],
        "dedupkit clean photos out --recipe p": ["pretraining", "privacy", "publishable"],
        "dedupkit recipe init fine": ["finetune"],
        "dedupkit calibrate photos --edits mirrored,cr": ["mirrored,crop875", "mirrored,crop70"],
        "dedupkit clean ph": [],  # bash goes on with files: complete -o default
    }
    assert completed(shell, *asked) == list(asked.values())


@pytest.mark.parametrize(
    ("name", "file"), [("zsh", ".zfunc/_dedupkit"), ("fish", ".config/fish/completions/dedupkit.fish")]
)
def test_other_shells_get_their_script(shell: dict[str, str], name: str, file: str) -> None:
    run(shell, f"dedupkit --install-completion {name}")
    written = (Path(shell["HOME"]) / file).read_text(encoding="utf-8")
    assert f"_DEDUPKIT_COMPLETE=complete_{name}" in written
    if shutil.which(name):
        subprocess.run([name, "-n", str(Path(shell["HOME"]) / file)], check=True)


def test_zsh_and_fish_are_told_the_values(shell: dict[str, str]) -> None:
    ask = "_DEDUPKIT_COMPLETE=complete_{} _TYPER_COMPLETE_ARGS='dedupkit find photos --preset ' dedupkit"
    assert '"fast"\n"thorough"' in run(shell, ask.format("zsh"))
    fish = ask.format("fish").replace("_TYPER", "_TYPER_COMPLETE_FISH_ACTION=get-args _TYPER", 1)
    assert run(shell, fish).split() == ["fast", "thorough"]


def test_what_is_offered_is_what_there_is() -> None:
    from dedupkit.commands import completing
    from dedupkit.edits import EDITS
    from dedupkit.recipe import Blocklist, Canaries, Keep, Output, Recipe

    fields = Recipe.model_fields
    assert tuple(EDITS) == completing.EDITS
    assert get_args(fields["preset"].annotation) == completing.PRESETS
    assert get_args(get_args(Keep.model_fields["policy"].annotation)[0]) == completing.POLICIES
    own, any_sink = get_args(get_args(Output.model_fields["formats"].annotation)[0])
    assert (get_args(own), any_sink) == (completing.FORMATS, str)
    assert get_args(get_args(Canaries.model_fields["kinds"].annotation)[0]) == completing.CANARY_KINDS
    assert {kind.rstrip("=") for kind in completing.BLOCKS} <= set(Blocklist.model_fields)
