"""Where marks made by hand stand: keys looked up among those of the set, and images that were blocked unseen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.errors import UsageError
from dedupkit.fingerprints.stage import fingerprint_shard
from dedupkit.grouping.by_hand import PLACED, ByHand, rows_of
from dedupkit.grouping.keys import UniqueKeys
from dedupkit.parts import Part, make_part, make_parts, read_table, stale_parts, table_name, write_table
from dedupkit.sample import ROW_BITS, Reason
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from dedupkit.journey import Journey, Tables
    from dedupkit.recipe import Recipe
    from dedupkit.review.overrides import Overrides
    from dedupkit.sample import Sample
    from dedupkit.sources.base import Shard, Source

STAGE = "overrides/1"
_PLACES, _SPARED = "overrides", "spared"
_PART = "marks.parquet"
SPARED_COLUMNS = ("sha256", "width", "height", "format", "byte_size", "faces")
"""What is known of a blocked sample only when a person says that it stays."""


def place_marks(journey: Journey, overrides: Overrides, reports: Sequence[Mapping[str, Any]]) -> ByHand:
    """Find the samples that bear marks, and look at those images that were blocked before anybody decoded them.

    Parameters
    ----------
    journey : Journey
        The run, its fingerprints made.
    overrides : Overrides
        The marks.
    reports : sequence of dict
        What making the fingerprints reported.

    Notes
    -----
    One reading of all keys, unless they and the marks are the same as in an earlier run, and 200 bytes a mark.
    """
    stage = journey.tables.stage(_PLACES)
    inputs = {
        "stage": STAGE,
        "fingerprints": digest([report["sha256"] for report in reports]),
        "marks": overrides.identity,
    }
    part = Part(_PART, inputs, None)
    stage.discard_others([part.name])
    if stale_parts("marks made by hand", stage, [part]):
        placed = _placed(journey, overrides)
        make_part(stage, lambda _, handle: write_table(placed, handle), part)
    placed = read_table(stage, part.name)
    _spare(journey, placed)
    return ByHand(placed, _refused(journey, placed))


def forget_marks(journey: Journey) -> None:
    """Remove what an earlier run with marks left."""
    for name in (_PLACES, _SPARED):
        journey.tables.stage(name).discard_others([])


def spared(tables: Tables, number: int, table: pa.Table) -> pa.Table:
    """Fingerprints of a shard with what is known of blocked samples that a person wants."""
    found = read_table(tables.stage(_SPARED), table_name(number), ("position", *SPARED_COLUMNS))
    mask = np.zeros(table.num_rows, dtype=bool)
    mask[(found["position"].to_numpy() & np.uint64((1 << ROW_BITS) - 1)).astype(np.int64)] = True
    for name in set(SPARED_COLUMNS).intersection(table.column_names):
        both = pa.concat_arrays([table[name].combine_chunks(), found[name].combine_chunks()])
        column = both.take(pa.array(np.where(mask, len(mask) + np.cumsum(mask) - 1, np.arange(len(mask)))))
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(name), column)
    return table


def _placed(journey: Journey, overrides: Overrides) -> pa.Table:
    """The marks of samples that there are, in the schema `PLACED`."""
    read, shards = journey.tables.fingerprints, range(len(journey.shards))
    names = UniqueKeys.of(read, len(shards), journey.engine.memory_of_set())
    marks, found = overrides.marks, [PLACED.empty_table()]
    keys = marks["key"].combine_chunks()
    for number in shards:
        table = read(number, ("position", "key"))
        place = pc.index_in(names.replaced(number, table["key"]), value_set=keys)
        rows = marks.take(place.drop_null())
        positions = table["position"].filter(place.is_valid())
        found.append(rows.drop_columns(["key"]).add_column(0, PLACED.field("position"), positions))
    return pa.concat_tables(found).combine_chunks()


def _spare(journey: Journey, placed: pa.Table) -> None:
    """Fingerprint the images of samples that are to stay, and were blocked unseen."""
    kept = placed.filter(placed["keep"])
    wanted: dict[int, list[int]] = {}
    for number in np.unique(kept["position"].to_numpy() >> np.uint64(ROW_BITS)).tolist():
        rows = (rows_of(kept, number)["position"].to_numpy() & np.uint64((1 << ROW_BITS) - 1)).astype(np.int64)
        seen = read_table(journey.tables.stage("fingerprints"), table_name(number), ("sha256", "fault"))
        unseen = pc.and_(pc.equal(seen["fault"], Reason.BLOCKED.value), seen["sha256"].is_null())
        chosen = rows[pc.fill_null(unseen, False).to_numpy()[rows]]
        if len(chosen):
            wanted[number] = chosen.tolist()
    recipe = journey.recipe
    choices = {"stage": STAGE} | journey.fingerprint_choices(recipe)
    choices["sensitive"] = digest(recipe.hygiene.model_dump())
    parts = [
        Part(
            table_name(number),
            choices | {"shard": digest([shard.name, shard.identity]), "rows": digest(rows)},
            (number, shard, rows),
            shard.byte_size,
        )
        for number, rows in wanted.items()
        for shard in (journey.shards[number],)
    ]
    task = partial(_spare_part, source=journey.source, recipe=recipe)
    stage = journey.tables.stage(_SPARED)
    if parts:
        make_parts("images kept by hand", stage, parts, task, journey.engine, journey.observe)
    else:
        stage.discard_others([])
    object.__setattr__(journey.tables, "spared", tuple(wanted))


def _refused(journey: Journey, placed: pa.Table) -> NDArray[np.uint64]:
    """Positions of what was taken down, and of blocked samples whose images cannot be decoded."""
    found = [np.empty(0, np.uint64)]
    for number in journey.tables.spared:
        table = read_table(journey.tables.stage(_SPARED), table_name(number), ("position", "fault"))
        found.append(table.filter(table["fault"].is_valid())["position"].to_numpy())
    if journey.taken_down is not None:
        for number in np.unique(placed["position"].to_numpy() >> np.uint64(ROW_BITS)).tolist():
            rows = read_table(journey.tables.stage("taken_down"), table_name(number), ("row",))["row"].to_numpy()
            found.append(rows.astype(np.uint64) | np.uint64(number << ROW_BITS))
    return np.unique(np.concatenate(found))


@dataclass(frozen=True, slots=True)
class _Withheld:
    """Some samples of one shard, with the images that they were blocked with."""

    source: Source
    shard: Shard
    rows: Sequence[int]

    def shards(self) -> Sequence[Shard]:
        return [self.shard]

    def fields(self, shard: Shard) -> pa.Schema | None:
        return None

    def read(self, shard: Shard) -> Iterator[Sample]:
        wanted = set(self.rows)
        for row, sample in enumerate(self.source.read(shard)):
            if row in wanted:
                fault = None if sample.withheld else sample.fault
                yield replace(sample, image=sample.withheld, fault=fault, caption=None)  # that stands elsewhere
            if row >= self.rows[-1]:
                break


def _spare_part(
    item: tuple[int, Shard, Sequence[int]], handle: IO[bytes], *, source: Source, recipe: Recipe
) -> dict[str, Any]:
    number, shard, rows = item
    held = _Withheld(source, shard, rows)
    table = fingerprint_shard((number, shard), source=held, recipe=recipe, threads=1, with_fields=False)
    places = pa.array(np.array(rows, np.uint64) | np.uint64(number << ROW_BITS))
    return write_table(table.set_column(0, table.schema.field("position"), places), handle)


def refuse_marks_on(by_hand: ByHand, canaries: NDArray[np.uint64]) -> None:
    """Refuse marks that would take canaries out of the set.

    To pass over them would show which they are to everybody who knows the marks and the decisions.

    Raises
    ------
    UsageError
        If there are some; the text names none of them.
    """
    count = int(np.isin(by_hand.positions("drop"), canaries).sum())
    if count:
        raise UsageError(
            f"the overrides drop {count} planted canaries, which have to stay; nothing was written; take these marks "
            "out, which the holder of the private manifest can find, see docs/review.md"
        )
