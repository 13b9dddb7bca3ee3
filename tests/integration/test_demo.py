"""The demonstration from end to end, on the images that come with dedupkit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dedupkit.demo import run_demo

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit.demo import DemoResult


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return run_demo(tmp_path_factory.mktemp("demo"))


def test_no_picture_is_lost(result: DemoResult) -> None:
    assert result.lost == ()


def test_every_fault_is_named(result: DemoResult) -> None:
    assert result.faults_named == result.planted_faults


def test_every_exact_copy_is_found(result: DemoResult) -> None:
    assert result.found["exact"] == result.planted["exact"]


def test_most_edited_copies_are_found(result: DemoResult) -> None:
    edited = sum(result.planted.values()) - result.planted["exact"]
    assert sum(result.found.values()) - result.found["exact"] >= 0.75 * edited


def test_the_report_and_the_tables_are_there(result: DemoResult) -> None:
    assert result.report.is_file()
    assert "planted" in result.text()
    assert "64 different pictures, 0 lost" in result.text()


def test_a_second_run_in_the_same_folder_finds_the_same(tmp_path: Path) -> None:
    first, second = (run_demo(tmp_path) for _ in range(2))
    assert first.found == second.found
    assert first.lost == second.lost
