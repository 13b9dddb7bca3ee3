"""The command line as a subprocess: exit codes, streams, and what it says of wrong usage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.commands import run
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Planted


_STRICT = {"PYTHONWARNINGS": "error"}


def dedupkit(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return run(*arguments, cwd=cwd, env=os.environ | _STRICT)


def interpreted(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell does, imports included; what it prints is decoded as UTF-8."""
    return subprocess.run(
        [sys.executable, "-m", "dedupkit", *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        env=os.environ | _STRICT,
        check=False,
    )


def test_clean_prints_counts_on_stdout_and_nothing_else(planted: Planted, tmp_path: Path) -> None:
    done = interpreted("clean", planted.folder, tmp_path / "out", "--preset", "fast")
    assert done.returncode == 0
    assert f"{planted.samples} samples in" in done.stdout
    assert "report.html" in done.stdout
    assert done.stderr == ""


def test_clean_as_json_prints_the_report(planted: Planted, tmp_path: Path) -> None:
    done = dedupkit("clean", planted.folder, tmp_path / "out", "--json")
    printed = json.loads(done.stdout)
    assert printed == json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert printed["samples"]["in"] == planted.samples


def test_find_writes_groups_samples_and_faults(planted: Planted, tmp_path: Path) -> None:
    done = dedupkit("find", planted.folder, "--json", tmp_path / "groups.json")
    assert done.returncode == 0
    found = json.loads((tmp_path / "groups.json").read_text(encoding="utf-8"))
    assert set(found) == {"groups", "samples", "faults"}
    assert found["samples"] == planted.samples
    assert found["faults"] == planted.faults
    assert len(found["groups"]) == len(planted.copies)
    assert json.loads(dedupkit("find", planted.folder, "--json", "-").stdout) == found


def test_the_saved_recipe_repeats_the_run(planted: Planted, tmp_path: Path) -> None:
    dedupkit("clean", planted.folder, tmp_path / "a", "--max-hamming-bits", 12, "--keep", "last", "--max-copies", 2)
    dedupkit("clean", planted.folder, tmp_path / "b", "--recipe", tmp_path / "a" / "recipe.toml")
    for name in ("recipe.toml", "decisions.parquet", "report.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("clean", "nowhere", "out"), "nowhere"),
        (("find", "nowhere"), "nowhere"),
        (("find", "empty"), "empty"),
        (("find", "*.tar"), r"*.tar"),
        (("clean", "photos", "photos/out"), "lies in the source"),
        (("clean", "photos", "file.txt"), "is a file"),
        (("clean", "photos", "foreign"), "did not write"),
        (("clean", "photos", "out", "--recipe", "missing.toml"), "cannot be read"),
        (("clean", "photos", "out", "--recipe", "bad.toml"), "not TOML"),
        (("clean", "photos", "out", "--recipe", "unknown.toml"), "unknown option matching.radius"),
        (("clean", "photos", "out", "--max-hamming-bits", "200"), "must be in [0, 63]"),
        (("clean", "photos", "out", "--keep", "prettiest"), "keep.policy"),
        (("clean", "photos", "out", "--preset", "slow"), "preset"),
        (("clean", "photos", "out", "--format", "zip"), "output.formats"),
        (("clean", "photos", "out", "--workers", "0"), "workers"),
        (("clean", "photos", "out", "--engine", "abacus"), "engine"),
        (("find", "photos", "--engine", "abacus"), "engine must be local or ray"),
        (("calibrate", "photos", "--engine", "abacus"), "engine must be local or ray"),
        (("remove", "out", "--key", "a", "--engine", "abacus"), "engine must be local or ray"),
        (("clean", "photos", "out", "--ray-address", "10.0.0.5:6379"), "address of a cluster"),
        (("find", "photos", "--gpus-a-task", "1"), "GPUs a task"),
        (("clean", "photos"), "OUT"),
        (("find", "photos", "--json", "no/such/folder.json"), "does not exist"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "photos").mkdir()
    draw_picture(1).save(tmp_path / "photos" / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "mine.txt").write_text("mine")
    (tmp_path / "file.txt").write_text("mine")
    (tmp_path / "bad.toml").write_text("[matching")
    (tmp_path / "unknown.toml").write_text("[matching]\nradius = 3")
    done = dedupkit(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "out").exists()
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if done.stderr.startswith("dedupkit: "):  # typer prints its own usage in a few lines
        assert done.stderr.count("\n") == 1


def test_help_and_version_name_the_commands() -> None:
    assert interpreted("--version").stdout.startswith("dedupkit ")
    shown = interpreted("--help").stdout
    assert all(command in shown for command in ("clean", "find", "demo"))


def test_hostile_names_do_not_steer_the_terminal(tmp_path: Path) -> None:
    draw_picture(1).save(tmp_path / "a\x1b[31m.png")
    draw_picture(1).save(tmp_path / "b\x1b[31m.png")
    done = dedupkit("find", tmp_path)
    assert done.returncode == 0
    assert "1 duplicate groups" in done.stdout
    assert "\x1b" not in done.stdout
