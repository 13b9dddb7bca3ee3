"""Copies that stay, drawn as seldom as if each picture stood once: samplers over the column ``weight``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray


def weighted_sampler(weights: ArrayLike, seed: int = 0, samples: int | None = None) -> Any:
    """A ``torch.utils.data.WeightedRandomSampler`` over the column ``weight`` of an emitted set.

    Parameters
    ----------
    weights : array-like of float, shape (n,)
        ``dataset["weight"]``.
    seed : int
        Of the sampler's own generator.
    samples : int, optional
        Draws an epoch; left out, as many as there are different pictures, which is the sum of the weights.

    Raises
    ------
    UsageError
        If a weight is not over 0, or torch is missing.
    """
    values = _checked(weights)
    try:
        import torch
    except ImportError as error:
        raise UsageError(f"a sampler needs torch ({error}): pip install torch") from error
    generator = torch.Generator().manual_seed(seed)
    count = round(float(values.sum())) if samples is None else samples
    return torch.utils.data.WeightedRandomSampler(values.tolist(), count, replacement=True, generator=generator)


def one_of_each(weights: ArrayLike, seed: int, epoch: int) -> NDArray[np.int64]:
    """Row numbers of an epoch in which a row is there with the chance of its weight, in random order.

    For ``dataset.select``: a picture of which k copies stay is there once an epoch on average, as every other.

    Parameters
    ----------
    weights : array-like of float, shape (n,)
        ``dataset["weight"]``, each in (0, 1].
    seed, epoch : int
        The same two give the same rows.

    Examples
    --------
    >>> sorted(one_of_each([1, 1, 0.5, 0.5], seed=1, epoch=0)[:2].tolist()) != []
    True
    """
    values = _checked(weights)
    rng = np.random.default_rng([seed, epoch])
    return rng.permutation(np.flatnonzero(rng.random(len(values)) < values))


@dataclass(slots=True)
class Thinned:
    """A stream in which a sample is there with the chance of its weight, other ones every epoch.

    Works on any iterable of mappings with ``key`` and ``weight``, such as an ``IterableDataset`` or the samples of
    webdataset, and in every worker alike: whether a sample is there depends on seed, key and epoch alone.

    Attributes
    ----------
    samples : callable
        Gives a new iterator each time.
    seed : int
        Of the choices.
    epoch : int
        Raise it with each pass, or call `set_epoch`.
    """

    samples: Callable[[], Iterator[Mapping[str, Any]]]
    seed: int = 0
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """As samplers of torch have it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for sample in self.samples():
            if _chance(self.seed, self.epoch, str(sample["key"])) < sample["weight"]:
                yield sample


def _chance(seed: int, epoch: int, key: str) -> float:
    """A number in [0, 1) that the three decide."""
    digest = hashlib.sha256(f"{seed} {epoch} {key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)


def _checked(weights: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(weights, dtype=np.float64)
    if values.ndim != 1 or not (values > 0).all():
        raise UsageError('weights must be numbers over 0, one a sample; give dataset["weight"]')
    return values
