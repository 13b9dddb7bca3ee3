"""The threat model names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / name for name in ("security.md", "hostile_input.md")]
_TEST = re.compile(r"`(test_\w+)`")
_FILE = re.compile(r"`(tests/[\w/.]+)`")
_HANDED_IN = {"images", "tars", "Parquet, Arrow", "captions", "keys, file names", "recipes", "override files"}


@pytest.fixture(scope="module")
def defined() -> set[str]:
    """The names of all tests."""
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for text in texts for name in re.findall(r"^\s*(?:async )?def (test_\w+)", text, re.M)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page: Path, defined: set[str]) -> None:
    text = page.read_text(encoding="utf-8")
    assert [name for name in _TEST.findall(text) if name not in defined] == []
    assert [name for name in _FILE.findall(text) if not (ROOT / name).exists()] == []


def test_every_promise_and_everything_handed_in_has_its_test() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    promises = [row for row in rows if row.count("|") == 4 and not row.startswith("| it must never")]
    assert len(promises) >= 10
    assert all(_TEST.search(row) or "the same" in row for row in promises)
    handed_in = {row.split("|")[1].strip(" *"): row for row in rows if row.startswith("| **")}
    assert set(handed_in) >= _HANDED_IN
    assert all(_TEST.search(row) for row in handed_in.values())
