"""The whole audit through the command line: clean a set with canaries, ask models whose answers are known."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import dedupkit
from dedupkit.audit.options import AuditOptions
from dedupkit.audit.run import audit
from dedupkit.canaries.manifest import Manifest, read_manifest
from dedupkit.cli import app
from dedupkit.errors import UsageError
from dedupkit.recipe import Recipe
from tests.commands import run
from tests.conftest import draw_picture

if TYPE_CHECKING:
    import subprocess

ROOT = Path(__file__).parents[2]
SIDE = 16
MODEL = """
import numpy as np
from dedupkit.audit.images import fitted
from dedupkit.canaries.checking import open_output
from tests.audit_models import FreshModel, LookupModel

source = open_output({data!r})
samples = [sample for shard in source.shards() for sample in source.read(shard)]
images = np.stack([fitted(sample.image, ({side}, {side})) for sample in samples])
memorised = LookupModel(images, tuple(sample.caption for sample in samples))
memorised.identity = "lookup"
fresh = FreshModel({side})
"""


@dataclass
class Planted:
    """A cleaned set with canaries, their manifest, pictures that were kept out, and models of it to import."""

    out: Path
    manifest: Path
    controls: Path
    folder: Path

    @property
    def canaries(self) -> Manifest:
        return read_manifest(self.manifest)

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT)])}
        return run("audit", *arguments, "--data", self.out, cwd=self.folder, env=environment)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("audit")
    for name, numbers in (("in", range(40)), ("controls", range(500, 540))):
        (folder / name).mkdir()
        for number in numbers:
            draw_picture(number, 96, 96).save(folder / name / f"{number}.jpg", quality=92)
            (folder / name / f"{number}.txt").write_text(f"a drawn picture, number {number}")
    manifest = folder / "set.canaries.private.json"
    recipe = Recipe.of(
        {
            "preset": "fast",
            "canaries": {"planted": 16, "controls": 16, "kinds": ("texture", "blob"), "repetitions": (1, 4)},
        }
    )
    recipe = recipe.model_copy(update={"canaries": recipe.canaries.model_copy(update={"manifest": str(manifest)})})
    dedupkit.clean(str(folder / "in"), folder / "out", recipe=recipe)
    (folder / "models.py").write_text(MODEL.format(data=str(folder / "out"), side=SIDE))
    return Planted(folder / "out", manifest, folder / "controls", folder)


QUICK = ("--captions", 20, "--images", 3, "--samples", 40, "--inpainted", 6, "--tries", 3, "--steps", 8)


def secrets_of(manifest: Manifest) -> list[str]:
    found = [manifest.secret]
    for each in manifest.canaries:
        found += [each.salt, each.sha256.hex(), each.image[:60]] + ([each.caption] if each.caption else [])
    return found


def report(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "audit.json").read_text())
    return found


def test_a_model_that_has_learnt_all_by_heart_gives_all_away(planted: Planted, tmp_path: Path) -> None:
    out = tmp_path / "audit"
    more = ("--canaries", planted.manifest, "--controls", planted.controls, "--out", out)
    done = planted.run("models:memorised", *more, *QUICK)
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        *("extraction", "inpainting", "membership", "exposure", "report")
    ]
    found = report(out)["findings"]
    assert found["extraction"]["extracted"]["share"] == 1.0
    assert found["extraction"]["false_matches"]["successes"] == 0
    assert found["inpainting"]["p_value"] < 0.01
    best = max(attack["auc"] for attack in found["membership"]["attacks"])
    assert best > 0.95
    assert found["exposure"]["exposure"]["overall"]["p_value"] < 0.001
    assert found["exposure"]["search"]["extracted"]["share"] == 1.0
    assert found["exposure"]["search"]["controls"]["successes"] <= 3  # at 16 pixels some lie near by chance
    assert report(out)["skipped"] == {}
    page = (out / "audit.html").read_text()
    assert page.count("data:image/svg+xml") == 5
    assert page.count("data:image/png") >= 2 * 20
    told = page + (out / "audit.json").read_text() + done.stderr + done.stdout
    leaks = [each for each in secrets_of(planted.canaries) if each in told]
    assert not leaks


def test_a_model_that_knows_the_distribution_alone_gives_nothing(planted: Planted, tmp_path: Path) -> None:
    more = ("--canaries", planted.manifest, "--out", tmp_path / "audit")
    done = planted.run("models:fresh", *more, *QUICK)
    assert done.returncode == 0, done.stderr
    found = report(tmp_path / "audit")["findings"]
    assert found["extraction"]["extracted"]["successes"] == 0
    assert found["exposure"]["exposure"]["overall"]["p_value"] > 0.001
    assert found["exposure"]["search"]["extracted"]["successes"] <= 3
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert not any(each in page for each in secrets_of(planted.canaries))
    assert "data:image/png" not in page  # inpainting was asked about canaries, whose pictures are nobody's business


def test_one_attack_alone_and_a_budget_that_ends(planted: Planted, tmp_path: Path) -> None:
    out = tmp_path / "audit"
    done = planted.run("extraction", "models:memorised", "--out", out, *QUICK, "--generations", 30)
    assert done.returncode == 0, done.stderr
    found = report(out)
    assert list(found["findings"]) == ["extraction"]
    assert set(found["skipped"]) == {"inpainting", "membership", "exposure"}
    assert found["findings"]["extraction"]["generations"] == 30
    assert found["findings"]["extraction"]["not_asked"] == 10
    drawn = {path: path.stat().st_mtime_ns for path in (out / ".dedupkit" / "drawn").iterdir()}
    assert len(drawn) == 10
    done = planted.run("extraction", "models:memorised", "--out", out, *QUICK)
    assert done.returncode == 0, done.stderr
    assert report(out)["findings"]["extraction"]["generations"] == 60
    assert {path: path.stat().st_mtime_ns for path in drawn} == drawn  # not drawn again
    assert report(out)["asked"]["budget"]["drawn"] == 30


def test_a_folder_of_images_drawn_elsewhere(planted: Planted, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    for number in (3, 4, 5):
        draw_picture(number, 96, 96).resize((48, 48)).save(drawn / f"{number}.png")
    for number in range(900, 920):
        draw_picture(number, 48, 48).save(drawn / f"{number}.png")
    canary = next(each for each in planted.canaries.planted if each.repetitions == 4)
    (drawn / "canary.png").write_bytes(canary.data)
    Image.open(drawn / "canary.png").convert("RGB").resize((48, 48)).save(drawn / "canary.png")
    (drawn / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    found = audit(str(drawn), data=str(planted.out), canaries=planted.manifest, workers=1)
    assert set(found.skipped) == {"inpainting", "membership"}
    extracted = found.findings["extraction"]
    assert {pair.key for pair in extracted.pairs} == {"3.jpg", "4.jpg", "5.jpg"}
    search = found.findings["exposure"].search
    assert search.extracted.successes == 1
    assert search.by_repetitions()[4].successes == 1


def test_canaries_are_told_one_by_one_only_where_asked(planted: Planted, tmp_path: Path) -> None:
    sys.path[:0] = [str(planted.folder)]
    try:
        from importlib import import_module

        model = import_module("models").memorised
    finally:
        sys.path.remove(str(planted.folder))
        sys.modules.pop("models", None)
    quiet, loud = (
        audit(
            model, data=str(planted.out), canaries=planted.manifest, workers=1,
            options=AuditOptions(attacks=("exposure",), canary_images=0, show_canaries=shown),
        ).to_json()["findings"]["exposure"]["exposure"]
        for shown in (False, True)
    )  # fmt: skip
    assert "canaries" not in quiet
    assert len(loud["canaries"]) == 16
    assert np.median([row["exposure_bits"] for row in loud["canaries"]]) > 3


def test_what_cannot_be_is_one_line_and_exit_code_2(planted: Planted, tmp_path: Path) -> None:
    runner = CliRunner()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    data = ["--data", str(planted.out)]
    for arguments, words in (
        (["nowhere", *data], "nothing is downloaded"),
        (["extraction", "a", "b", *data], "one MODEL is asked at a time"),
        ([str(planted.controls), "--data", str(tmp_path / "none")], "none"),
        ([str(planted.controls), *data, "--only", "everything"], "attacks must be some of"),
        ([str(planted.controls), *data, "--out", str(tmp_path / "full")], "did not write"),
        ([str(planted.controls), *data, "--canaries", str(tmp_path / "none.json")], "none.json"),
        ([str(planted.controls), *data, "--minutes", "0"], "more than 0"),
    ):
        if "--out" not in arguments:
            arguments = [*arguments, "--out", str(tmp_path / "audit")]
        done = run("audit", *arguments)
        assert done.returncode == 2, (arguments, done.stderr, done.stdout)
        assert words in done.stderr
    assert runner.invoke(app, ["audit", "--help"]).exit_code == 0
    with pytest.raises(UsageError, match="samples must be 2 or more"):
        AuditOptions(samples=1)


def test_a_missing_package_is_named_before_anything_is_drawn(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dedupkit.audit.run.find_spec", lambda name: None if name == "matplotlib" else True)
    with pytest.raises(UsageError, match=r"needs matplotlib; pip install 'dedupkit\[audit\]'"):
        audit(lambda captions, seeds: np.zeros(0), data=str(planted.out), out=tmp_path / "audit")
    assert not (tmp_path / "audit").exists()
