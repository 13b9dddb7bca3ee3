"""All decisions of a run, one shard after the other: what reads them holds no more than it has to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import pyarrow as pa

Decided: TypeAlias = Callable[[Sequence[str] | None], Iterable[pa.Table]]
"""Gives the named columns of `dedupkit.sample.DECISIONS` (None: all), some rows at a time, in the order of positions;
asked as often as somebody reads them."""


def decided_of(decisions: pa.Table | Decided) -> Decided:
    """Decisions that may be one table."""
    if not isinstance(decisions, pa.Table):
        return decisions
    return lambda columns: [decisions if columns is None else decisions.select(columns)]
