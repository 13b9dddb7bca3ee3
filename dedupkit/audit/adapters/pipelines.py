"""Which diffusers pipelines are known, and how one becomes a model that can be audited."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from dedupkit.audit.adapters.diffusion_model import DiffusionModel
from dedupkit.audit.adapters.networks import quiet
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dedupkit.audit.adapters.running import Running


@dataclass(frozen=True, slots=True)
class Kind:
    """How a pipeline is taken.

    Attributes
    ----------
    module, network : str
        Where in this package what it does in its own way stands, and under which name.
    companion : str or None
        The pipeline that works with it.
    alone : bool
        Whether it can do without.
    """

    module: str
    network: str
    companion: str | None = None
    alone: bool = True


KINDS = {
    "DDPMPipeline": Kind("pixel_networks", "Unconditional"),
    "DDIMPipeline": Kind("pixel_networks", "Unconditional"),
    "StableDiffusionPipeline": Kind("latent_networks", "StableDiffusion"),
    "StableDiffusionXLPipeline": Kind("latent_networks", "StableDiffusionXL"),
    "StableDiffusion3Pipeline": Kind("latent_networks", "StableDiffusion3"),
    "IFPipeline": Kind("pixel_networks", "DeepFloyd", "IFSuperResolutionPipeline"),
    "KandinskyV22Pipeline": Kind("prior_networks", "Kandinsky", "KandinskyV22PriorPipeline", alone=False),
    "KandinskyV22CombinedPipeline": Kind("prior_networks", "Kandinsky"),
    "UnCLIPPipeline": Kind("prior_networks", "UnCLIP"),
}
COMPANIONS = {kind.companion: name for name, kind in KINDS.items() if kind.companion is not None}
LEFT_OFF: dict[str, Any] = {
    "safety_checker": None,
    "feature_extractor": None,
    "watermarker": None,
    "requires_safety_checker": False,
    "add_watermarker": False,
}
"""Arguments of pipelines that hide or mark what a model draws."""


def check_kinds(names: list[str], shown: str) -> str:
    """The pipeline among some that is asked for noise, if they are known and belong together.

    Raises
    ------
    UsageError
        If one is not known, one that they need is missing, or one is too many.
    """
    unknown = [name for name in names if name not in KINDS and name not in COMPANIONS]
    if unknown:
        raise UsageError(f"{shown} holds a {unknown[0]}, which is not known here; known are {', '.join(KINDS)}")
    main = [name for name in names if name in KINDS]
    if not main:
        raise UsageError(f"{shown} holds a {names[0]} alone; name it together with the {COMPANIONS[names[0]]}")
    kind = KINDS[main[0]]
    if len(main) > 1 or len(names) > 2 or (len(names) == 2 and kind.companion not in names):
        raise UsageError(f"{shown} holds {', '.join(names)}, which do not work together; name one model")
    if not kind.alone and kind.companion not in names:
        raise UsageError(f"{shown} holds a {main[0]} alone; name it together with the {kind.companion}")
    return main[0]


def model_of(pipes: Mapping[str, Any], running: Running, shown: str, notes: tuple[str, ...] = ()) -> DiffusionModel:
    """A model out of pipelines in memory, by the names of their classes.

    Their networks are shared, put into evaluation mode and, if a device or dtype is asked for, moved; the pipelines
    themselves and their schedulers stay as they are.

    Raises
    ------
    UsageError
        If they are not known or do not belong together, or their scheduler is not known.
    """
    main = check_kinds(list(pipes), shown)
    with quiet():
        ready = {name: _ready(pipe, running) for name, pipe in pipes.items()}
    if main == "KandinskyV22CombinedPipeline":
        combined = ready.pop(main)
        ready = {main: combined.decoder_pipe, "KandinskyV22PriorPipeline": combined.prior_pipe}
        for pipe in ready.values():
            pipe.set_progress_bar_config(disable=True)
    kind = KINDS[main]
    network = getattr(import_module(f"dedupkit.audit.adapters.{kind.module}"), kind.network)
    companions = [pipe for name, pipe in ready.items() if name != main]
    return DiffusionModel(
        kind=main,
        network=network(ready[main], running, *companions),
        batch=running.batch,
        steps=running.steps,
        notes=notes + _notes(pipes),
        identity=_identity(ready, running),
    )


def _identity(pipes: Mapping[str, Any], running: Running) -> str:
    """Digest of all weights, of how schedulers are set, and of how the model is run; some seconds for billions."""
    import torch

    found = hashlib.sha256(repr(running).encode())
    for name in sorted(pipes):
        for part, each in sorted(pipes[name].components.items()):
            found.update(f"{name} {part} {getattr(each, 'config', None)}".encode())
            if isinstance(each, torch.nn.Module):
                for key, tensor in each.state_dict().items():
                    values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
                    found.update(key.encode())
                    found.update(values.data)
    return found.hexdigest()[:32]


def _ready(pipe: Any, running: Running) -> Any:
    """A pipeline of the same parts that hides and marks nothing, with schedulers of its own."""
    import torch

    parts = dict(pipe.components)
    parts |= {name: type(each).from_config(each.config) for name, each in parts.items() if "scheduler" in name}
    options = {name: value for name, value in pipe.config.items() if name == "force_zeros_for_empty_prompt"}
    accepted = signature(type(pipe).__init__).parameters
    left_off = {name: value for name, value in LEFT_OFF.items() if name in accepted}
    ready = type(pipe)(**{**parts, **options, **left_off})
    ready.set_progress_bar_config(disable=True)
    for part in ready.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    if running.device != "auto":
        ready.to(device_of(running.device))
    return ready if running.dtype == "auto" else ready.to(getattr(torch, running.dtype))


def device_of(name: str) -> Any:
    """A torch.device by its name; ``"auto"`` is CUDA where there is one."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device must be auto, cpu, cuda or another of torch's, got {name!r}") from error


def note_of_checker(name: str) -> str:
    """What is said of a pipeline whose safety checker is left off."""
    return f"The safety checker of the {name} is left off: it would hide what the model draws."


def _notes(pipes: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(note_of_checker(name) for name, pipe in pipes.items() if getattr(pipe, "safety_checker", None))
