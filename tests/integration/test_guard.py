"""Samples that kill, hold up or fill the process that looks at them: each is named, and no other is lost."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image

import dedupkit
from dedupkit.engines.local import LocalEngine
from dedupkit.guard import supervisor
from dedupkit.guard.trial import try_shard
from dedupkit.recipe import Recipe
from dedupkit.sample import Reason, Sample
from dedupkit.sources.base import Shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOSTILE = {"a03": b"CRASH", "a10": b"SLEEP", "b07": b"GREED", "c02": b"CRASH"}
REASONS = {"a03": "decoder_crashed", "a10": "timed_out", "b07": "too_much_memory", "c02": "decoder_crashed"}
OF_TWO_SHARDS = {key: reason for key, reason in REASONS.items() if key < "c"}
"""Of the first two: each kind once."""
CHOICES: dict[str, Any] = {
    "preset": "fast",
    "limits": {"max_seconds": 4.0, "max_memory_bytes": 256 << 20},
    "hygiene": {"max_blur": 1.0},
}
ROOT = Path(__file__).parents[2]


def picture(seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((160, 120), Image.Resampling.NEAREST).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def _as_users_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_supervised", False)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    for number, name in enumerate("abc"):
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            for row in range(12):
                key = f"{name}{row:02d}"
                data = picture(number * 100 + row) + HOSTILE.get(key, b"")
                member = tarfile.TarInfo(f"{key}.png")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(Recipe.of(CHOICES, name="test").dumps())
    return path


def environment(hostile: str = "1") -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "tests" / "hostile"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "HOSTILE": hostile}


def cleaned(
    source: Path, out: Path, recipe: Path, *options: str, hostile: str = "1"
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dedupkit", "clean", str(source), str(out), "--recipe", str(recipe), *options]
    return subprocess.run(command, env=environment(hostile), capture_output=True, text=True, timeout=300, check=False)


def reasons_of(out: Path) -> dict[str, str]:
    table = pq.read_table(out / "decisions.parquet", columns=["key", "reason"])
    return dict(zip(table["key"].to_pylist(), table["reason"].to_pylist(), strict=True))


def images_of(out: Path) -> dict[str, bytes]:
    rows = dedupkit.Result(str(out), {}).dataset().data
    return {key: image["bytes"] for key, image in zip(rows["key"].to_pylist(), rows["image"].to_pylist(), strict=True)}


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_the_command_names_each_and_keeps_all_others(
    source: Path, recipe: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    run = cleaned(source, tmp_path / "out", recipe, *options)
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    assert "Fatal" not in run.stderr
    found = reasons_of(tmp_path / "out")
    assert {key: reason for key, reason in found.items() if reason != "unique"} == REASONS
    emitted = images_of(tmp_path / "out")
    assert emitted == {key: picture("abc".index(key[0]) * 100 + int(key[1:])) for key in found.keys() - REASONS.keys()}
    again = cleaned(source, tmp_path / "out", recipe, *options)  # it remembers: nobody dies any more
    assert again.returncode == 0
    assert "died" not in again.stderr
    assert reasons_of(tmp_path / "out") == found


def test_who_dies_only_when_emitted_is_left_out_of_everything(source: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(Recipe.of(CHOICES | {"augment": {"preset": "paper"}}, name="test").dumps())
    run = cleaned(source / "[ab].tar", tmp_path / "out", recipe, hostile="full")
    assert run.returncode == 0, run.stderr
    found = reasons_of(tmp_path / "out")
    assert {key: reason for key, reason in found.items() if reason != "unique"} == OF_TWO_SHARDS
    assert images_of(tmp_path / "out").keys() == found.keys() - OF_TWO_SHARDS.keys()


def test_a_program_that_calls_the_library_lives_on(source: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import dedupkit, json, sys\nfrom dedupkit.recipe import Recipe\n"
        f"found = dedupkit.find_duplicates({str(source / '[ab].tar')!r}, recipe=Recipe.of({CHOICES!r}, name='test'))\n"
        "print(json.dumps(found.faults))\n"
    )
    run = subprocess.run(
        [sys.executable, program], env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == OF_TWO_SHARDS


class Deadly:
    """A source whose reader takes the process down after some samples."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def shards(self) -> Sequence[Shard]:
        return [Shard("deadly", "1", None)]

    def fields(self, shard: Shard) -> None:
        return None

    def read(self, shard: Shard) -> Iterator[Sample]:
        for row in range(self.rows):
            yield Sample(f"{row}", picture(row))
        os.kill(os.getpid(), signal.SIGSEGV)


def test_a_shard_whose_reading_kills_is_damaged_from_there_on() -> None:
    source = Deadly(3)
    verdict = try_shard(source, source.shards()[0], Recipe.of(CHOICES, name="test"))
    assert (verdict.rows, verdict.faults) == (3, {})
    assert "SIGSEGV" in verdict.detail


def test_samples_that_harm_nobody_are_not_accused() -> None:
    class Harmless(Deadly):
        def read(self, shard: Shard) -> Iterator[Sample]:
            yield from (Sample(f"{row}", data) for row, data in enumerate([picture(1), b"no picture", b""]))

    source = Harmless(0)
    assert not try_shard(source, source.shards()[0], Recipe.of(CHOICES, name="test"))


def test_a_worker_that_somebody_else_kills_costs_nothing(source: Path, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_one() -> None:
        for child in psutil.Process().children(recursive=True):
            if "loky" in " ".join(child.cmdline()) and "popen" in " ".join(child.cmdline()):
                killed.append(child.pid)
                child.kill()
                return

    plain = {key: value for key, value in CHOICES.items() if key != "limits"}

    def progress(told: Any) -> None:
        if told.stage == "fingerprints" and told.parts == 1 and not killed:
            kill_one()

    result = dedupkit.clean(
        source, tmp_path / "out", recipe=Recipe.of(plain, name="test"), engine=LocalEngine(2), progress=progress
    )
    assert killed
    assert result.summary["samples"] == {"in": 36, "kept": 36, "dropped": 0, "quarantined": 0}


def test_reasons_belong_to_quarantine() -> None:
    assert {Reason(reason).action.value for reason in REASONS.values()} == {"quarantine"}
