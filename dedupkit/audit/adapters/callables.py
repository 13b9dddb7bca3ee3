"""A function that draws, such as a service behind an API, as a `Generator`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.adapters.spaces import levels
from dedupkit.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dedupkit.audit.model import Captions

_WANTED = "return a uint8 array (n, height, width, 3), floats in [0, 1] of that shape, or a list of PIL images"


@dataclass(frozen=True, slots=True)
class CallableGenerator:
    """A function that draws images, asked for some at a time.

    Parameters
    ----------
    function : callable
        From a list of captions (str or None) and a list of seeds to as many images: an array of uint8, shape
        (n, height, width, 3), or of floats in [0, 1]; or a list of PIL images or of such arrays.  One that cannot
        heed seeds may ignore them, but then a run cannot be repeated.
    batch : int
        Captions in a call.

    Examples
    --------
    >>> import numpy as np
    >>> def grey(captions, seeds):
    ...     return np.full((len(captions), 8, 8, 3), 0.5)
    >>> CallableGenerator(grey).generate(["A cat.", None], [0, 1]).shape
    (2, 8, 8, 3)
    """

    function: Callable[[list[str | None], list[int]], Any]
    batch: int = 8

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UsageError(f"batch must be 1 or more, got {self.batch}")

    def generate(self, captions: Captions, seeds: Sequence[int]) -> NDArray[np.uint8]:
        """One image for each caption and seed; nothing is tried twice.

        Raises
        ------
        UsageError
            If there are no captions, or not as many seeds.
        RunError
            If the function raises, or returns something else than images; it names captions by number, not by text.
        """
        if len(captions) != len(seeds) or not captions:
            raise UsageError(f"one seed for each caption is needed, got {len(captions)} captions, {len(seeds)} seeds")
        parts = []
        for start in range(0, len(captions), self.batch):
            rows = slice(start, start + self.batch)
            parts.append(self._drawn(list(captions[rows]), [int(seed) for seed in seeds[rows]], start))
        if len({part.shape[1:] for part in parts}) > 1:
            raise RunError("the function's images differ in size from call to call; return images of one size")
        return np.concatenate(parts)

    def _drawn(self, captions: list[str | None], seeds: list[int], start: int) -> NDArray[np.uint8]:
        named = f"captions {start} to {start + len(captions) - 1}" if len(captions) > 1 else f"caption {start}"
        try:
            found = self.function(captions, seeds)
        except Exception as error:
            kind = type(error).__name__
            raise RunError(f"the function that draws raised a {kind} at {named} (from 0); mend it there") from error
        try:
            images = images_of(found)
        except (TypeError, ValueError) as error:
            raise RunError(
                f"what the function returned for {named} (from 0) is no images: {error}; {_WANTED}"
            ) from error
        if len(images) != len(captions):
            raise RunError(f"the function returned {len(images)} images for {named} (from 0); return one each")
        return images


def images_of(found: Any) -> NDArray[np.uint8]:
    """Images as uint8, shape (n, height, width, 3), out of what a function may return.

    Raises
    ------
    ValueError, TypeError
        If it is something else.
    """
    if isinstance(found, list | tuple):
        found = [each.convert("RGB") if hasattr(each, "convert") else each for each in found]
    values = np.asarray(found)
    if values.ndim != 4 or values.shape[3] != 3:
        raise ValueError(f"an array of shape {values.shape}")
    if values.dtype == np.uint8:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise TypeError(f"an array of {values.dtype}")
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"floats from {values.min():.3g} to {values.max():.3g}")
    return levels(values)
