"""Networks of timm, torchvision, transformers and imagededup, run by torch: on a GPU where there is one."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import UsageError
from dedupkit.fingerprints.descriptors.base import unit_rows
from dedupkit.fingerprints.descriptors.packages import imported
from dedupkit.fingerprints.descriptors.scaling import SCALINGS, Scaling

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_HEADS = ("fc", "head", "heads", "classifier")  # torchvision's names of what comes after the features


class TorchDescriber:
    """A torch network that gives one row of numbers for each picture.

    Parameters
    ----------
    name : str
        Package, its version and the model: part of the identity.
    model : torch.nn.Module
        The network.
    side : int
        Width and height of the pictures.
    scaling : Scaling
        What pixels have to be scaled to.
    crop : int
        Pixels that are cut off at each side before the network sees the picture.
    rows : callable, optional
        From model and pixels, float32 of shape (n, 3, side, side), to rows; None calls the model.

    Raises
    ------
    UsageError
        The network takes no pictures of that side, or gives something else than rows.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        side: int,
        scaling: Scaling,
        crop: int = 0,
        rows: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        import torch

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._name, self._model, self._rows = name, model.to(self._device).eval(), rows
        self.side, self._scaling, self._crop = side, scaling, crop
        try:
            self.dimensions = int(self.describe(np.zeros((1, side, side, 3), np.uint8)).shape[1])
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise UsageError(f"descriptor {name} gives no rows for pictures of side {side}: {error}") from error

    @cached_property
    def identity(self) -> str:
        """Digest of the weights with the name; takes a second for a gigabyte."""
        import torch

        digest = hashlib.sha256(f"{self._name} {self.side} {self._crop} {self._scaling}".encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()[:32]

    def describe(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Rows of length 1, one a picture."""
        import torch

        inner = slice(self._crop, self.side - self._crop)
        given = torch.from_numpy(self._scaling(pictures[:, inner, inner])).to(self._device)
        with torch.inference_mode():
            rows = self._model(given) if self._rows is None else self._rows(self._model, given)
        if rows.ndim != 2:
            raise ValueError(f"its output has shape {tuple(rows.shape)}")
        return unit_rows(rows.float().cpu().numpy())


def timm_describer(name: str, side: int | None = None, weights: str | None = None) -> TorchDescriber:
    """A model of timm without its classifier; `weights` is a file, None fetches the pretrained ones.

    Raises
    ------
    UsageError
        timm is missing, or knows no such model, or the weights cannot be had.
    """
    timm = imported("timm", "torch", f"timm:{name}")
    shown = f"timm:{name}"
    file = {} if weights is None else {"pretrained_cfg_overlay": _timm_file(_file(shown, weights))}

    def made() -> Any:
        fixed = timm.get_pretrained_cfg_value(name, "fixed_input_size")
        return timm.create_model(
            name, pretrained=True, num_classes=0, **file, **({"img_size": side} if side and fixed else {})
        )

    model = _loaded(shown, made)
    config = timm.data.resolve_model_data_config(model)
    scaling = Scaling(tuple(config["mean"]), tuple(config["std"]))
    return TorchDescriber(f"timm {timm.__version__} {name}", model, side or config["input_size"][-1], scaling)


def _timm_file(file: str) -> dict[str, Any]:
    """How timm reads a file: JAX's arrays as the model's own code does, which some versions try on all others too."""
    return {"file": file} if file.endswith(".npz") else {"file": file, "custom_load": False}


def torchvision_describer(name: str, side: int | None = None, weights: str | None = None) -> TorchDescriber:
    """A model of torchvision without its classifier; `weights` is a state dict's file, None fetches the default ones.

    Raises
    ------
    UsageError
        torchvision is missing, or knows no such model, or the weights cannot be had.
    """
    shown = f"torchvision:{name}"
    torchvision = imported("torchvision", "torch", shown)

    def made() -> Any:
        if weights is None:
            return torchvision.models.get_model(name, weights="DEFAULT")
        model = torchvision.models.get_model(name, weights=None)
        model.load_state_dict(_state_dict(_file(shown, weights)))
        return model

    model = _without_head(shown, _loaded(shown, made))
    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    scaling = Scaling(tuple(preset.mean), tuple(preset.std))
    version = f"torchvision {torchvision.__version__} {name}"
    return TorchDescriber(version, model, side or preset.crop_size[0], scaling)


def clip_describer(name: str) -> TorchDescriber:
    """The image half of a CLIP model of transformers, by its name on the hub or its folder.

    Raises
    ------
    UsageError
        transformers is missing, or the model cannot be had, or weights are missing from it.
    """
    shown = f"clip:{name}"
    transformers = imported("transformers", "torch", shown)

    def made() -> Any:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
        kinds = {"clip": transformers.CLIPModel, "clip_vision_model": transformers.CLIPVisionModelWithProjection}
        if config.model_type not in kinds:
            raise ValueError(f"it is a model of type {config.model_type}, not clip")
        model, told = kinds[config.model_type].from_pretrained(name, output_loading_info=True)
        if lacks := [*told["missing_keys"], *told["mismatched_keys"]]:  # transformers would make them up by chance
            raise ValueError(f"it lacks weights such as {lacks[0]}")
        return model

    model = _loaded(shown, made)
    vision = getattr(model.config, "vision_config", model.config)
    try:
        said = transformers.CLIPImageProcessor.from_pretrained(name)
        scaling = Scaling(tuple(said.image_mean), tuple(said.image_std))
    except OSError:  # saved without its processor
        scaling = SCALINGS["clip"]
    version = f"transformers {transformers.__version__} {Path(name).name}"
    return TorchDescriber(version, model, int(vision.image_size), scaling, rows=_clip_rows)


def _clip_rows(model: Any, pixels: Any) -> Any:
    return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)


def imagededup_describer() -> TorchDescriber:
    """The network of imagededup's ``CNN``, as it uses it: 256 pixels a side, of which the inner 224 count.

    Raises
    ------
    UsageError
        imagededup is missing, or its weights cannot be had.
    """
    models = imported("imagededup.utils.models", "imagededup", "imagededup")
    model = _loaded("imagededup", models.MobilenetV3)
    return TorchDescriber(f"imagededup {models.MobilenetV3.name}", model, 256, SCALINGS["imagenet"], crop=16)


def _loaded(shown: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except UsageError:
        raise
    except Exception as error:  # each library raises its own, down to its HTTP client's
        told = " ".join(str(error).split())[:300]
        raise UsageError(
            f"descriptor {shown} cannot be loaded: {told}; check its name, or give local weights"
        ) from error


def _file(shown: str, path: str) -> str:
    if not Path(path).is_file():
        raise UsageError(f"descriptor {shown} has no weights at {path}; name a file")
    return path


def _state_dict(path: str) -> Any:
    if path.endswith(".safetensors"):
        return imported("safetensors.torch", "torch", path).load_file(path)
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)  # no pickled code is run


def _without_head(shown: str, model: Any) -> Any:
    """The model with its classifier's last layer taken out."""
    import torch

    for name in _HEADS:
        head = getattr(model, name, None)
        if isinstance(head, torch.nn.Linear):
            setattr(model, name, torch.nn.Identity())
            return model
        if isinstance(head, torch.nn.Sequential) and isinstance(head[-1], torch.nn.Linear):
            head[-1] = torch.nn.Identity()
            return model
    raise UsageError(f"descriptor {shown} has no classifier to take off; use timm, which gives features of every model")
