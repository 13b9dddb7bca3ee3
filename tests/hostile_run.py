"""The real command over hostile sets, in a process of its own whose memory is looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow.parquet as pq

from tests.hostile_cases import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.hostile_cases import Group

ROOT = Path(__file__).resolve().parents[1]
RECIPE = f"""
preset = "fast"
[limits]
max_bytes = {MAX_BYTES}
[output]
formats = ["parquet"]
"""
ALL_FORMATS = RECIPE.replace('["parquet"]', '["arrow", "parquet", "webdataset"]')


@dataclass(frozen=True)
class Cleaned:
    """What came of it."""

    code: int
    said: str
    out: Path
    seconds: float
    peak_mib: float
    decided: int
    decisions: dict[str, dict[str, Any]]
    """By key; of a group of many alike, all."""

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "report.json").read_text(encoding="utf-8"))
        return found


def cleaned(group: Group, folder: Path, recipe: str = RECIPE) -> Cleaned:
    """Write a group of cases, and clean it."""
    group.write(folder / "in")
    return clean(folder / "in", folder, recipe)


class Runs(dict[str, Cleaned]):
    """One run of each group, made where somebody asks for it."""

    def __init__(self, groups: Mapping[str, Group], folder: Path, recipes: Mapping[str, str] | None = None) -> None:
        self._groups, self._folder, self._recipes = groups, folder, recipes or {}

    def __missing__(self, name: str) -> Cleaned:
        self[name] = cleaned(self._groups[name], self._folder / name, self._recipes.get(name, RECIPE))
        return self[name]


def clean(source: Path, folder: Path, recipe: str = RECIPE) -> Cleaned:
    """Clean a source into `folder`/out with the command line."""
    (folder / "recipe.toml").write_text(recipe)
    out = folder / "out"
    run, peak, seconds = dedupkit("clean", str(source), str(out), "--recipe", str(folder / "recipe.toml"))
    rows = pq.read_table(out / "decisions.parquet").to_pylist() if (out / "decisions.parquet").exists() else []
    decisions = {row["key"]: row for row in rows}
    return Cleaned(run.returncode, run.stdout + run.stderr, out, seconds, peak, len(rows), decisions)


def dedupkit(*arguments: str, timeout_s: float = 120) -> tuple[subprocess.CompletedProcess[str], float, float]:
    """Run the command; what it said, the largest memory in MiB of all its processes, and seconds."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command, began = [sys.executable, "-m", "dedupkit", *arguments], time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    over, peak = Event(), [0.0]

    def watch() -> None:
        while not over.wait(0.05):
            peak[0] = max(peak[0], _memory_mib(process.pid))

    watching = Thread(target=watch)
    watching.start()
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    finally:
        over.set()
        watching.join()
        process.kill()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr), peak[0], time.monotonic() - began


def _memory_mib(pid: int) -> float:
    try:
        root = psutil.Process(pid)
        return float(sum(each.memory_info().rss for each in [root, *root.children(recursive=True)]) / (1 << 20))
    except psutil.Error:
        return 0.0
