"""What may be handed in for a model, and what is said of the rest."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dedupkit.audit.adapters import CallableGenerator, open_model
from dedupkit.audit.model import Denoiser, Generator, Inpainter, can
from dedupkit.errors import UsageError
from tests.audit_models import FreshModel


def test_an_object_with_the_methods_is_taken_as_it_is() -> None:
    model = FreshModel()
    assert open_model(model) is model
    assert can(model, Generator, Denoiser, Inpainter)


def test_a_function_is_found_by_module_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import numpy\ndef drawn(captions, seeds):\n    return numpy.zeros((len(captions), 2, 2, 3))\n"
    (tmp_path / "drawing_service.py").write_text(f"{code}class Service:\n    call = staticmethod(drawn)\nlevel = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("drawing_service:drawn", "drawing_service:Service.call"):
        model = open_model(name, batch=3)
        assert isinstance(model, CallableGenerator)
        assert model.batch == 3
        assert model.generate(["a"], [0]).shape == (1, 2, 2, 3)
    for name, told in {
        "drawing_service:Service": "is a class; hand in an object",
        "drawing_service:level": "a int is no model; name a local folder",
        "drawing_service:nothing": "has no nothing",
        "no_such_service:drawn": "cannot be imported",
    }.items():
        with pytest.raises(UsageError, match=told):
            open_model(name)
    sys.modules.pop("drawing_service")


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("runwayml/stable-diffusion-v1-5", "nothing is downloaded; name a local folder of save_pretrained"),
        (3, "a int is no model; name"),
        ([], "a list is no model; name"),
        ([1, "a"], "must hold the folders or the pipelines of one model, got int, str"),
        (FreshModel, "FreshModel is a class"),
    ],
)
def test_what_is_no_model_is_told_what_would_do(what: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        open_model(what)


def test_files_and_empty_folders_are_told_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no model and holds no images .*name a local folder of save_pretrained"):
        open_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match="is a file; load it where you trust it"):
        open_model(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch": 0}, "batch must be 1 or more, got 0"),
        ({"steps": 0}, "steps must be 1 or more, got 0"),
        ({"guidance": 0.5}, r"guidance must be 1 \(none\) or more, got 0.5"),
        ({"dtype": "int8"}, "dtype must be auto, float32, float16 or bfloat16, got 'int8'"),
        ({"image_size": (0, 8)}, "image_size must be positive"),
    ],
)
def test_options_are_checked(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        open_model(lambda captions, seeds: np.zeros((len(captions), 2, 2, 3)), **options)


def _index(folder: Path, kind: Any, **parts: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": kind, "_diffusers_version": "0.42.1", **parts}))
    for name in parts:
        (folder / name).mkdir(exist_ok=True)
    return folder


def test_an_unknown_pipeline_is_told_which_are_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds a FluxPipeline, .* known are DDPMPipeline, .*UnCLIPPipeline"):
        open_model(_index(tmp_path, "FluxPipeline"))


def test_weights_that_are_pickles_are_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = _index(tmp_path, "DDPMPipeline", unet=["diffusers", "UNet2DModel"])
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UsageError, match=r"unet holds weights as a pickle alone .* save_pretrained writes safetensors"):
        open_model(folder)


class _Program:
    """What a pickle may do when it is read."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


def test_a_pickle_runs_nothing_where_nobody_asked_for_it(tmp_path: Path) -> None:
    folder = _index(tmp_path, "DDPMPipeline", unet=["diffusers", "UNet2DModel"])
    mark = tmp_path / "ran"
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(_Program(mark)))
    with pytest.raises(UsageError, match="or let it be read, with --trust-pickles or trust_pickles=True"):
        open_model(folder)
    assert not mark.exists()
    pickle.loads((folder / "unet" / "diffusion_pytorch_model.bin").read_bytes())  # the trap was set
    assert mark.exists()


def test_code_of_a_models_folder_is_not_run(tmp_path: Path) -> None:
    code = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"
    folder = _index(tmp_path / "own", "DDPMPipeline", unet=["own_unet", "UNet2DModel"])
    (folder / "unet" / "own_unet.py").write_text(code)
    named = _index(tmp_path / "named", "DDPMPipeline", unet=["diffusers", "UNet2DModel"])
    (named / "unet" / "diffusers.py").write_text(code)
    whole = _index(tmp_path / "whole", ["pipeline", "DDPMPipeline"])
    (whole / "pipeline.py").write_text(code)
    for each in (folder, named, whole):
        with pytest.raises(UsageError, match="is not run; hand in the loaded object"):
            open_model(each)
    assert not list(tmp_path.rglob("ran"))


def test_parts_of_a_model_have_to_belong_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="KandinskyV22Pipeline alone; name it together with the KandinskyV22PriorPipe"):
        open_model(_index(tmp_path / "decoder", "KandinskyV22Pipeline"))
    with pytest.raises(UsageError, match="IFSuperResolutionPipeline alone; name it together with the IFPipeline"):
        open_model(_index(tmp_path / "second", "IFSuperResolutionPipeline"))
    with pytest.raises(UsageError, match="which do not work together"):
        open_model([tmp_path / "decoder", tmp_path / "second"])
    with pytest.raises(UsageError, match=r"cannot be read \(FileNotFoundError\)"):
        open_model([tmp_path / "decoder", tmp_path / "nothing"])


def test_a_damaged_index_is_told(tmp_path: Path) -> None:
    for text, told in {"{": "cannot be read", "[]": "is no table"}.items():
        (tmp_path / "model_index.json").write_text(text)
        with pytest.raises(UsageError, match=told):
            open_model(tmp_path)
