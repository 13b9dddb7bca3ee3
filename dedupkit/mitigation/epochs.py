"""The pass over the set that is under way, as all processes of a training loop know it."""

from __future__ import annotations

from multiprocessing.context import get_spawning_popen
from multiprocessing.sharedctypes import RawValue
from typing import Any

from dedupkit.errors import UsageError


class _Epoch:
    """A number in shared memory, so that the workers of a DataLoader see it change even if they outlive an epoch."""

    def __init__(self, value: int = 0) -> None:
        self._cell = RawValue("q", value)

    @classmethod
    def _sharing(cls, cell: Any) -> _Epoch:
        epoch = cls.__new__(cls)
        epoch._cell = cell
        return epoch

    @property
    def value(self) -> int:
        return int(self._cell.value)

    @value.setter
    def value(self, value: int) -> None:
        self._cell.value = value

    def __deepcopy__(self, memo: Any) -> _Epoch:
        return self  # `Dataset.shuffle` and others copy the transform, which still has to hear of epochs

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        if get_spawning_popen() is None:  # pickled into a file or a message: shared memory does not go there
            return _Epoch, (self.value,)
        return _Epoch._sharing, (self._cell,)


class InEpochs:
    """What comes out differently in every pass over the set."""

    def __init__(self) -> None:
        self._epoch = _Epoch()

    @property
    def epoch(self) -> int:
        """The pass over the set that is under way."""
        return self._epoch.value

    def set_epoch(self, epoch: int) -> None:
        """Begin a pass over the set; before the loop over it, in the main process.

        Raises
        ------
        UsageError
            If it is negative.
        """
        if epoch < 0:
            raise UsageError(f"epoch must be 0 or more, got {epoch}")
        self._epoch.value = epoch
