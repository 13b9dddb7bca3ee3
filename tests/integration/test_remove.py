"""Takedown from a cleaned set: all versions of the pictures go, nothing of them is left, nothing else is touched."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image
from typer.testing import CliRunner

import dedupkit
from dedupkit.cli import app
from dedupkit.errors import UsageError
from dedupkit.recipe import Recipe
from tests.conftest import draw_picture
from tests.integration.takedown_sets import TakedownSet, save, write_takedown_set
from tests.mds_reader import read_mds

ALL = {"keep": {"max_copies": 1}, "output": {"formats": ("arrow", "parquet", "webdataset", "mds")}}


@pytest.fixture(scope="module")
def takedown(tmp_path_factory: pytest.TempPathFactory) -> TakedownSet:
    return write_takedown_set(tmp_path_factory.mktemp("takedown"))


@pytest.fixture(scope="module")
def cleaned(takedown: TakedownSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set in all formats, all copies kept: what is taken down stands there five times."""
    out = tmp_path_factory.mktemp("cleaned") / "out"
    dedupkit.clean(str(takedown.folder), out, recipe=Recipe.of(ALL | {"keep": {"max_copies": "all"}}))
    return out


def emitted_bytes(out: Path) -> dict[str, bytes]:
    return {
        row["key"]: row["image"]["bytes"]
        for path in sorted((out / "parquet").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    }


def left_of(out: Path, *needles: bytes) -> list[str]:
    """Files of an output that hold one of some byte strings."""
    files = (path for path in out.rglob("*") if path.is_file())
    return [str(path.relative_to(out)) for path in files if any(needle in path.read_bytes() for needle in needles)]


def test_all_versions_go_from_every_format_and_nothing_else(
    cleaned: Path, takedown: TakedownSet, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(cleaned, out)
    before = emitted_bytes(out)
    done = CliRunner().invoke(app, ["remove", str(out), "--like", str(takedown.examples)])
    assert done.exit_code == 0, done.output
    assert f"{len(takedown.wanted)} samples removed" in done.stdout
    after = emitted_bytes(out)
    assert {Path(key).stem for key in after} == takedown.others
    assert all(before[key] == image for key, image in after.items())
    assert set(datasets.load_from_disk(out / "dataset")["key"]) == set(after)
    tars = webdataset.WebDataset(sorted(map(str, (out / "webdataset").glob("*.tar"))), shardshuffle=False)
    assert {json.loads(sample["json"])["key"] for sample in tars} == set(after)
    assert {sample["key"]: sample["image"] for sample in read_mds(out / "mds")} == after
    rows = pq.read_table(out / "decisions.parquet").to_pylist()
    blocked = {Path(row["key"]).stem: row for row in rows if row["reason"] == "blocked"}
    assert set(blocked) == takedown.wanted
    assert all(row["action"] == "drop" and f"example{key[3]}.jpg" in row["detail"] for key, row in blocked.items())
    summary = json.loads((out / "report.json").read_text())
    assert summary["reasons"]["blocked"] == 50
    assert summary["written"] == dict.fromkeys(("arrow", "parquet", "webdataset", "mds"), len(after))


def test_nothing_of_what_went_is_left_in_any_file(cleaned: Path, takedown: TakedownSet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(cleaned, out)
    before = emitted_bytes(out)
    gone = [image[len(image) // 2 :][:64] for key, image in before.items() if Path(key).stem in takedown.wanted]
    assert left_of(out, *gone)
    dedupkit.remove(out, like=[takedown.examples])
    assert left_of(out, *gone) == []
    assert left_of(out, b"caption of bad") == []
    work = out / ".dedupkit"
    for path in [*(work / "fingerprints").glob("*.parquet"), out / "takedown.parquet"]:
        captions = pq.read_table(path)["caption"].to_pylist()
        assert not any("bad" in caption for caption in captions if caption)
    shown = {row["position"] for path in (work / "thumbnails").glob("*") for row in pq.read_table(path).to_pylist()}
    rows = pq.read_table(out / "decisions.parquet").to_pylist()
    assert not shown & {row["position"] for row in rows if row["reason"] == "blocked"}


def test_a_later_run_into_the_same_folder_lets_nothing_in_again(
    cleaned: Path, takedown: TakedownSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    shutil.copytree(cleaned, out)
    dedupkit.remove(out, like=[takedown.examples])
    recipe = Recipe.of(ALL | {"keep": {"max_copies": "all"}})
    for overwrite in (False, True):
        with caplog.at_level(logging.WARNING, "dedupkit"):
            dedupkit.clean(str(takedown.folder), out, recipe=recipe, overwrite=overwrite)
        assert "50 samples stay out because they were taken down earlier" in caplog.text
        assert {Path(key).stem for key in emitted_bytes(out)} == takedown.others
        caplog.clear()


@pytest.mark.parametrize("preset", ["thorough", "fast"])
def test_copies_that_were_dropped_before_are_blocked_with_their_representative(
    takedown: TakedownSet, tmp_path: Path, preset: str
) -> None:
    recipe = Recipe.of({"preset": preset, "output": {"formats": ("parquet",)}})
    dedupkit.clean(str(takedown.folder), tmp_path / "out", recipe=recipe)
    removed = dedupkit.remove(tmp_path / "out", like=[takedown.examples])
    assert {Path(key).stem for key in removed.decisions["key"].to_pylist()} == takedown.wanted
    assert len(removed.keys) < len(takedown.wanted)
    details = removed.decisions["detail"].to_pylist()
    assert any("a copy of bad" in detail and detail.endswith("which was taken down") for detail in details)
    assert not any(Path(key).stem in takedown.wanted for key in emitted_bytes(tmp_path / "out"))


def test_a_key_takes_all_copies_with_it(cleaned: Path, tmp_path: Path) -> None:
    shutil.copytree(cleaned, tmp_path / "out")
    removed = dedupkit.remove(tmp_path / "out", keys=["bad0-original.jpg"])
    assert {key.partition("-")[0] for key in removed.keys} == {"bad0"}
    assert len(removed.keys) == 5


def test_a_url_and_a_digest_take_all_copies_with_them(tmp_path: Path) -> None:
    folder, out = tmp_path / "set", tmp_path / "out"
    folder.mkdir()
    rows = []
    for number in range(4):
        for name, image in (("a", draw_picture(number)), ("b", draw_picture(number).resize((160, 120)))):
            save(image, folder / f"{number}{name}.jpg", 90)
            rows.append({"file_name": f"{number}{name}.jpg", "text": "", "url": f"https://example.org/{number}{name}"})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    digest = hashlib.sha256((folder / "2b.jpg").read_bytes()).hexdigest()
    recipe = Recipe.of({"preset": "fast", "keep": {"max_copies": "all"}, "output": {"formats": ("parquet",)}})
    dedupkit.clean(str(folder), out, recipe=recipe)
    named = ["--url", "https://example.org/0a", "--sha256", digest]
    done = CliRunner().invoke(app, ["remove", str(out), *named])
    assert done.exit_code == 0, done.output
    assert set(emitted_bytes(out)) == {"1a.jpg", "1b.jpg", "3a.jpg", "3b.jpg"}
    details = {row["key"]: row["detail"] for row in pq.read_table(out / "decisions.parquet").to_pylist()}
    assert "https://example.org/0a" in details["0a.jpg"]
    assert digest in details["2b.jpg"]
    assert details["0b.jpg"].startswith("the same picture as 0a.jpg, which was taken down: ")
    assert details["2a.jpg"].startswith("the same picture as 2b.jpg, which was taken down: ")


def test_a_removal_that_was_killed_is_finished_by_the_next(
    cleaned: Path, takedown: TakedownSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(cleaned, out)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dedupkit.erasing._write_decisions", killed)
        with pytest.raises(KeyboardInterrupt):
            dedupkit.remove(out, like=[takedown.examples / "example0.jpg"])
    dedupkit.remove(out, keys=["good0.jpg"])
    rows = pq.read_table(out / "decisions.parquet").to_pylist()
    blocked = {row["key"].partition("-")[0] for row in rows if row["reason"] == "blocked"}
    assert blocked >= {"bad0", "good0.jpg"}
    assert len(datasets.load_from_disk(out / "dataset")) == sum(row["action"] == "keep" for row in rows)


def test_what_cannot_be_is_said_before_anything_is_written(cleaned: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is named"):
        dedupkit.remove(cleaned)
    with pytest.raises(UsageError, match="no output of dedupkit clean"):
        dedupkit.remove(tmp_path, keys=["a"])
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        dedupkit.remove(cleaned, sha256=["ab"])
    Image.new("RGB", (64, 64)).save(tmp_path / "x.jpg")
    (tmp_path / "x.jpg").write_bytes((tmp_path / "x.jpg").read_bytes()[:200])
    with pytest.raises(UsageError, match=r"example image x\.jpg cannot be used"):
        dedupkit.remove(cleaned, like=[tmp_path / "x.jpg"])
