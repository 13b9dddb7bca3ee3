"""Stores and disks that fail: the run goes on or ends in one line, nothing is half, and the next run ends alike."""

from __future__ import annotations

import os
import random
import subprocess
import time
from typing import TYPE_CHECKING

import fsspec
import pytest

import dedupkit
from dedupkit.errors import RunError
from dedupkit.recipe import Recipe
from tests.commands import Command
from tests.integration.conftest import write_shards
from tests.integration.store_servers import (
    FaultyFileSystem,
    contents,
    digests,
    local_contents,
    running_store,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Planted
    from tests.integration.store_servers import Store

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
_CHOICES = {"preset": "fast", "augment": {"preset": "paper"}}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_shards(tmp_path_factory.mktemp("failures") / "shards", 3, 8)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text('preset = "fast"\n[augment]\npreset = "paper"\n')
    return path


@pytest.fixture(scope="module")
def whole(source: Planted, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an undisturbed run on this machine leaves."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    dedupkit.clean(source.folder, out, recipe=Recipe.of(_CHOICES, name="test"))
    return digests(local_contents(out))


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as store:
        yield store


def start(source: Planted, out: str, recipe: Path) -> Command:
    return Command("clean", source.folder, out, "--recipe", recipe)


def ended(run: Command) -> tuple[int, str]:
    """Exit code and stderr."""
    _, told = run.communicate(timeout=300)
    return run.wait(), told


def test_runs_killed_at_random_moments_end_at_the_same_bytes(
    source: Planted, recipe: Path, whole: dict[str, str], store: Store
) -> None:
    out, rng = "s3://bucket/killed", random.Random(11)
    timed = start(source, "s3://bucket/timed", recipe)
    assert ended(timed)[0] == 0
    seconds = time.monotonic() - timed.began
    for _ in range(3):
        run = start(source, out, recipe)
        time.sleep(seconds * rng.uniform(0.1, 0.95))
        run.kill()
        ended(run)
        half = {name: made for name, made in digests(contents(out)).items() if whole.get(name, made) != made}
        assert not half
    assert ended(start(source, out, recipe))[0] == 0  # though it left its lock
    assert digests(contents(out)) == whole


def test_a_store_that_fails_now_and_then_changes_nothing(source: Planted, whole: dict[str, str], store: Store) -> None:
    fsspec.filesystem("s3").put(str(source.folder), "bucket/shards", recursive=True)
    store.requests.clear()
    store.failing = 0.06
    try:
        found = dedupkit.clean("s3://bucket/shards", "s3://bucket/flaky", recipe=Recipe.of(_CHOICES, name="test"))
    finally:
        store.failing = 0.0
    assert sum(store.requests.values()) > 150  # of which some nine failed
    assert found.summary["samples"]["quarantined"] == len(source.faults)  # no fault of the network's is one of the data
    there = digests(contents("s3://bucket/flaky"))
    # not the card, which says where the set came from
    names = [name for name in whole if name.startswith("dataset/data-") or name == "decisions.parquet"]
    assert {name: there[name] for name in names} == {name: whole[name] for name in names}


def test_answers_that_come_too_late_change_nothing(
    source: Planted, whole: dict[str, str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dedupkit.stores._MAX_WAIT_S", 0.05)
    patience = {"read_timeout": 0.3, "retries": {"mode": "standard", "max_attempts": 2}}
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": patience})
    store.hanging, store.hangs_s = 0.03, 0.8
    try:
        dedupkit.clean(source.folder, "s3://bucket/late", recipe=Recipe.of(_CHOICES, name="test"))
    finally:
        store.hanging = 0.0
    time.sleep(store.hangs_s)  # until the last of them has been done, though nobody waits for it
    assert digests(contents("s3://bucket/late")) == whole


def test_listings_that_lag_behind_are_not_believed(store: Store, tmp_path: Path) -> None:
    source, out = write_shards(tmp_path / "shards", 2, 3).folder, "s3://bucket/lags"
    first, second = (Recipe.of({"preset": "fast", "keep": {"policy": each}}, name="test") for each in ("first", "last"))
    dedupkit.clean(source, tmp_path / "second", recipe=second)
    expected = digests(local_contents(tmp_path / "second"))

    def clean_and_compare(*, lags: bool) -> None:
        store.lags = lags
        try:
            dedupkit.clean(source, out, recipe=second)
        finally:
            store.lags = False
        assert digests(contents(out)) == expected

    dedupkit.clean(source, out, recipe=first)
    clean_and_compare(lags=True)
    clean_and_compare(lags=False)
    bucket = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    for gone in ("dataset/data-00001.arrow", ".dedupkit/fingerprints/00000.parquet"):
        bucket.rm_file(f"{out}/{gone}")  # and every listing shows it still
    clean_and_compare(lags=True)


def test_a_store_that_fails_for_good_ends_the_run_in_one_line(
    source: Planted, recipe: Path, whole: dict[str, str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # else it takes minutes
    run = start(source, "s3://bucket/broken", recipe)
    bucket = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    while not bucket.exists("bucket/broken/.dedupkit/fingerprints/00000.parquet"):
        time.sleep(0.05)
    store.failing = 1.0
    try:
        code, told = ended(run)
    finally:
        store.failing = 0.0
    assert code == 1
    assert "run again to go on from the last part" in told.splitlines()[-1]
    assert "Traceback" not in told
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    assert ended(start(source, "s3://bucket/broken", recipe))[0] == 0
    assert digests(contents("s3://bucket/broken")) == whole


@pytest.mark.parametrize(("io_errors", "no_space"), [(0.02, 0.0), (0.6, 0.0), (0.02, 0.03)])
def test_errors_of_a_disk_cost_time_or_the_run_and_no_byte(
    source: Planted,
    whole: dict[str, str],
    io_errors: float,
    no_space: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    monkeypatch.setattr("dedupkit.stores._MAX_WAIT_S", 0.01)
    monkeypatch.setattr(FaultyFileSystem, "rng", random.Random(5))
    monkeypatch.setattr(FaultyFileSystem, "io_errors", io_errors)
    monkeypatch.setattr(FaultyFileSystem, "no_space", no_space)
    failures, out = [], f"faulty://{tmp_path}/out"
    for _ in range(60):
        try:
            dedupkit.clean(f"faulty://{source.folder}", out, recipe=Recipe.of(_CHOICES, name="test"))
            break
        except RunError as error:
            failures.append(str(error))
            visible = {
                n: d for n, d in digests(local_contents(tmp_path / "out")).items() if n.startswith("dataset/data-")
            }
            assert {n: d for n, d in visible.items() if not n.endswith(".partial")}.items() <= whole.items()
        if len(failures) == 20:
            monkeypatch.setattr(FaultyFileSystem, "io_errors", 0.0)
            monkeypatch.setattr(FaultyFileSystem, "no_space", 0.0)
    assert bool(failures) == (no_space > 0 or io_errors > 0.5)
    assert all("\n" not in told and "run again" in told for told in failures)
    left = digests(local_contents(tmp_path / "out"))
    assert {name: left[name] for name in whole if name.startswith("dataset/data-")} == {
        name: made for name, made in whole.items() if name.startswith("dataset/data-")
    }
    assert left["decisions.parquet"] == whole["decisions.parquet"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    if os.name == "nt" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to be allowed to mount a disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_ends_the_run_in_one_line_and_the_next_goes_on(
    source: Planted, recipe: Path, whole: dict[str, str], small_disk: Path
) -> None:
    ballast, out = small_disk / "ballast", small_disk / "out"
    needed = sum(len(data) for data in local_contents(_undisturbed(source, recipe, small_disk)).values())
    for share in (0.02, 0.3, 0.8):
        ballast.write_bytes(bytes((6 << 20) - int(needed * share)))
        code, told = ended(start(source, str(out), recipe))
        *earlier, last = told.splitlines()
        assert code == 1
        assert all(line.endswith("parts used again") for line in earlier)
        assert "No space left on device; free some space" in last
        ballast.unlink()
    assert ended(start(source, str(out), recipe))[0] == 0
    assert digests(local_contents(out)) == whole


def _undisturbed(source: Planted, recipe: Path, beside: Path) -> Path:
    out = beside.parent / "roomy"
    assert ended(start(source, str(out), recipe))[0] == 0
    return out
