"""Tricks with names, links and paths lead nowhere, and no two samples are taken for one: through the real command."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import unicodedata
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import dedupkit
from dedupkit.cli import app
from dedupkit.recipe import Recipe
from tests.conftest import draw_picture
from tests.hostile_run import ALL_FORMATS, Runs
from tests.hostile_run import dedupkit as run_command
from tests.hostile_tricks import LINKS, NAMES, PATHS, SECRET, SECRET_CAPTION

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hostile_cases import Case

GROUPS = {"names": NAMES, "links": LINKS, "paths": PATHS}
CASES = [pytest.param(name, case, id=f"{name}: {case.done}") for name, group in GROUPS.items() for case in group.cases]
ON_WINDOWS = re.compile(r'[\x00-\x1f<>:"|?*\\]|[ .]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody make such names")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(GROUPS, tmp_path_factory.mktemp("tricks"), {"names": ALL_FORMATS})


@pytest.mark.parametrize(("name", "case"), CASES)
def test_each_trick_is_seen_through(name: str, case: Case, runs: Runs) -> None:
    run = runs[name]
    assert run.code == 0, run.said
    assert {key: run.decisions[key]["reason"] for key in case.reasons} == dict(case.reasons)
    for row in [run.decisions[key] for key in case.reasons][-1:]:
        assert case.told in (row["detail"] or "") or case.told in row["notes"]


@pytest.mark.parametrize("name", GROUPS)
def test_every_sample_is_one_and_no_other(name: str, runs: Runs) -> None:
    run, group = runs[name], GROUPS[name]
    expected = {key: reason for case in group.cases for key, reason in case.reasons.items()} | dict(group.fine)
    assert {key: row["reason"] for key, row in run.decisions.items()} == expected
    kept = [key for key, row in run.decisions.items() if row["action"] == "keep"]
    assert sorted(_keys(run.out)) == sorted(kept)
    if name == "names":
        assert sorted(dedupkit.Result(str(run.out), {}).dataset()["key"]) == sorted(kept)


def _keys(out: Path) -> list[str]:
    return [key for path in (out / "parquet").rglob("*.parquet") for key in pq.read_table(path)["key"].to_pylist()]


@pytest.mark.parametrize("name", GROUPS)
def test_nothing_is_written_beside_the_output(name: str, runs: Runs) -> None:
    run = runs[name]
    assert {path.name for path in run.out.parent.iterdir()} <= {"in", "out", "outside", "recipe.toml"}
    assert not any("escape" in path.name for path in run.out.rglob("*"))


def test_a_tar_of_such_names_unpacks_everywhere(runs: Runs, tmp_path: Path) -> None:
    described = {}
    for path in sorted((runs["names"].out / "webdataset").glob("*.tar")):
        with tarfile.open(path) as tar:
            names = tar.getnames()
            assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(names)
            for part in {part for name in names for part in name.split("/")}:
                assert not ON_WINDOWS.search(part)
                assert len(part.encode()) <= 255
            tar.extractall(tmp_path / path.stem, filter="data")
    for path in tmp_path.rglob("*.json"):
        said = json.loads(path.read_text(encoding="utf-8"))
        described[said.get("key", "")] = path
    kept = {key for key, row in runs["names"].decisions.items() if row["action"] == "keep"}
    assert kept <= described.keys()  # the JSON holds the key as it was


def test_nobody_reads_outside_of_the_source(runs: Runs) -> None:
    for name in ("links", "paths"):
        for path in runs[name].out.rglob("*"):
            if path.is_file():
                assert SECRET not in path.read_bytes()
                assert SECRET_CAPTION.encode() not in path.read_bytes()


def test_a_page_and_a_terminal_show_names_as_text(runs: Runs) -> None:
    page = (runs["names"].out / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert not re.search("[\x00\x07\x1b]", page + runs["names"].said)


def test_a_shard_that_is_a_link_out_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    NAMES.write_fine(tmp_path / "in")
    (tmp_path / "elsewhere.tar").write_bytes(b"")
    (tmp_path / "in" / "more.tar").symlink_to(tmp_path / "elsewhere.tar")
    run, _, _ = run_command("clean", str(tmp_path / "in"), str(tmp_path / "out"))
    assert run.returncode == 2
    assert "more.tar cannot be read (a link that leads outside the folder); take it out, or name" in run.stderr
    assert not (tmp_path / "out").exists()


def test_what_has_an_endless_name_can_be_taken_down(tmp_path: Path) -> None:
    key = "y" * 4_000
    samples = [{"key": key, "image": _encoded(1)}, {"key": "z", "image": _encoded(2)}]
    dedupkit.clean(samples, tmp_path / "out", recipe=Recipe(preset="fast"))
    run = CliRunner().invoke(app, ["remove", str(tmp_path / "out"), "--key", key])
    assert run.exit_code == 0, run.output
    assert dedupkit.Result(str(tmp_path / "out"), {}).dataset()["key"] == ["z"]


def _encoded(seed: int) -> bytes:
    buffer = io.BytesIO()
    draw_picture(seed, 64, 64).save(buffer, "PNG")
    return buffer.getvalue()
