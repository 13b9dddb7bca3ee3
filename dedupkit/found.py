"""Looking only: the duplicate groups of a source, with nothing written."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.engines.local import LocalEngine
from dedupkit.errors import UsageError
from dedupkit.grouping.groups import components
from dedupkit.grouping.verdicts import grouped_positions
from dedupkit.journey import Journey
from dedupkit.matching.stage import RADIUS_KEY
from dedupkit.options import resolve_recipe
from dedupkit.sample import Tier
from dedupkit.sources import open_source
from dedupkit.storage import Folder

if TYPE_CHECKING:
    import os

    from dedupkit.engines import Engine
    from dedupkit.parts import Observer, Progress
    from dedupkit.recipe import Recipe


@dataclass(frozen=True)
class Found:
    """Duplicates of a source.

    Attributes
    ----------
    samples : int
        Samples in the source, faulty ones included.
    pairs : pyarrow.Table
        One row a verified pair: keys ``a`` and ``b``, their positions, tier and evidence, as in
        `dedupkit.sample.PAIRS`.  Samples of the same bytes are paired with the first of them, and only that one
        with samples of other bytes.
    faults : dict of str to str
        Key and quarantine reason of each sample without a usable image.
    max_hamming_bits : int
        The radius that was searched.
    """

    samples: int
    pairs: pa.Table
    faults: dict[str, str]
    max_hamming_bits: int

    @cached_property
    def groups(self) -> list[list[str]]:
        """Keys of each duplicate group, in the source's order, groups by their first member.

        A group holds all samples that pairs connect, directly or not.
        """
        positions = grouped_positions(self.pairs["a_position"], self.pairs["b_position"])
        a, b = (np.searchsorted(positions, self.pairs[name].to_numpy()) for name in ("a_position", "b_position"))
        keys = np.empty(len(positions), dtype=object)
        keys[a], keys[b] = self.pairs["a"].to_pylist(), self.pairs["b"].to_pylist()
        label = components(len(positions), a, b)
        order = np.argsort(label, kind="stable")
        starts = np.flatnonzero(np.diff(label[order], prepend=-1))
        return [list(group) for group in np.split(keys[order], starts[1:])] if len(order) else []

    def at(self, max_hamming_bits: int) -> Found:
        """The same at a stricter radius, without searching again.

        Raises
        ------
        UsageError
            The radius is wider than the one that was searched.
        """
        if not 0 <= max_hamming_bits <= self.max_hamming_bits:
            raise UsageError(
                f"max_hamming_bits must be in [0, {self.max_hamming_bits}], the radius searched, got "
                f"{max_hamming_bits}; search again for a wider one"
            )
        near = pc.or_(
            pc.equal(self.pairs["tier"], Tier.EXACT.value),
            pc.fill_null(pc.less_equal(self.pairs["hamming_bits"], max_hamming_bits), False),
        )
        return Found(self.samples, self.pairs.filter(near), self.faults, max_hamming_bits)

    def borderline(self, n: int = 10) -> pa.Table:
        """The `n` pairs that only just count, farthest first: look at these when you choose a radius."""
        return self.pairs.sort_by([("hamming_bits", "descending"), ("a_position", "ascending")]).slice(0, n)

    def to_json(self) -> dict[str, Any]:
        """Groups, number of samples and faults, as ``dedupkit find --json`` writes them."""
        return {"groups": self.groups, "samples": self.samples, "faults": self.faults}


def find_duplicates(
    source: Any,
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    engine: Engine | None = None,
    workers: int | None = None,
    progress: Observer | None = None,
) -> Found:
    """Find the duplicates of a source and change nothing.

    Parameters
    ----------
    source : path, URL, datasets.Dataset, datasets.IterableDataset or iterable of samples
        What to look through; see docs/sources.md.
    recipe : Recipe or path of a TOML file, optional
        Every choice; the default recipe if left out.
    engine : Engine, optional
        Where tasks run; this machine if left out.
    workers : int, optional
        Worker processes of the local engine.
    progress : callable, optional
        Told of progress with a `dedupkit.parts.Progress`.

    Returns
    -------
    Found

    Raises
    ------
    UsageError
        Of a source or recipe that cannot be.

    Examples
    --------
    >>> from dedupkit.demo import example_images
    >>> find_duplicates(example_images()).samples
    64
    """
    chosen = resolve_recipe(recipe)
    with tempfile.TemporaryDirectory(prefix="dedupkit-", ignore_cleanup_errors=True) as scratch:
        work = Folder(scratch, durable=False)
        opened = open_source(source, chosen.source, max_bytes=chosen.limits.max_bytes, spool_to=work.below("spool"))
        journey = Journey(opened, chosen, work, engine or LocalEngine(workers), progress or _silent, with_fields=False)
        matched = journey.match(journey.fingerprint(), for_decisions=False)
        names = _names(journey)
    faulty = names.filter(pc.is_valid(names["fault"]))
    faults = dict(zip(faulty["key"].to_pylist(), faulty["fault"].to_pylist(), strict=True))
    radius = int((matched.pairs.schema.metadata or {})[RADIUS_KEY])
    return Found(names.num_rows, _with_keys(matched.pairs, names), faults, radius)


def _silent(progress: Progress) -> None:
    """Nobody is told."""


def _names(journey: Journey) -> pa.Table:
    """Position, unique key and fault of every sample."""
    from dedupkit.grouping.keys import replaced, unique_keys

    columns = ("position", "key", "shard", "fault")
    table = pa.concat_tables([journey.tables.fingerprints(number, columns) for number in range(len(journey.shards))])
    keys = replaced(table["key"], unique_keys(table["key"], table["shard"]))
    return pa.table({"position": table["position"], "key": keys, "fault": table["fault"]})


def _with_keys(pairs: pa.Table, names: pa.Table) -> pa.Table:
    positions = names["position"].to_numpy()
    keys = names["key"].combine_chunks()
    ends = {name: keys.take(pa.array(np.searchsorted(positions, pairs[name].to_numpy()))) for name in ("a", "b")}
    rest = {name: pairs[name] for name in pairs.column_names if name not in ends}
    return pa.table(ends | {"a_position": pairs["a"], "b_position": pairs["b"]} | rest)
