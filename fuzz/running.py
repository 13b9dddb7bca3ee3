"""The real command in a process of its own, with a limit on its time; what it said, and what it decided."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fuzz.pictures import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MAX_SECONDS = 300.0
_RECIPE = """preset = "{preset}"
[limits]
max_pixels = 16_000_000
max_seconds = 30.0
max_memory_bytes = 1_610_612_736
[hygiene]
max_blur = 1.0
[output]
formats = ["{form}"]
"""
_GUARDED = ("decoder_crashed", "timed_out", "too_much_memory")


class FuzzError(Exception):
    """Something that must hold does not; the text says what."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended.

    Attributes
    ----------
    code : int
        Exit code.
    stderr : str
        What it said there.
    rows : list of dict
        Key, shard, action, reason and detail of each decision; empty where it ended with a code.
    """

    code: int
    stderr: str
    rows: list[dict[str, Any]]

    @property
    def guarded(self) -> list[dict[str, Any]]:
        """What took a process down, and was left out."""
        return [row for row in self.rows if row["reason"] in _GUARDED]


def cleaned(
    source: Path, out: Path, *, preset: str = "fast", form: str = "parquet", max_seconds: float = _MAX_SECONDS
) -> Run:
    """Clean a source with the command line, and write it in a form.

    Raises
    ------
    FuzzError
        The run hangs, ends by a signal, shows a traceback, or its counts do not add up.
    """
    recipe = out.with_name(f"{out.name}.toml")
    recipe.write_text(_RECIPE.format(preset=preset, form=form), encoding="utf-8")
    command = [sys.executable, "-m", "dedupkit", "clean", str(source), str(out), "--recipe", str(recipe)]
    code, stderr = ended(command, max_seconds)
    if "Traceback" in stderr:
        raise FuzzError(f"traceback: {stderr[-4000:]}")
    if code not in (0, 1, 2):
        raise FuzzError(f"ended with code {code}: {stderr[-2000:]}")
    return Run(code, stderr, _decided(out, form) if code == 0 else [])


def ended(command: Sequence[str], max_seconds: float) -> tuple[int, str]:
    """Exit code and stderr of a program.

    Raises
    ------
    FuzzError
        It takes too long.
    """
    environment = {**os.environ, "PYTHONPATH": _path(), "DEDUPKIT_DEBUG": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        stderr = process.communicate(timeout=max_seconds)[1]
    except subprocess.TimeoutExpired:
        process.kill()  # what it has begun dies with it
        process.communicate()
        raise FuzzError(f"hangs: took more than {max_seconds:g} s") from None
    return process.returncode, stderr.decode("utf-8", "replace")


def _path() -> str:
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))


def _decided(out: Path, form: str) -> list[dict[str, Any]]:
    """The decisions, after the counts were found to add up."""
    import pyarrow.parquet as pq

    table = pq.read_table(out / "decisions.parquet", columns=["key", "shard", "action", "reason", "detail"])
    counts = json.loads((out / "report.json").read_text(encoding="utf-8"))["samples"]
    emitted = sum(pq.read_metadata(path).num_rows for path in (out / form).rglob("*.parquet"))
    if counts["in"] != table.num_rows or counts["in"] != counts["kept"] + counts["dropped"] + counts["quarantined"]:
        raise FuzzError(f"counts do not add up: {counts}, {table.num_rows} decisions")
    if emitted != counts["kept"]:
        raise FuzzError(f"{counts['kept']} samples are kept, {emitted} emitted")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
