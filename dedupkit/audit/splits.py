"""Which samples each shadow model is trained on: halves drawn so that every sample is in half of the models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.errors import UsageError, error_text

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

_FORMAT = "dedupkit half-splits 1"


@dataclass(frozen=True)
class HalfSplits:
    """Who is in which shadow model's training set.

    Attributes
    ----------
    keys : tuple of str
        The samples.
    inside : ndarray of bool, shape (models, samples)
        Whether a model is to be trained on a sample.
    """

    keys: tuple[str, ...] = field(repr=False)
    inside: NDArray[np.bool_] = field(repr=False)

    @property
    def models(self) -> int:
        """Number of models to train."""
        return len(self.inside)

    def keys_of(self, model: int) -> list[str]:
        """What one model, counted from 0, is to be trained on.

        Raises
        ------
        UsageError
            If there is no such model.
        """
        if not 0 <= model < self.models:
            raise UsageError(f"model must be in [0, {self.models}), got {model}; count models from 0")
        return [key for key, within in zip(self.keys, self.inside[model], strict=True) if within]

    def of(self, keys: Sequence[str]) -> NDArray[np.bool_]:
        """Who of some samples, in their order, is in which model: shape (models, samples).

        Raises
        ------
        UsageError
            If one was not split.
        """
        row = {key: number for number, key in enumerate(self.keys)}
        missing = [key for key in keys if key not in row]
        if missing:
            raise UsageError(
                f"all keys must be among the {len(self.keys)} that were split, {len(missing)} are not; "
                f"leave them out, or split all samples and train again"
            )
        return self.inside[:, [row[key] for key in keys]]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write Parquet: a row a sample, with `key` and one column of bool for each model."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {f"model_{number}": pa.array(row) for number, row in enumerate(self.inside)}
        table = pa.table({"key": pa.array(self.keys, pa.string())} | columns)
        pq.write_table(table.replace_schema_metadata({"format": _FORMAT}), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> HalfSplits:
        """Read what `save` wrote.

        Raises
        ------
        UsageError
            If the file is another one.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
        except (OSError, ValueError, pa.ArrowException) as error:
            why = error_text(error)
            raise UsageError(f"half-splits must be a Parquet file, {path} is not ({why}); draw them again") from error
        if (table.schema.metadata or {}).get(b"format", b"").decode() != _FORMAT:
            raise UsageError(f"half-splits must be a file that HalfSplits.save wrote, {path} is not; draw them again")
        inside = [table.column(f"model_{number}").to_numpy() for number in range(table.num_columns - 1)]
        return cls(tuple(table.column("key").to_pylist()), np.array(inside, bool))


def half_splits(keys: Sequence[str], models: int, seed: int) -> HalfSplits:
    """Draw training sets for shadow models, each sample into exactly half of the models (arXiv 2112.03570).

    Models get half of the samples each on average, not exactly.  Samples are independent of one another.

    Parameters
    ----------
    keys : sequence of str
        All samples, each once: members and controls alike.
    models : int
        How many will be trained; even, 2 or more.  The last may be the one that is attacked.
    seed : int
        Of the draw; the same keys, models and seed give the same halves.

    Returns
    -------
    HalfSplits

    Raises
    ------
    UsageError
        If a key is there twice, or the number of models is odd or below 2.

    Examples
    --------
    >>> halves = half_splits(["a", "b", "c"], models=4, seed=0)
    >>> halves.inside.sum(axis=0).tolist()
    [2, 2, 2]
    """
    if models < 2 or models % 2:
        raise UsageError(f"models must be even and 2 or more, got {models}; each sample is in half of them")
    if len(set(keys)) != len(keys):
        raise UsageError(f"keys must differ, got {len(keys)} of which {len(set(keys))} differ; give each sample once")
    rng = np.random.default_rng(seed)
    half = np.arange(models)[:, None] < models // 2
    inside = rng.permuted(np.broadcast_to(half, (models, len(keys))), axis=0)
    return HalfSplits(tuple(keys), np.asarray(inside, bool))
