"""What differs from one kind of diffusers pipeline to the next, and what is the same: captions read once, and quiet."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from contextlib import contextmanager
from inspect import signature
from typing import TYPE_CHECKING, Any, Protocol

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dedupkit.audit.adapters.running import Running
    from dedupkit.audit.adapters.schedules import Schedule
    from dedupkit.audit.adapters.spaces import Space

_MAX_BYTES = 1 << 30  # of remembered captions: 4,600 of Stable Diffusion's, 190 of Stable Diffusion 3's


class Network(Protocol):
    """One kind of pipeline.  An empty caption stands for none; tensors are torch's.

    Attributes
    ----------
    schedule : Schedule
    space : Space
    device, dtype : torch.device, torch.dtype
        Of what denoises.
    guidance : float
        Weight of the caption, by default that of the pipeline.
    """

    schedule: Schedule
    space: Space
    device: Any
    dtype: Any
    guidance: float

    def output(self, noisy: Any, told: Any, captions: Sequence[str]) -> Any:
        """What the network answers, as many channels as it has, to noisy samples and what it is told of the time."""
        ...

    def draw(self, captions: Sequence[str], generators: list[Any]) -> Any:
        """Images, as the pipeline itself draws them: an array in [0, 1], shape (n, height, width, channels)."""
        ...


class Conditions:
    """What captions become for a network, each found once and remembered, the latest up to 1 GiB.

    Captions are encoded one at a time, so that what one becomes does not depend on others.

    Parameters
    ----------
    encode : callable
        From a caption to named tensors, the first axis of length 1.
    device : torch.device
        Where they are wanted.
    """

    def __init__(self, encode: Callable[[str], dict[str, Any]], device: Any) -> None:
        self._encode, self._device = encode, device
        self._found: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._bytes = 0

    def of(self, captions: Sequence[str]) -> dict[str, Any]:
        """The conditions of some captions, joined."""
        import torch

        found = [self._one(caption) for caption in captions]
        return {name: torch.cat([each[name] for each in found]).to(self._device) for name in found[0]}

    def _one(self, caption: str) -> dict[str, Any]:
        if caption not in self._found:
            self._found[caption] = {name: each.cpu() for name, each in self._encode(caption).items()}
            self._bytes += _bytes(self._found[caption])
        self._found.move_to_end(caption)
        while self._bytes > _MAX_BYTES and len(self._found) > 1:
            self._bytes -= _bytes(self._found.popitem(last=False)[1])
        return self._found[caption]


def _bytes(tensors: dict[str, Any]) -> int:
    return sum(each.numel() * each.element_size() for each in tensors.values())


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars and warnings of diffusers and transformers, of which some quote captions."""
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    before = [(each, each.get_verbosity(), each.is_progress_bar_enabled()) for each in (diffusers, transformers)]
    for each, _, _ in before:
        each.set_verbosity_error()
        each.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            for kind in (FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        for each, verbosity, bars in before:
            each.set_verbosity(verbosity)
            if bars:
                each.enable_progress_bar()


def default(pipe: Any, option: str) -> Any:
    """What a pipeline takes for an option of its call where none is given."""
    return signature(type(pipe).__call__).parameters[option].default


def sides(sample_size: Any, factor: int = 1) -> tuple[int, int]:
    """Height and width out of a configuration's one number or two, times a factor."""
    height, width = (sample_size, sample_size) if isinstance(sample_size, int) else sample_size
    return height * factor, width * factor


def refuse_image_size(pipe: Any, running: Running) -> None:
    """Raise UsageError where an image size is asked of a model that has one alone."""
    if running.image_size is not None:
        raise UsageError(f"image_size does not apply to a {type(pipe).__name__}, which has one alone; leave it out")
