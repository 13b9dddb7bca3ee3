"""Keys that are unique in the set: a clash gets the shard's name in front, and no sample is lost."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator


def unique_keys(keys: pa.ChunkedArray, shards: pa.ChunkedArray) -> dict[int, str]:
    """New keys for the samples whose key an earlier sample has.

    Parameters
    ----------
    keys, shards : pyarrow.ChunkedArray of string, length n
        Key of each sample as its source has it, and the shard's name, in the order of positions.

    Returns
    -------
    dict of int to str
        Row number to new key: ``shard/key``, or ``shard/key#2`` and so on where that is taken too.  The first
        sample of a key keeps it.
    """
    counts = pc.value_counts(keys)
    clashing = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if len(clashing) == 0:
        return {}
    rows = pc.indices_nonzero(pc.is_in(keys, value_set=clashing))
    taken = set(pc.unique(keys).to_pylist())
    seen: Counter[str] = Counter()
    renamed = {}
    for row, key, shard in zip(*(each.to_pylist() for each in (rows, keys.take(rows), shards.take(rows))), strict=True):
        seen[key] += 1
        if seen[key] > 1:
            renamed[row] = next(name for name in _names(f"{shard}/{key}") if name not in taken)
            taken.add(renamed[row])
    return renamed


def _names(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}#{number}"
        number += 1


def replaced(keys: pa.ChunkedArray, renamed: dict[int, str]) -> pa.Array:
    """The keys with the new ones in their places."""
    flat = keys.combine_chunks()
    if not renamed:
        return flat
    rows = sorted(renamed)
    mask = np.zeros(len(flat), dtype=bool)
    mask[rows] = True
    return pc.replace_with_mask(flat, pa.array(mask), pa.array([renamed[row] for row in rows], pa.string()))
