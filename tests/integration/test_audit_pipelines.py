"""All four audits of real pipelines of diffusers, tiny and untrained, from folders and through the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import dedupkit
from dedupkit.cli import app
from dedupkit.recipe import Recipe
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.extras


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An output of `clean` with canaries, and their manifest."""
    folder = tmp_path_factory.mktemp("cleaned")
    (folder / "in").mkdir()
    for number in range(12):
        draw_picture(number, 64, 64).save(folder / "in" / f"{number}.png")
        (folder / "in" / f"{number}.txt").write_text("a small cat")
    manifest = folder / "canaries.private.json"
    planted = {"planted": 4, "controls": 4, "kinds": ("texture",), "repetitions": (1, 2), "manifest": str(manifest)}
    dedupkit.clean(str(folder / "in"), folder / "out", recipe=Recipe.of({"preset": "fast", "canaries": planted}))
    return folder / "out", manifest


@pytest.mark.parametrize("kind", ["ddpm", "sd", "sdxl", "sd3", "if", "kandinsky", "unclip"])
def test_all_four_audits_run_on_every_kind(kind: str, cleaned: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    import torch

    torch.set_num_threads(1)  # networks this small only lose time with more
    from tests.tiny_pipelines import saved

    out, manifest = cleaned
    model = saved(kind, tmp_path / "model")
    options = ["--captions", "2", "--images", "2", "--unconditional", "4", "--samples", "4", "--inpainted", "2"]
    arguments = ["--data", str(out), "--canaries", str(manifest), "--out", str(tmp_path / "audit"), "--steps", "2"]
    done = CliRunner().invoke(app, ["audit", str(model), *arguments, *options, "--tries", "1"])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert list(found["findings"]) == ["extraction", "inpainting", "membership", "exposure"]
    assert found["findings"]["extraction"]["kind"] == ("unconditional" if kind == "ddpm" else "conditional")
    assert found["findings"]["extraction"]["extracted"]["successes"] == 0  # it was never trained
    kept = list((tmp_path / "audit" / ".dedupkit" / "drawn").iterdir())
    assert kept  # a second run would draw none of them again
    assert "<title>dedupkit audit</title>" in (tmp_path / "audit" / "audit.html").read_text()
