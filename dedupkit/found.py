"""Looking only: the duplicate groups of a source, with nothing written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.engines.opening import check_reach, open_engine
from dedupkit.errors import UsageError
from dedupkit.grouping.groups import components
from dedupkit.grouping.verdicts import grouped_positions
from dedupkit.guard.enduring import enduring
from dedupkit.hygiene.sensitive import Lookout
from dedupkit.journey import Journey
from dedupkit.matching.stage import SearchFacts
from dedupkit.options import resolve_recipe
from dedupkit.parts import silent
from dedupkit.sample import Tier
from dedupkit.sources import open_source
from dedupkit.storage import Folder
from dedupkit.temporary import TemporaryFolder

if TYPE_CHECKING:
    import os

    from dedupkit.engines import Engine
    from dedupkit.journey import Matched
    from dedupkit.notebook.fragment import Shown
    from dedupkit.notebook.pictures import Pictures
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe


@dataclass(frozen=True, repr=False)
class Found:
    """Duplicates of a source.

    A notebook shows the largest groups.  As a table (``polars.DataFrame(found)``, DuckDB, ``__arrow_c_stream__``) it is
    its `pairs`.

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
    min_cosine : float
        The floor of descriptors that was searched; 1 where there were none.
    look_alikes : pyarrow.Table
        Pairs near by descriptor that geometry refused, in the columns of `pairs`: burst shots, the same product, the
        same template.
    neighbour_recall : float or None
        Share of the pairs of near descriptors that was found, measured on a sample; None where the search was exact.
    capped_neighbours : int
        Samples with more near descriptors than their lists could take: some of their pairs may be missing.
    pictures : Pictures or None
        Reads thumbnails out of the source when they are shown; None where it can be read only once.
    """

    samples: int
    pairs: pa.Table
    faults: dict[str, str]
    max_hamming_bits: int
    min_cosine: float
    look_alikes: pa.Table
    neighbour_recall: float | None
    capped_neighbours: int
    pictures: Pictures | None = field(default=None, compare=False, kw_only=True)

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

    @property
    def members(self) -> pa.Table:
        """The groups in Arrow: ``key``, and ``group``, the number of its group in `groups`, one row a member."""
        sizes = [len(group) for group in self.groups]
        keys = [key for group in self.groups for key in group]
        return pa.table(
            {"key": pa.array(keys, pa.string()), "group": pa.array(np.repeat(np.arange(len(sizes)), sizes))}
        )

    def at(
        self, max_hamming_bits: int | None = None, *, min_cosine: float | None = None, min_score: float = 0.0
    ) -> Found:
        """The same at stricter limits, without searching again.

        Parameters
        ----------
        max_hamming_bits : int, optional
            Of pairs of near hashes.
        min_cosine : float, optional
            Of pairs that geometry or the descriptors alone made.
        min_score : float
            Of the evidence of geometry.

        Raises
        ------
        UsageError
            A limit is wider than what was searched.

        Notes
        -----
        Nearest pairs are verified first, and those that would join nothing new are not verified at all; so at a
        stricter limit groups may come apart that a search with that limit would hold together by other pairs.
        """
        radius = self.max_hamming_bits if max_hamming_bits is None else max_hamming_bits
        floor = self.min_cosine if min_cosine is None else min_cosine
        if not 0 <= radius <= self.max_hamming_bits:
            raise UsageError(
                f"max_hamming_bits must be in [0, {self.max_hamming_bits}], the radius searched, got "
                f"{max_hamming_bits}; search again for a wider one"
            )
        if not self.min_cosine <= floor <= 1:
            raise UsageError(
                f"min_cosine must be in [{self.min_cosine:g}, 1], the floor searched, got {min_cosine}; search again "
                "for a lower one"
            )
        if not 0 <= min_score <= 1:
            raise UsageError(f"min_score must be in [0, 1], got {min_score}")
        by_hash = pc.is_in(self.pairs["tier"], pa.array([Tier.EXACT.value, Tier.PERCEPTUAL.value]))
        near = pc.fill_null(pc.less_equal(self.pairs["hamming_bits"], radius), True)
        alike = pc.fill_null(pc.greater_equal(self.pairs["cosine"], floor), True)
        proven = pc.fill_null(pc.greater_equal(self.pairs["score"], min_score), True)
        wanted = pc.if_else(by_hash, near, pc.and_(alike, proven))
        return replace(self, pairs=self.pairs.filter(wanted), max_hamming_bits=radius, min_cosine=floor)

    def borderline(self, n: int = 10) -> pa.Table:
        """The `n` pairs that only just count: look at these when you choose limits.

        Those of the weakest evidence first: by score of geometry, then by cosine, then by bits of the hashes.
        """
        order = [("score", "ascending"), ("cosine", "ascending"), ("hamming_bits", "descending")]
        found = self.pairs.filter(pc.not_equal(self.pairs["tier"], Tier.EXACT.value))
        return found.sort_by([*order, ("a_position", "ascending")]).slice(0, n)

    def show(self, n: int = 12, *, first: int = 0) -> Shown:
        """Groups for a notebook to show, the largest first.

        Parameters
        ----------
        n : int
            How many.
        first : int
            How many to leave out before them.

        Raises
        ------
        UsageError
            Of a number below 0.
        """
        from dedupkit.notebook.found import groups
        from dedupkit.notebook.fragment import Shown

        if min(n, first) < 0:
            raise UsageError(f"n and first must be 0 or more, got {n} and {first}")
        return Shown(groups(self, n, first))

    def show_pairs(self, pairs: pa.Table | None = None, *, n: int = 10) -> Shown:
        """Pairs side by side for a notebook to show, with what speaks for them.

        Parameters
        ----------
        pairs : pyarrow.Table, optional
            Rows of `pairs` or `look_alikes`; `borderline` if left out.
        n : int
            How many at most.
        """
        from dedupkit.notebook.found import pairs as fragment
        from dedupkit.notebook.fragment import Shown

        table = self.borderline(n) if pairs is None else pairs.slice(0, n)
        title = "Pairs that only just count" if pairs is None else f"{table.num_rows:,} of {pairs.num_rows:,} pairs"
        return Shown(fragment(self, table, title))

    def _repr_html_(self) -> str:
        from dedupkit.notebook.found import overview

        return overview(self).html()

    def __repr__(self) -> str:
        from dedupkit.notebook.found import overview

        return overview(self, pictures=False).text()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.pairs.__arrow_c_stream__(requested_schema)

    def to_json(self) -> dict[str, Any]:
        """Groups, number of samples and faults, as ``dedupkit find --json`` writes them."""
        return {"groups": self.groups, "samples": self.samples, "faults": self.faults}


def find_duplicates(
    source: Any,
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    engine: Engine | str | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Observer | None = None,
) -> Found:
    """Find the duplicates of a source and change nothing.

    Parameters
    ----------
    source : path, URL, datasets.Dataset, DataFrame, Arrow table or iterable of samples
        What to look through; see docs/sources.md.
    recipe : Recipe or path of a TOML file, optional
        Every choice; the default recipe if left out.
    engine : Engine, "local" or "ray", optional
        Where tasks run; this machine if left out.  See docs/ray.md.
    workers : int, optional
        Worker processes of the engine local; how many tasks at most the engine ray has on its cluster.
    memory : int or str, optional
        What the run may take: bytes, or text such as ``4GiB``; see docs/scale.md.  The result does not depend on it.
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
    with (
        open_engine(engine, workers=workers, memory=memory, places=(source,)) as workforce,
        TemporaryFolder() as scratch,
    ):
        work = Folder(scratch, durable=False)
        opened = open_source(source, chosen.source, **chosen.limits.of_files, spool_to=work.below("spool"))

        def make() -> Journey:
            return Journey(opened, chosen, work, workforce, progress or silent, emits=False)

        def go(journey: Journey) -> tuple[Journey, Matched]:
            check_reach(workforce, work, journey.source, journey.shards)
            return journey, journey.match(journey.fingerprint(), for_decisions=False)

        journey, matched = enduring(make, go)
        found = matched.pairs, matched.look_alikes
        names = _names(journey)
        pictures = _pictures(source, journey, found)
    faulty = names.filter(pc.is_valid(names["fault"]))
    faults = dict(zip(faulty["key"].to_pylist(), faulty["fault"].to_pylist(), strict=True))
    facts = SearchFacts.of(found[0])
    floor = journey.recipe.matching.min_cosine if journey.recipe.descriptor else 1.0
    pairs, look_alikes = (_with_keys(table, names) for table in found)
    return Found(
        names.num_rows,
        pairs,
        faults,
        facts.max_hamming_bits,
        floor,
        look_alikes,
        facts.neighbour_recall,
        facts.capped_neighbours,
        pictures=pictures,
    )


def _pictures(source: Any, journey: Journey, tables: tuple[pa.Table, ...]) -> Pictures | None:
    from dedupkit.notebook.pictures import Pictures
    from dedupkit.report.sensitive import hidden

    if not Lookout.of(journey.recipe.hygiene):
        return Pictures.of(source, journey.recipe)
    shown = {position for table in tables for end in ("a", "b") for position in table[end].to_pylist()}
    return Pictures.of(source, journey.recipe, frozenset(hidden(journey, sorted(shown))))


def _names(journey: Journey) -> pa.Table:
    """Position, unique key and fault of every sample."""
    from dedupkit.grouping.keys import UniqueKeys

    shards = range(len(journey.shards))
    names = UniqueKeys.of(journey.tables.fingerprints, len(shards))
    tables = [journey.tables.fingerprints(number, ("position", "key", "fault")) for number in shards]
    keys = [names.replaced(number, table["key"]) for number, table in enumerate(tables)]
    renamed = [table.set_column(1, "key", key) for table, key in zip(tables, keys, strict=True)]
    return pa.concat_tables(renamed)


def _with_keys(pairs: pa.Table, names: pa.Table) -> pa.Table:
    positions = names["position"].to_numpy()
    keys = names["key"].combine_chunks()
    ends = {name: keys.take(pa.array(np.searchsorted(positions, pairs[name].to_numpy()))) for name in ("a", "b")}
    rest = {name: pairs[name] for name in pairs.column_names if name not in ends}
    return pa.table(ends | {"a_position": pairs["a"], "b_position": pairs["b"]} | rest)
