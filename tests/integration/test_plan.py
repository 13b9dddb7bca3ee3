"""Plans, held against the runs that they are about."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dedupkit
from dedupkit.errors import UsageError
from dedupkit.recipe import Recipe
from tests.conftest import draw_picture
from tests.integration.conftest import Planted, encoded
from tests.integration.test_cli import dedupkit as command

if TYPE_CHECKING:
    from pathlib import Path

SHARDS, PICTURES = 6, 40


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    """Pictures of which no two are copies."""
    return [encoded(draw_picture(seed)) for seed in range(SHARDS * PICTURES)]


@pytest.fixture(scope="module")
def tars(pictures: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tars of forty pictures."""
    folder = tmp_path_factory.mktemp("tars")
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for number in range(PICTURES):
                place = shard * PICTURES + number
                for ending, data in (("jpg", pictures[place]), ("txt", f"picture {place}, drawn".encode())):
                    member = tarfile.TarInfo(f"{place:09d}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def planned(source: object, *options: str) -> dict[str, Any]:
    run = command("plan", str(source), "--json", "-", *options)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def cleaned(source: Path, out: Path, *options: str) -> float:
    """Processor seconds of a real run, and of no other that ends meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dedupkit", "clean", source, out, *options], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("preset", ["fast", "thorough"])
def test_a_plan_foretells_time_and_storage_of_a_run(tars: Path, tmp_path: Path, preset: str) -> None:
    before = digests(tars)
    plan = planned(tars, "--samples", "96", "--preset", preset)
    assert digests(tars) == before
    assert plan["samples_read"] == 96
    assert plan["count"]["samples"]["value"] == pytest.approx(SHARDS * PICTURES, rel=0.1)
    taken = cleaned(tars, tmp_path / "out", "--preset", preset)
    foretold = sum(stage["cpu_s"]["value"] for stage in plan["stages"])
    assert taken / 3 < foretold < taken * 3
    stored = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert plan["stored"]["value"] == pytest.approx(stored, rel=0.15)


def test_rows_of_parquet_are_exact_and_storage_holds(pictures: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    for shard in range(3):
        some = pictures[shard * 50 : shard * 50 + 50]
        captions = [f"picture {number} of {shard}" for number in range(50)]
        pq.write_table(pa.table({"image": some, "caption": captions}), tmp_path / "tables" / f"{shard}.parquet")
    plan = planned(tmp_path / "tables", "--samples", "60", "--preset", "fast")
    assert plan["count"]["samples"] == {"value": 150, "low": 150, "high": 150}
    cleaned(tmp_path / "tables", tmp_path / "out", "--preset", "fast")
    stored = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert plan["stored"]["value"] == pytest.approx(stored, rel=0.15)


def test_a_folder_is_counted_exactly_and_a_mitigation_costs(pictures: list[bytes], tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, picture in enumerate(pictures[:80]):
        (folder / f"{number}.jpg").write_bytes(picture)
    plain = dedupkit.plan(folder, recipe=Recipe(preset="fast"), samples=48)
    noisy = dedupkit.plan(folder, recipe=Recipe.of({"preset": "fast", "augment": {"preset": "paper"}}), samples=48)
    assert plain.count.samples.value == noisy.count.samples.value == 80
    emitting = [next(stage for stage in plan.stages if stage.name == "arrow").cpu_s.value for plan in (plain, noisy)]
    assert emitting[1] > 2 * emitting[0]  # an image that is changed is decoded and encoded again


def test_broken_samples_are_counted_and_not_stored(planted: Planted) -> None:
    plan = dedupkit.plan(planted.folder, recipe=Recipe(preset="fast"), samples=planted.samples)
    assert plan.samples_read == planted.samples
    assert plan.count.samples.value == planted.samples
    assert plan.count.by == "read to the end"


def test_a_larger_set_on_other_machines(tars: Path) -> None:
    machine = "cores=16,memory=1GiB,disk=1GiB,price=2"
    plan = dedupkit.plan(tars, samples=48, rows=100_000_000, machine=machine, machines=4)
    assert plan.count.by == "given"
    assert plan.cost is not None
    assert plan.cost.value == pytest.approx(plan.wall_s.value / 3600 * 2 * 4)
    assert plan.least_memory.value == (400 << 20) + 60 * 100_000_000
    said = " ".join(plan.warnings)
    assert "whatever --memory says" in said
    assert "free disk" in said
    assert plan.shards == pytest.approx(6 * 100_000_000 / 240, rel=0.1)
    assert plan.source_bytes.value == pytest.approx(
        sum(tar.stat().st_size for tar in tars.iterdir()) * 1e8 / 240, rel=0.1
    )


def test_more_cores_than_shards_keep_busy_are_told(tars: Path) -> None:
    plan = dedupkit.plan(tars, recipe=Recipe(preset="fast"), samples=24, machine="cores=16", machines=4)
    assert any("6 shards keep no more than 24 of 64 cores busy" in warning for warning in plan.warnings)


def test_memory_that_a_limit_would_make_do_names_the_limit(tars: Path) -> None:
    plan = dedupkit.plan(tars, samples=48, rows=10_000_000, machine="cores=2,memory=2GiB,disk=1TB")
    assert any("--memory 1638MiB" in warning for warning in plan.warnings)
    assert plan.memory.value > 2 << 30  # ten million hashes took 3.7 GiB in the benchmark


def test_the_table_names_the_stage_that_limits(tars: Path) -> None:
    run = command("plan", str(tars), "--samples", "32", "--preset", "fast", "--rows", "1000000")
    assert run.returncode == 0
    assert "fingerprints *" in run.stdout
    assert "the stage that limits: fingerprints" in run.stdout
    assert "not known: how many copies" in run.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--samples", "0"], "samples must be 1 or more, got 0"),
        (["--machines", "0"], "machines must be 1 or more"),
        (["--rows", "0"], "rows must be 1 or more"),
        (["--machine", "gpus=8"], "machine must be text such as"),
        (["--json", "/nowhere/plan.json"], "does not exist"),
    ],
)
def test_wrong_arguments_end_with_code_2(tars: Path, options: list[str], said: str) -> None:
    run = command("plan", str(tars), *options)
    assert run.returncode == 2
    assert said in run.stderr


def test_an_empty_source_and_a_list_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": ["https://example.org/a"], "embedding": [[1.0, 0.0]]}), tmp_path / "list.parquet")
    options = Recipe.of({"source": {"url_column": "url", "embedding_column": "embedding"}})
    with pytest.raises(UsageError, match="give the images"):
        dedupkit.plan(tmp_path / "list.parquet", recipe=options)
    with pytest.raises(UsageError, match="holds no samples"):
        dedupkit.plan([])


def test_a_plan_asked_again_measures_nothing_again(tars: Path) -> None:
    plan = dedupkit.plan(tars, recipe=Recipe(preset="fast"), samples=24, machine="cores=4,memory=8GiB,disk=1TB")
    double = plan.again(machine="cores=8,memory=8GiB,disk=1TB,price=1", machines=2)
    assert double.basis is plan.basis
    by_shard = [next(each for each in one.stages if each.name == "fingerprints") for one in (plan, double)]
    assert by_shard[1].cpu_s == by_shard[0].cpu_s
    assert by_shard[1].wall_s.value == pytest.approx(by_shard[0].wall_s.value / 4)
    assert plan.again(rows=1_000_000).count.samples.value == 1_000_000
    with pytest.raises(UsageError, match="machines must be 1 or more, got 0"):
        plan.again(machines=0)
