"""Bombs cost what they state at most, are named, and cost nobody else anything: through the real command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from tests.hostile_cases import PICTURES, SHARDS, TABLES, Case, Group
from tests.hostile_run import Cleaned, cleaned

if TYPE_CHECKING:
    from pathlib import Path

GROUPS = {"pictures": PICTURES, "shards": SHARDS, "tables": TABLES}
CASES = [pytest.param(name, case, id=f"{name}: {case.done}") for name, group in GROUPS.items() for case in group.cases]
MOST_MIB = 700  # a run of nothing but the samples that harm nobody takes 200


@pytest.fixture(scope="module", params=GROUPS)
def group(request: pytest.FixtureRequest, runs: dict[str, Cleaned]) -> tuple[Group, Cleaned]:
    return GROUPS[request.param], runs[request.param]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cleaned]:
    """One run of each group."""
    folder = tmp_path_factory.mktemp("bombs")
    return {name: cleaned(group, folder / name) for name, group in GROUPS.items()}


@pytest.mark.parametrize(("name", "case"), CASES)
def test_each_bomb_is_named(name: str, case: Case, runs: dict[str, Cleaned]) -> None:
    run = runs[name]
    assert run.code == 0, run.said
    assert {key: run.decisions[key]["reason"] for key in case.reasons} == dict(case.reasons)
    last = run.decisions[list(case.reasons)[-1]]
    assert case.told in (last["detail"] or "") or case.told in last["notes"]


def test_nobody_else_is_lost(group: tuple[Group, Cleaned]) -> None:
    hostile, run = group
    fine = {key: run.decisions[key]["reason"] for key in hostile.fine}
    assert fine == dict(hostile.fine)
    assert run.decided == run.summary["samples"]["in"]
    assert "Traceback" not in run.said
    assert "Warning" not in run.said


def test_memory_stays_what_it_is_without_them(group: tuple[Group, Cleaned]) -> None:
    _, run = group
    assert run.peak_mib < MOST_MIB


def test_fields_of_any_number_stay_readable(runs: dict[str, Cleaned], tmp_path: Path) -> None:
    emitted = pq.read_schema(next((runs["shards"].out / "parquet").rglob("*.parquet")))
    assert len(emitted.names) < 20
