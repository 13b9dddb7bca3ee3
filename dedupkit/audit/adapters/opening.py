"""From what a caller names to the model that is audited."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from dedupkit.audit.adapters.callables import CallableGenerator
from dedupkit.audit.adapters.generations import Generations
from dedupkit.audit.adapters.running import Running
from dedupkit.audit.model import Denoiser, Generator, Inpainter
from dedupkit.errors import UsageError

Model: TypeAlias = Generator | Denoiser | Inpainter | Generations
"""What `open_model` gives; `dedupkit.audit.model.can` and `require` say what it can do."""

_PROTOCOLS = (Generator, Denoiser, Inpainter)
_ATTRIBUTE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_WOULD_DO = "a local folder of save_pretrained (model_index.json), a folder of images, module:function, or an object"


def open_model(
    what: Any,
    *,
    device: str = "auto",
    dtype: str = "auto",
    batch: int = 8,
    steps: int | None = None,
    guidance: float | None = None,
    image_size: tuple[int, int] | None = None,
    trust_pickles: bool = False,
) -> Model:
    """Open a model for an audit.  Nothing is downloaded, no pickle is read unasked, no code of a model's folder is run.

    Parameters
    ----------
    what : object
        A local folder that diffusers' `save_pretrained` wrote, or one that holds such folders of a model in parts, or
        a list of them; a folder of images generated elsewhere; ``module:function``, importable from where Python
        runs; a function ``(captions, seeds) -> images``; a pipeline of diffusers, or a list of those that belong
        together; or an object with the methods of `Generator`, `Denoiser` or `Inpainter`.
    device : str
        Where a pipeline runs, as torch names it.
    dtype : str
        Precision of a pipeline: auto (float32), float32, float16 or bfloat16.
    batch : int
        Samples that go through it at once; images of a folder in a batch.
    steps : int, optional
        Steps of drawing and filling in.
    guidance : float, optional
        Weight of the caption against none, when drawing and filling in.
    image_size : tuple of int, optional
        Height and width of a latent model that was trained on another size than its files say.
    trust_pickles : bool
        Read weights of a folder that are there as pickles alone (``.bin``).  A pickle can hold any program, and
        whoever reads it runs that as himself: say so only of files whose maker you trust.

    Returns
    -------
    Generator, Denoiser, Inpainter or Generations
        A pipeline is the first three at once.

    Raises
    ------
    UsageError
        If it is nothing that can be opened; the text says what would do.

    Examples
    --------
    >>> import numpy as np
    >>> model = open_model(lambda captions, seeds: np.zeros((len(captions), 8, 8, 3), np.uint8))
    >>> model.generate(["A cat."], [0]).shape
    (1, 8, 8, 3)
    """
    running = Running(device=device, dtype=dtype, batch=batch, steps=steps, guidance=guidance, image_size=image_size)
    if isinstance(what, list | tuple) and what:
        return _in_parts(list(what), running, trust_pickles)
    if not isinstance(what, str | os.PathLike):
        return _object(what, running)
    path = Path(os.fsdecode(what)).expanduser()
    if path.is_dir():
        return _folder(path, running, trust_pickles)
    if isinstance(what, str) and _ATTRIBUTE.fullmatch(what):
        return _object(_attribute(what), running)
    if path.is_file():
        raise UsageError(f"{path} is a file; load it where you trust it, and name the folder of save_pretrained")
    raise UsageError(f"there is no folder {path}, and nothing is downloaded; name {_WOULD_DO}")


def _in_parts(parts: list[Any], running: Running, trust_pickles: bool) -> Model:
    """A model of several pipelines: all of them folders, or all of them objects."""
    if all(isinstance(each, str | os.PathLike) for each in parts):
        return _pipelines([Path(os.fsdecode(each)).expanduser() for each in parts], running, trust_pickles)
    if all(_is_pipeline(each) for each in parts):
        return _model({type(each).__name__: each for each in parts}, running)
    kinds = ", ".join(type(each).__name__ for each in parts)
    raise UsageError(f"a list must hold the folders or the pipelines of one model, got {kinds}; name {_WOULD_DO}")


def _folder(path: Path, running: Running, trust_pickles: bool) -> Model:
    from dedupkit.audit.adapters.loading import folders_of
    from dedupkit.sources import open_source

    if folders := folders_of(path):
        return _pipelines(folders, running, trust_pickles)
    try:
        return Generations(open_source(path), running.batch)
    except UsageError as error:
        raise UsageError(f"{path} is no model and holds no images ({error}); name {_WOULD_DO}") from error


def _pipelines(folders: list[Path], running: Running, trust_pickles: bool) -> Model:
    from dedupkit.audit.adapters.loading import loaded
    from dedupkit.audit.adapters.pipelines import model_of

    pipes, notes = loaded(folders, running, trust_pickles=trust_pickles)
    as_loaded = replace(running, device="auto", dtype="auto")
    return model_of(pipes, as_loaded, " and ".join(map(str, folders)), notes)


def _model(pipes: dict[str, Any], running: Running) -> Model:
    from dedupkit.audit.adapters.pipelines import model_of

    return model_of(pipes, running, "what was handed in")


def _object(what: Any, running: Running) -> Model:
    if isinstance(what, type):
        raise UsageError(f"{what.__name__} is a class; hand in an object of it, or a function (captions, seeds)")
    if _is_pipeline(what):
        return _model({type(what).__name__: what}, running)
    if isinstance(what, (*_PROTOCOLS, Generations)):
        return what
    if _is_network(what):
        kind = type(what).__name__
        raise UsageError(
            f"a {kind} alone cannot be asked for images; hand in the whole pipeline, or a function around it"
        )
    if callable(what):
        return CallableGenerator(what, running.batch)
    raise UsageError(f"a {type(what).__name__} is no model; name {_WOULD_DO}")


def _is_pipeline(what: Any) -> bool:
    diffusers = sys.modules.get("diffusers")
    return diffusers is not None and isinstance(what, diffusers.DiffusionPipeline)


def _is_network(what: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(what, torch.nn.Module)


def _attribute(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        found: Any = import_module(module)
    except ImportError as error:
        raise UsageError(f"{module} cannot be imported ({error}); put its folder on PYTHONPATH") from error
    for each in path.split("."):
        if not hasattr(found, each):
            raise UsageError(f"{module} has no {path}; name one of its functions or objects")
        found = getattr(found, each)
    return found
