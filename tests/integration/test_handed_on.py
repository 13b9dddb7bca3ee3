"""Files that strangers hand on beside pictures (recipes, lists) run nothing, and reach for nothing."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dedupkit
from dedupkit.errors import UsageError
from dedupkit.recipe import Recipe
from tests.hostile_pictures import drawn
from tests.hostile_run import clean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\nrun = print\n"


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that whoever follows a name would import, and what it would leave."""
    (tmp_path / "stranger.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "ran"
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


def test_addresses_in_a_list_are_never_asked(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        urls = [f"http://127.0.0.1:{server.getsockname()[1]}/{number}.jpg" for number in range(4)]
        rows = {"url": urls, "caption": ["c"] * 4, "phash": [f"{number:016x}" for number in range(1, 5)]}
        pq.write_table(pa.table(rows), tmp_path / "list.parquet")
        run = clean(tmp_path / "list.parquet", tmp_path, 'preset = "fast"\n[source]\nhash_column = "phash"\n')
        assert (run.code, run.decided) == (0, 4), run.said
        with pytest.raises(BlockingIOError):  # nobody knocks
            server.accept()
