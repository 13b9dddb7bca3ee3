"""Plugins out of a module of the user's, through the command line and in worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.commands import run

ROOT = Path(__file__).resolve().parents[2]
_PLUGINS = """
from pathlib import Path
from dedupkit.plugins import register_check, register_sink, register_source
from dedupkit.sources import Shard

@register_source("flat")
class Flat:
    def __init__(self, address, options, max_bytes):
        self.folder = Path(address)
    def shards(self):
        return [Shard(path.name, str(path.stat().st_size), str(path)) for path in sorted(self.folder.iterdir())]
    def read(self, shard):
        yield {"key": shard.name, "image": Path(shard.location).read_bytes(), "caption": "A plain " + shard.name}

@register_check("no-green")
class NoGreen:
    version = "VERSION"
    def look(self, sample, picture):
        FAIL
        red, green, blue = picture.colour.reshape(-1, 3).mean(axis=0)
        return "it is green" if green > red + 50 else None

@register_sink("names")
class Names:
    folder = "names"
    def part_name(self, index):
        return f"{index:05d}.txt"
    def write_part(self, handle, samples, fields):
        keys = [sample.key for sample in samples]
        handle.write(chr(10).join(keys).encode())
        return len(keys)
    def finish(self, folder, parts, fields):
        pass
"""
_RECIPE = """
preset = "fast"
[hygiene]
checks = ["no-green"]
min_contrast = 0
[output]
formats = ["names"]
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for name, low, high in (
        ("green", "black", (90, 255, 90)),
        ("red", "black", (255, 90, 90)),
        ("grey", "black", "white"),
    ):
        ramp = Image.linear_gradient("L").resize((64, 64))
        picture = Image.composite(Image.new("RGB", (64, 64), high), Image.new("RGB", (64, 64), low), ramp)
        picture.save(tmp_path / "photos" / f"{name}.png")
    (tmp_path / "recipe.toml").write_text(_RECIPE)
    write(tmp_path)
    return tmp_path


def write(folder: Path, version: str = "1", fail: str = "pass") -> None:
    (folder / "my_plugins.py").write_text(_PLUGINS.replace("VERSION", version).replace("FAIL", fail))


def cleaned(folder: Path, *more: str, workers: int = 1, plugin: str = "my_plugins") -> subprocess.CompletedProcess[str]:
    chosen = ("--recipe", "recipe.toml", "--workers", workers, *more)
    return run("--plugin", plugin, "clean", "flat:photos", "out", *chosen, cwd=folder)


def test_a_module_of_plugins_works_on_the_command_line_and_in_workers(here: Path) -> None:
    run = cleaned(here, workers=2)
    assert run.returncode == 0, run.stderr
    told = {row["key"]: (row["reason"], row["detail"]) for row in decisions(here)}
    assert told["green.png"] == ("checked_out", "no-green: it is green")
    assert {key for key, (reason, _) in told.items() if reason != "checked_out"} >= {"grey.png"}
    kept = {row["key"] for row in decisions(here) if row["action"] == "keep"}
    assert {name for path in (here / "out/names").iterdir() for name in path.read_text().split()} == kept


def test_a_changed_plugin_redoes_what_depends_on_it(here: Path) -> None:
    assert "made again" not in cleaned(here).stderr
    again = cleaned(here).stderr
    assert "fingerprints: 3 of 3 parts used again" in again
    assert "names: 3 of 3 parts used again" in again
    write(here, version="2")
    changed = cleaned(here).stderr
    assert "fingerprints: 3 parts made again, for what changed: checks" in changed


def test_a_format_that_is_not_asked_for_any_more_goes(here: Path) -> None:
    cleaned(here)
    assert (here / "out/names").exists()
    removed = subprocess.run(
        [sys.executable, "-c", "import dedupkit; dedupkit.remove('out', keys=['red.png'])"],
        cwd=here, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "holds a list" in removed.stderr or "was written by a plugin" in removed.stderr
    (here / "recipe.toml").write_text(_RECIPE.replace("names", "parquet"))
    assert cleaned(here).returncode == 0
    assert not (here / "out/names").exists()
    assert (here / "out/parquet").exists()


def test_a_plugin_that_fails_is_one_line_with_its_name(here: Path) -> None:
    write(here, fail="raise ValueError('no idea')")
    run = cleaned(here, workers=2)
    assert run.returncode == 1
    (line,) = [line for line in run.stderr.splitlines() if "failed" in line]
    assert line.startswith("dedupkit: the check no-green (my_plugins:NoGreen) failed at the sample ")
    assert line.endswith(".png: ValueError: no idea; mend it, then run again")


def test_what_is_not_there_is_told_before_anything_is_written(here: Path) -> None:
    missing = cleaned(here, plugin="no_such_plugins")
    assert missing.returncode == 2
    assert "the module no_such_plugins cannot be imported: ModuleNotFoundError" in missing.stderr
    (here / "recipe.toml").write_text(_RECIPE.replace("no-green", "no-blue"))
    unknown = cleaned(here)
    assert unknown.returncode == 2
    assert "check must be one of no-green; got 'no-blue'" in unknown.stderr
    assert not (here / "out").exists()


def decisions(folder: Path) -> list[dict[str, object]]:
    return list(pq.read_table(folder / "out/decisions.parquet").to_pylist())
