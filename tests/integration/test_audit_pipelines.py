"""All four audits of real pipelines of diffusers, tiny and untrained, from folders and through the command line."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import dedupkit
from dedupkit.cli import app
from dedupkit.errors import UsageError
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


def _as_pickles(folder: Path) -> list[Path]:
    """The weights of a saved model as torch pickles them, in place of safetensors."""
    from safetensors.torch import load_file

    torch = pytest.importorskip("torch")
    made: list[Path] = []
    for path in sorted(folder.rglob("*.safetensors")):
        pickled = path.with_name({"model": "pytorch_model"}.get(path.stem, path.stem) + ".bin")
        torch.save(load_file(path), pickled)
        path.unlink()
        made.append(pickled)
    return made


@pytest.mark.parametrize("kind", ["ddpm", "sd"])
def test_pickles_are_read_only_when_asked_for_and_are_named(
    kind: str, cleaned: tuple[Path, Path], tmp_path: Path
) -> None:
    pytest.importorskip("diffusers")
    from tests.tiny_pipelines import saved

    safe = saved(kind, tmp_path / "safe")
    model = tmp_path / "model"
    shutil.copytree(safe, model)
    pickles = _as_pickles(model)
    arguments = ["audit", str(model), "--data", str(cleaned[0]), "--only", "extraction", "--steps", "1", "--out"]
    few = ["--captions", "1", "--images", "1", "--unconditional", "2"]
    refused = CliRunner().invoke(app, [*arguments, str(tmp_path / "refused"), *few])
    assert isinstance(refused.exception, UsageError)
    assert "--trust-pickles" in str(refused.exception)
    done = CliRunner().invoke(app, [*arguments, str(tmp_path / "audit"), *few, "--trust-pickles"])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert found["asked"]["model"]["trust_pickles"] == "True"
    page = (tmp_path / "audit" / "audit.html").read_text()
    for path in pickles:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert sum(digest in note for note in found["model_notes"]) == 1
        assert digest in page


def test_a_program_in_a_trusted_pickle_is_held_back_all_the_same(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    import pickle

    from dedupkit.audit.adapters import open_model
    from tests.tiny_pipelines import saved

    model = saved("ddpm", tmp_path / "model")
    pickled = _as_pickles(model)[0]
    mark = tmp_path / "ran"
    pickled.write_bytes(pickle.dumps(_Program(mark)))
    with pytest.raises(UsageError, match="cannot be loaded"):
        open_model(model, trust_pickles=True)
    assert not mark.exists()


class _Program:
    """What a pickle may do when it is read."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        from pathlib import Path

        return Path.touch, (self._mark,)
