"""Bombs cost what they state at most, are named, and cost nobody else anything: through the real command."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from tests.hostile_cases import PICTURES, SHARDS, TABLES, Case
from tests.hostile_run import Runs

GROUPS = {"pictures": PICTURES, "shards": SHARDS, "tables": TABLES}
CASES = [pytest.param(name, case, id=f"{name}: {case.done}") for name, group in GROUPS.items() for case in group.cases]
MOST_MIB = 700  # a run of nothing but the samples that harm nobody takes 200


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(GROUPS, tmp_path_factory.mktemp("bombs"))


@pytest.mark.parametrize(("name", "case"), CASES)
def test_each_bomb_is_named(name: str, case: Case, runs: Runs) -> None:
    run = runs[name]
    assert run.code == 0, run.said
    assert {key: run.decisions[key]["reason"] for key in case.reasons} == dict(case.reasons)
    last = run.decisions[list(case.reasons)[-1]]
    assert case.told in (last["detail"] or "") or case.told in last["notes"]


@pytest.mark.parametrize("name", GROUPS)
def test_nobody_else_is_lost(name: str, runs: Runs) -> None:
    run = runs[name]
    assert {key: run.decisions[key]["reason"] for key in GROUPS[name].fine} == dict(GROUPS[name].fine)
    assert run.decided == run.summary["samples"]["in"]
    assert "Traceback" not in run.said
    assert "Warning" not in run.said


@pytest.mark.parametrize("name", GROUPS)
def test_memory_stays_what_it_is_without_them(name: str, runs: Runs) -> None:
    assert runs[name].peak_mib < MOST_MIB


def test_fields_of_any_number_stay_readable(runs: Runs) -> None:
    emitted = pq.read_schema(next((runs["shards"].out / "parquet").rglob("*.parquet")))
    assert len(emitted.names) < 20
