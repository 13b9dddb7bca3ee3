"""Pipelines out of local folders: known classes, no pickle unasked, no code of the folder, no network."""

from __future__ import annotations

import hashlib
import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dedupkit.audit.adapters.networks import quiet
from dedupkit.audit.adapters.pipelines import LEFT_OFF, check_kinds, device_of, note_of_checker
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from dedupkit.audit.adapters.running import Running

INDEX = "model_index.json"
_LIBRARIES = ("diffusers", "transformers", "stable_diffusion", "deepfloyd_if", "unclip")  # the last three: diffusers'
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
_SECOND_STAGE = ("text_encoder", "tokenizer")  # which the first stage reads captions with for both


def folders_of(folder: Path) -> list[Path]:
    """The folders of a model's pipelines: this one, or those directly in it."""
    if (folder / INDEX).is_file():
        return [folder]
    return sorted(each.parent for each in folder.glob(f"*/{INDEX}"))


def loaded(
    folders: list[Path], running: Running, *, trust_pickles: bool = False
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Load pipelines that `diffusers` saved with `save_pretrained`.

    Parameters
    ----------
    folders : list of Path
        One each: of a model in parts, all of them.
    running : Running
        Device and dtype.
    trust_pickles : bool
        Read weights that are there as pickles alone.

    Returns
    -------
    dict of str to DiffusionPipeline, and tuple of str
        By the name of their class; and what was left off, and which pickles were read, in sentences.

    Raises
    ------
    UsageError
        If diffusers is not installed, a pipeline is not known or not whole, its weights are pickles, or it brings
        code of its own.
    """
    indices = {folder: _index(folder) for folder in folders}
    names = {folder: _class_name(folder, index) for folder, index in indices.items()}
    check_kinds(list(names.values()), " and ".join(str(folder) for folder in folders))
    pickles = {folder: _checked_parts(folder, index, trust_pickles) for folder, index in indices.items()}
    check_installed()
    checked = [names[folder] for folder, index in indices.items() if index.get("safety_checker", [None])[0] is not None]
    read = [_note_of_pickle(folder, each) for folder, found in pickles.items() for each in found]  # before it is run
    pipes = {
        names[folder]: _loaded(folder, names[folder], index, running, pickled=bool(pickles[folder]))
        for folder, index in indices.items()
    }
    return pipes, (*map(note_of_checker, checked), *read)


def check_installed() -> None:
    """Raise UsageError with the command that installs diffusers, where it cannot be imported."""
    try:
        import diffusers  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise UsageError(f"this model needs diffusers ({error}); pip install 'dedupkit[diffusers]'") from error


def _index(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / INDEX).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{folder / INDEX} cannot be read ({type(error).__name__}); save the model again") from error
    if not isinstance(found, dict):
        raise UsageError(f"{folder / INDEX} is no table of a pipeline's parts; save the model again")
    return found


def _class_name(folder: Path, index: dict[str, Any]) -> str:
    name = index.get("_class_name")
    if not isinstance(name, str):
        raise UsageError(f"{folder} brings the code of its own pipeline, which is not run; hand in the loaded object")
    return name


def _checked_parts(folder: Path, index: dict[str, Any], trust_pickles: bool) -> list[Path]:
    """Check that all that would be loaded is of known libraries, and no pickle; else those pickles that are trusted."""
    trusted: list[Path] = []
    for name, part in index.items():
        if not isinstance(part, list) or part[0] is None or LEFT_OFF.get(name, part) is None:
            continue
        if part[0] not in _LIBRARIES:
            raise UsageError(
                f"{folder / name} is a {part[1]} of {part[0]!r}, code that is not run; hand in the loaded object"
            )
        files = [each.name for each in (folder / name).glob("*")]
        if any(each.endswith(".py") for each in files):
            raise UsageError(f"{folder / name} brings code of its own, which is not run; hand in the loaded object")
        pickles = sorted(each for each in files if each.endswith(_PICKLES))
        if not pickles or any(each.endswith(".safetensors") for each in files):
            continue
        if not trust_pickles:
            raise UsageError(
                f"{folder / name} holds weights as a pickle alone ({pickles[0]}), which can run any code when read; "
                "where you trust who made it, load the pipeline and save it again: save_pretrained writes safetensors; "
                "or let it be read, with --trust-pickles or trust_pickles=True"
            )
        trusted += [folder / name / each for each in pickles]
    return trusted


def _note_of_pickle(folder: Path, path: Path) -> str:
    """What is said of a pickle that is read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    shown = f"{folder.name}/{path.relative_to(folder).as_posix()}"
    return f"{shown} is a pickle, which can run any code when read; it was read as asked, SHA-256 {digest}."


def _loaded(folder: Path, name: str, index: dict[str, Any], running: Running, *, pickled: bool) -> Any:
    import torch

    device = device_of(running.device)
    dtype = getattr(torch, "float32" if running.dtype == "auto" else running.dtype)
    safe = None if pickled else True  # None takes pickles where there is nothing else
    weights = {"dtype": dtype, "use_safetensors": safe, "local_files_only": True, "variant": _variant(folder, index)}
    read = _unclip if name == "UnCLIPPipeline" else _pipeline
    try:
        with quiet():
            return read(folder, name, index, weights).to(device)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError) as error:
        told = " ".join(str(error).split())[:200]
        raise UsageError(f"{folder} cannot be loaded: {type(error).__name__}: {told}; save the model again") from error


def _pipeline(folder: Path, name: str, index: dict[str, Any], weights: dict[str, Any]) -> Any:
    import diffusers

    left_off: dict[str, Any] = {
        each: None for each, part in index.items() if isinstance(part, list) and part[0] is None
    }
    left_off |= {each: value for each, value in LEFT_OFF.items() if each in index}
    if name == "IFSuperResolutionPipeline":
        left_off |= dict.fromkeys(_SECOND_STAGE)
    return getattr(diffusers, name).from_pretrained(folder, **weights, **left_off)


def _unclip(folder: Path, name: str, index: dict[str, Any], weights: dict[str, Any]) -> Any:
    """Part by part: diffusers no longer finds one of them, whose file it moved, when it loads the whole."""
    import diffusers
    import torch

    pipeline = getattr(diffusers, name)
    parts = {}
    for each, (library, kind) in ((each, part) for each, part in index.items() if isinstance(part, list)):
        place = import_module(pipeline.__module__ if kind == "UnCLIPTextProjModel" else library)
        of_part = getattr(place, kind)
        options = weights if issubclass(of_part, torch.nn.Module) else {"local_files_only": True}
        parts[each] = of_part.from_pretrained(folder / each, **options)
    return pipeline(**parts)


def _variant(folder: Path, index: dict[str, Any]) -> str | None:
    """``"fp16"`` where weights are there in that variant alone."""
    parts = [folder / name for name, part in index.items() if isinstance(part, list)]
    files = [each.name for part in parts for each in part.glob("*.safetensors")]
    return "fp16" if files and all(".fp16" in each for each in files) else None
