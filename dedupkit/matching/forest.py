"""Groups that grow: which entries pairs hang together so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(slots=True)
class Forest:
    """Groups of entries, and what joined them since.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        The group of each of the first n entries, by its first member; later ones stand alone.
    parents : dict of int to int
        Labels that were joined since, each with an earlier one.
    """

    labels: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    parents: dict[int, int] = field(default_factory=dict)

    def find(self, entry: int) -> int:
        """The first member of an entry's group."""
        root = int(self.labels[entry]) if entry < len(self.labels) else entry
        path = []
        while (parent := self.parents.get(root)) is not None:
            path.append(root)
            root = parent
        for each in path[:-1]:
            self.parents[each] = root
        return root

    def join(self, one: int, other: int) -> None:
        """Make the groups of two entries one."""
        first, second = sorted((self.find(one), self.find(other)))
        if first != second:
            self.parents[second] = first
