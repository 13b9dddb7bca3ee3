"""Killed at any moment and run again: the same bytes as an undisturbed run, each part written once."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.commands import Command
from tests.integration.conftest import write_shards
from tests.integration.test_clean import tree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Planted

_SHARDS = 5


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_shards(tmp_path_factory.mktemp("resume") / "shards", _SHARDS, 6)


@pytest.fixture(scope="module")
def undisturbed(source: Planted, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """What a run leaves behind, and how many seconds it takes."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run = start(source, out)
    assert run.wait(timeout=120) == 0
    return tree(out), time.monotonic() - run.began


def start(source: Planted, out: Path) -> Command:
    recipe = source.folder.parent / "recipe.toml"
    recipe.write_text('[augment]\npreset = "paper"\n[keep]\nmax_copies = 2\n')  # so that some kills hit mitigation
    return Command("clean", source.folder, out, "--format", "arrow", "--format", "webdataset", "--recipe", recipe)


def parts(out: Path) -> dict[Path, int]:
    """The parts that have a receipt, and when they were written."""
    receipts = out / ".dedupkit" / "receipts"
    found = {}
    for receipt in receipts.rglob("*.json"):
        stage, name = receipt.parent.name, receipt.name.removesuffix(".json")
        part = (out if stage in ("dataset", "webdataset") else out / ".dedupkit") / stage / name
        found[part] = part.stat().st_mtime_ns
    return found


@pytest.mark.parametrize("moment", [0.15, 0.4, 0.65, 0.8, 0.95])
def test_a_killed_run_goes_on_to_the_same_bytes(
    source: Planted, undisturbed: tuple[dict[str, str], float], tmp_path: Path, moment: float
) -> None:
    whole, seconds = undisturbed
    out = tmp_path / "out"
    run = start(source, out)
    time.sleep(seconds * moment)
    run.send_signal(signal.SIGKILL)
    run.wait(timeout=30)
    done = parts(out) if out.exists() else {}
    assert start(source, out).wait(timeout=120) == 0
    assert tree(out) == whole
    lasting = {part: made for part, made in done.items() if part.parent.name != "views"}  # those go when pairs are made
    assert {part: part.stat().st_mtime_ns for part in lasting} == lasting


def test_many_kills_in_a_row_still_end_at_the_same_bytes(
    source: Planted, undisturbed: tuple[dict[str, str], float], tmp_path: Path
) -> None:
    whole, seconds = undisturbed
    out = tmp_path / "out"
    for number in range(4):
        run = start(source, out)
        time.sleep(seconds * (0.2 + 0.2 * number))
        run.kill()
        run.wait(timeout=30)
    assert start(source, out).wait(timeout=120) == 0
    assert tree(out) == whole


def test_a_part_that_was_cut_short_is_made_again(
    source: Planted, undisturbed: tuple[dict[str, str], float], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert start(source, out).wait(timeout=120) == 0
    for name in (".dedupkit/fingerprints/00001.parquet", "dataset/data-00002.arrow", ".dedupkit/pairs/pairs.parquet"):
        data = (out / name).read_bytes()
        (out / name).write_bytes(data[: len(data) // 2])
    assert start(source, out).wait(timeout=120) == 0
    assert tree(out) == undisturbed[0]
