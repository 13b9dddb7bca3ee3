"""Which licences may come with dedupkit, and that one that may not is noticed."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """Names of the script that lists licences."""
    return runpy.run_path(str(ROOT / "docs/licences.py"))


def test_all_that_the_core_brings_is_under_a_licence_that_is_allowed(script: dict[str, Any]) -> None:
    names = script["brought"]()
    found = script["packages"](names)
    assert {each.name for each in found} == names
    assert script["not_allowed"](found) == []


def test_the_page_has_every_package_of_the_core(script: dict[str, Any]) -> None:
    listed = (ROOT / "docs/licences.md").read_text(encoding="utf-8").split("## Extra")[0]
    declared = {each.partition("|")[2].strip() for each in listed.splitlines() if each.startswith("| [")}
    assert declared
    direct = {"albumentations", "datasets", "duckdb", "faiss-cpu", "numpy", "onnxruntime", "pillow", "pyarrow", "typer"}
    assert [name for name in direct if f"| [{name}](" not in listed] == []


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-3.0-only", True),  # one may choose
        ("MPL-2.0 AND MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("BSD; GNU General Public License v3 (GPLv3)", False),  # two classifiers: neither says that one may choose
        ("(MIT OR Apache-2.0) AND BSD-3-Clause", True),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_a_licence_that_is_not_allowed_is_noticed(script: dict[str, Any], licence: str, allowed: bool) -> None:
    package: Callable[..., Any] = script["Package"]
    assert package("some-package", licence, "").allowed is allowed


def test_copyleft_in_a_wheel_is_noticed_where_no_reason_is_given(script: dict[str, Any]) -> None:
    (numpy,) = script["packages"](["numpy"])
    assert any("gfortran" in each or "LICENSE" in each for each in script["_copyleft"]("numpy"))
    assert script["not_allowed"]([numpy]) == []
    script["CARRIED"].pop("numpy")
    try:
        assert "numpy: its wheel carries" in script["not_allowed"]([numpy])[0]
    finally:
        script["CARRIED"]["numpy"] = "…"
