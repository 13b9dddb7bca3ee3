"""Descriptors that others bring, held to the contract of `Describer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import UsageError
from dedupkit.fingerprints.descriptors.base import unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.plugins import Plugin


@dataclass(frozen=True, slots=True)
class BroughtDescriber:
    """A describer out of what a plugin makes: an object with ``side``, ``dimensions`` and ``describe``.

    Its rows need not be of length 1.  ``identity`` may tell of weights what the plugin's version does not.

    Raises
    ------
    UsageError
        What was made has no such side or dimensions.
    """

    plugin: Plugin
    made: Any

    def __post_init__(self) -> None:
        for name in ("side", "dimensions"):
            if not isinstance(getattr(self.made, name, None), int) or getattr(self.made, name) < 1:
                raise UsageError(f"{self.plugin.title} must have {name}, a whole number of 1 or more; mend it")

    @property
    def identity(self) -> str:
        """Changes with the plugin, and with what it says of itself."""
        return f"{self.plugin.identity} {getattr(self.made, 'identity', '')}"

    @property
    def side(self) -> int:
        """Width and height in pixels of the pictures it takes."""
        return int(self.made.side)

    @property
    def dimensions(self) -> int:
        """Numbers in a descriptor."""
        return int(self.made.dimensions)

    def describe(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Describe pictures; see `Describer.describe`.

        Raises
        ------
        RunError
            The plugin raised, or gave what is no row of finite numbers for each.
        """
        try:
            rows = np.asarray(self.made.describe(pictures), dtype=np.float32)
            if rows.shape != (len(pictures), self.dimensions) or not np.isfinite(rows).all():
                wanted = (len(pictures), self.dimensions)
                raise ValueError(f"describe must give finite numbers of shape {wanted}, got shape {rows.shape}")
        except Exception as error:
            raise self.plugin.failed(error) from error
        return unit_rows(rows)
