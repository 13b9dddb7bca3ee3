"""The example that trains small diffusion models, end to end through the command line, in its tiny size."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from dedupkit.audit.model import Denoiser, Generator, can

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "memorisation"

pytestmark = pytest.mark.extras


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the example writes for one seed."""
    for needed in ("torch", "sklearn", "matplotlib", "networkx"):
        pytest.importorskip(needed)
    folder = tmp_path_factory.mktemp("memorisation")
    command = [sys.executable, str(EXAMPLE / "run.py"), str(folder), "--tiny", "--seeds", "1"]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return folder


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """The example's own modules `model` and `sets`, which stand beside its script."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield import_module("model"), import_module("sets")
    for name in ("model", "sets"):
        del sys.modules[name]


def test_more_repeated_pictures_come_out_before_cleaning_than_after(out: Path) -> None:
    runs = {each["set"]: each for each in json.loads((out / "result.json").read_text())["runs"]}
    came = {name: each["extraction"]["extracted"] for name, each in runs.items()}
    assert came["repeated"] >= 3
    assert came["cleaned"] <= came["repeated"] // 3
    assert runs["repeated"]["samples"] == 190 + 10 * 64
    assert runs["repeated"]["extraction"]["false_matches"]["successes"] == 0
    assert sum(map(len, runs["changed"]["exposure"]["bits"].values())) == 10  # each of the canaries, however often
    for name in runs:
        assert (out / "seed0" / f"{name}-audit" / "audit.html").is_file()
    ElementTree.parse(out / "extracted.svg")
    assert "| 64 |" in (out / "tables.md").read_text()


def test_a_result_tells_no_canary(out: Path) -> None:
    manifest = json.loads((out / "seed0" / "changed.canaries.private.json").read_text())
    told = (out / "result.json").read_text() + (out / "tables.md").read_text()
    for canary in manifest["canaries"]:
        assert canary["caption"] not in told
        assert canary["salt"] not in told


@pytest.mark.parametrize("conditional", [False, True])
def test_a_model_is_saved_and_loaded(tmp_path: Path, modules: tuple[Any, Any], conditional: bool) -> None:
    example, sets = modules
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    pictures = sets.Pictures(images, tuple(f"a picture {number}" for number in range(6)))
    how = example.Architecture(side=8, channels=3, conditional=conditional, width=32)
    trained, _ = example.train(pictures, how, example.Training(steps=20, batch=8), 0)
    trained.save(tmp_path / "model")
    loaded = example.SmallModel.load(tmp_path / "model")
    assert can(loaded, Generator, Denoiser)
    assert loaded.identity == trained.identity
    assert np.array_equal(loaded.decode(loaded.encode(images)), images)
    told, untold = (loaded.generate([caption] * 2, [1, 2]) for caption in ("a picture 3", None))
    assert np.array_equal(told[1:], trained.generate(["a picture 3"], [2]))
    assert np.array_equal(told, untold) is not conditional


def test_of_pictures_that_are_near_or_flat_one_or_none_is_taken(tmp_path: Path, modules: tuple[Any, Any]) -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (12, 12, 3), np.uint8)
    for name, pixels in (("a", picture), ("b", picture // 4 * 4), ("c", rng.integers(0, 256, (12, 12, 3), np.uint8))):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    Image.new("RGB", (12, 12)).save(tmp_path / "flat.png")
    assert len(modules[1].load(str(tmp_path), 12, 100)) == 2
