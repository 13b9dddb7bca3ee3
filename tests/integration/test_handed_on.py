"""Files that strangers hand on beside pictures (recipes, lists) run nothing, and reach for nothing."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dedupkit
from dedupkit.errors import UsageError
from dedupkit.recipe import Recipe
from tests.hostile_pictures import drawn

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\nrun = print\n"


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that whoever follows a name would import, and what it would leave."""
    (tmp_path / "stranger.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "ran"  # type: ignore[misc]
    sys.modules.pop("stranger", None)


@pytest.mark.parametrize(
    "text",
    [
        '[keep]\npolicy = "stranger:run"',
        '[hygiene]\nchecks = ["stranger:run"]',
        '[fingerprints]\ndescriptor = "stranger:run"',
        '[output]\nformats = ["stranger:run"]',
        '[canaries]\nkinds = ["stranger:run"]',
        '[stranger]\nrun = "stranger:run"',
    ],
)
def test_a_recipe_runs_no_code(text: str, trap: Path, tmp_path: Path) -> None:
    samples = [{"key": "a", "image": drawn(1)}]
    with pytest.raises(UsageError):
        dedupkit.clean(samples, tmp_path / "out", recipe=Recipe.loads(text))
    assert not trap.exists()


def test_a_recipe_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    named = {"planted": 2, "controls": 2, "manifest": str(tmp_path / "precious")}
    samples = [{"key": str(number), "image": drawn(number)} for number in range(8)]
    with pytest.raises(dedupkit.DedupkitError):
        dedupkit.clean(samples, tmp_path / "out", recipe=Recipe.of({"preset": "fast", "canaries": named}))
    assert (tmp_path / "precious").read_text() == "mine"


def test_addresses_in_a_list_are_never_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> NoReturn:
        raise AssertionError("somebody opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    urls = [f"http://169.254.169.254/latest/{number}.jpg" for number in range(4)]
    rows = {"url": urls, "caption": ["c"] * 4, "phash": [f"{number:016x}" for number in range(1, 5)]}
    pq.write_table(pa.table(rows), tmp_path / "list.parquet")
    choices = {"preset": "fast", "source": {"hash_column": "phash"}}
    result = dedupkit.clean(str(tmp_path / "list.parquet"), tmp_path / "out", recipe=Recipe.of(choices))
    assert result.summary["samples"]["in"] == 4
