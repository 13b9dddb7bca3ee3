"""Blocking by example images: samples that show the same picture as one of them, whatever was done to it since."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.errors import UsageError
from dedupkit.fingerprints.stage import fingerprint_shard
from dedupkit.matching.radius import max_hamming_bits
from dedupkit.matching.shown import BLOCKED, VIEWS_NAME, Given, find_shown
from dedupkit.parts import Part, make_part, make_parts, read_table, stale_parts, write_table
from dedupkit.sample import FINGERPRINTS, Reason, Tier
from dedupkit.sources.base import Shard
from dedupkit.sources.listing import error_text
from dedupkit.sources.opening import open_source
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from dedupkit.journey import Journey, Tables
    from dedupkit.recipe import Recipe
    from dedupkit.sample import Sample
    from dedupkit.sources.base import Source
    from dedupkit.storage import Folder

STAGE = "blocked/1"
EXAMPLE_STAGES = ("blocked", "blocked_copies")
_EXAMPLES_PART = "examples.parquet"
_BLOCKED = pa.array([Reason.BLOCKED.value, Reason.CONTAMINATED.value])
_log = logging.getLogger("dedupkit")


@dataclass(frozen=True, slots=True)
class ExampleSource:
    """Images out of files, folders, tars and tables, as one shard.

    Attributes
    ----------
    sources : tuple of Source
        Where they come from.
    """

    sources: tuple[Source, ...]

    @classmethod
    def of(cls, paths: Sequence[str], max_bytes: int) -> ExampleSource | None:
        """The examples at some paths; None for no paths.

        Raises
        ------
        UsageError
            One is not there, or holds no images.
        """
        if not paths:
            return None
        try:
            return cls(tuple(open_source(path, max_bytes=max_bytes) for path in paths))
        except OSError as error:
            raise UsageError(f"example images cannot be read: {error_text(error)}; check their names") from error

    def shards(self) -> list[Shard]:
        """The one shard; its identity changes with any of the examples."""
        named = [[shard.name, shard.identity] for source in self.sources for shard in source.shards()]
        return [Shard("examples", digest(named), None)]

    def fields(self, shard: Shard) -> pa.Schema | None:
        """Not known."""

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream all examples."""
        for source in self.sources:
            for each in source.shards():
                yield from source.read(each)


def fingerprint_examples(journey: Journey, examples: ExampleSource, recipe: Recipe) -> pa.Table:
    """Fingerprints of the examples, made once.

    Raises
    ------
    UsageError
        One of them cannot be decoded.
    """
    shard = examples.shards()[0]
    stage = journey.tables.stage("examples")
    part = Part(_EXAMPLES_PART, journey.fingerprint_choices(recipe) | {"examples": shard.identity}, None)
    stage.discard_others([part.name])
    if stale_parts("examples", stage, [part]):
        threads = journey.engine.threads_a_task(1)
        table = fingerprint_shard((0, shard), source=examples, recipe=recipe, threads=threads, with_fields=False)
        _check_examples(table)
        _warn_of_poor_examples(table, recipe)
        captions = pa.nulls(table.num_rows, pa.string())  # not needed, and nobody's to keep
        table = table.set_column(table.column_names.index("caption"), FINGERPRINTS.field("caption"), captions)
        make_part(stage, lambda _, handle: write_table(table, handle), part)
    return read_table(stage, part.name)


def _check_examples(table: pa.Table) -> None:
    faulty = table.filter(table["fault"].is_valid()).select(["key", "fault_detail"]).to_pylist()
    if faulty:
        raise UsageError(
            f"example image {faulty[0]['key']} cannot be used: {faulty[0]['fault_detail']}; mend it or leave it out"
        )
    if not table.num_rows:
        raise UsageError("the example images of the blocklist are none; name images, folders or tars of images")


def _warn_of_poor_examples(table: pa.Table, recipe: Recipe) -> None:
    least = recipe.matching.min_luminance_entropy
    poor = table.filter(pc.less(pc.coalesce(table["trimmed_luminance_entropy"], table["luminance_entropy"]), least))
    if poor.num_rows and not recipe.descriptor:
        _log.warning(
            "%d example images, %s among them, have too little in them for hashes; only their exact bytes are found",
            poor.num_rows,
            poor["key"][0].as_py(),
        )


def block_examples(journey: Journey, examples: ExampleSource, reports: Sequence[Mapping[str, Any]]) -> None:
    """Find the samples that show an example, and the copies of those.

    Parameters
    ----------
    journey : Journey
        The run, its fingerprints and those of the examples made.
    examples : ExampleSource
        What must not stay.
    reports : sequence of dict
        What making the fingerprints reported.

    Notes
    -----
    Costs 0.3 microseconds for each sample and example, and where geometry is asked the reading of shards with
    candidates and some 10 ms a candidate.  Memory does not grow with the set.
    """
    from dedupkit.matching import views

    stage = journey.tables.stage("examples")
    shard, count = examples.shards()[0], stage.report(_EXAMPLES_PART)["rows"]
    seen = journey.tables.stage("example_views")
    said = "the same picture as example"

    def look() -> Given:
        if not _asks_geometry(journey.recipe):
            return Given(table=stage, name=_EXAMPLES_PART, views=None, said=said)
        part = Part(VIEWS_NAME, {}, (0, shard, np.arange(count, dtype=np.uint64)))
        task = partial(views.write_views, source=examples, recipe=journey.recipe, threads=1)
        make_part(seen, task, part)
        return Given(table=stage, name=_EXAMPLES_PART, views=seen.parts, said=said)

    try:
        first = find_in_shards(journey, "blocked", look, stage.report(_EXAMPLES_PART)["sha256"], reports, count)
    finally:
        seen.discard_others([])
    _block_copies(journey, first, reports)


def _block_copies(journey: Journey, first: Sequence[Mapping[str, Any]], reports: Sequence[Mapping[str, Any]]) -> None:
    """The copies of what was blocked: a part of the example that another part of it has nothing in common with."""
    seeds, stage = _seeds(journey), journey.tables.stage("blocked_seeds")
    part = Part("seeds.parquet", {"blocked": digest([report["sha256"] for report in first])}, None)
    stage.discard_others([part.name])
    make_part(stage, lambda _, handle: write_table(seeds, handle), part)
    positions = seeds["place"].to_numpy()

    def look() -> Given:
        seen = None
        if _asks_geometry(journey.recipe) and len(positions):
            from dedupkit.verification import views_of

            seen = _renumbered(journey.tables, views_of(journey, np.sort(positions)), positions)
        return Given(table=stage, name=part.name, views=seen, said="a copy of the blocked sample")

    try:
        find_in_shards(journey, "blocked_copies", look, stage.report(part.name)["sha256"], reports, len(positions))
    finally:
        journey.tables.stage("views").discard_others([])
        journey.tables.stage("example_views").discard_others([])


def _seeds(journey: Journey) -> pa.Table:
    """Fingerprints of the different samples that show an example, numbered, each with its place in the set."""
    examples = read_table(journey.tables.stage("examples"), _EXAMPLES_PART, ("key",))["key"]
    found = []
    for name in journey.part_names():
        rows = read_table(journey.tables.stage("blocked"), name, ("row", "given", "tier"))
        rows = rows.filter(pc.not_equal(rows["tier"], Tier.EXACT.value))
        if rows.num_rows:
            table = read_table(journey.tables.stage("fingerprints"), name).take(rows["row"])
            shown = pc.binary_join_element_wise(table["key"], " (example ", examples.take(rows["given"]), ")", "")
            found.append(table.set_column(table.column_names.index("key"), FINGERPRINTS.field("key"), shown))
    table = pa.concat_tables([FINGERPRINTS.empty_table(), *(each.replace_schema_metadata(None) for each in found)])
    digests = table["sha256"].to_pylist()
    first = sorted({each: row for row, each in reversed(list(enumerate(digests)))}.values())
    table = table.take(pa.array(first, pa.int64()))
    captions = pa.nulls(table.num_rows, pa.string())
    table = table.set_column(table.column_names.index("caption"), FINGERPRINTS.field("caption"), captions)
    numbers = pa.array(np.arange(table.num_rows, dtype=np.uint64))
    return table.append_column("place", table["position"]).set_column(0, FINGERPRINTS.field("position"), numbers)


def _renumbered(tables: Tables, names: Sequence[str], positions: NDArray[np.uint64]) -> Folder:
    """One file of the views in some parts, by the numbers of the given pictures in place of their positions."""
    from dedupkit.matching.views import VIEWS

    views, stage = tables.stage("views"), tables.stage("example_views")

    def write(_: Any, handle: IO[bytes]) -> dict[str, Any]:
        rows = 0
        with pa.ipc.new_file(handle, VIEWS) as out:
            for name in names:
                with views.parts.reading(name) as file:
                    table = pa.ipc.open_file(file).read_all()
                numbers = np.searchsorted(positions, table["position"].to_numpy()).astype(np.uint64)
                out.write_table(table.set_column(0, VIEWS.field("position"), pa.array(numbers)))
                rows += table.num_rows
        return {"rows": rows}

    make_part(stage, write, Part(VIEWS_NAME, {}, None))
    return stage.parts


def _asks_geometry(recipe: Recipe) -> bool:
    return bool(recipe.descriptor) and recipe.descriptor != "given" and recipe.matching.verify == "geometry"


def find_in_shards(
    journey: Journey, name: str, look: Callable[[], Given], given: str, reports: Sequence[Mapping[str, Any]], count: int
) -> list[Any]:
    """Make the parts of one stage of blocked samples, a shard each."""
    recipe, stage = journey.recipe, journey.tables.stage(name)
    radius = max_hamming_bits(recipe.matching, _as_many(sum(report["rows"] for report in reports), count))
    choices = {
        "stage": STAGE,
        "given": given,
        "matching": digest([recipe.matching.model_dump(), radius]),
        "limits": digest(recipe.limits.model_dump()),
    }
    parts = [
        Part(
            part,
            choices | {"fingerprints": report["sha256"], "shard": digest([shard.name, shard.identity])},
            (number, shard),
            report["rows"],
        )
        for number, (part, shard, report) in enumerate(zip(journey.part_names(), journey.shards, reports, strict=True))
    ]
    if not count:
        stage.discard_others([])
        for part in parts:
            make_part(stage, lambda _, handle: write_table(BLOCKED.empty_table(), handle), part)
        return [stage.report(part.name) for part in parts]
    # pictures are looked at where a part has to be made; else nobody asks
    ready = look() if stale_parts(name, stage, parts) else Given(table=stage, name="", views=None, said="")
    earlier = journey.tables.blocked_by[: journey.tables.blocked_by.index(name)]
    task = partial(
        find_shown, given=ready, work=journey.work, source=journey.source, recipe=recipe, radius=radius,
        threads=journey.engine.threads_a_task(len(parts)), earlier=earlier,
    )  # fmt: skip
    return make_parts(name.replace("_", " "), stage, parts, task, journey.engine, journey.observe)


def _as_many(samples: int, given: int) -> int:
    """Size of a set with as many pairs in it as there are between samples and given pictures."""
    return int((2 * samples * given) ** 0.5) + 1


def with_blocked(table: pa.Table, blocked: Sequence[pa.Table]) -> pa.Table:
    """Fingerprints of a shard in which what was blocked has it as its fault, whatever other fault it had not yet."""
    for each in blocked:
        if each.num_rows:
            rows = each["row"].to_numpy()
            mask = np.zeros(table.num_rows, dtype=bool)
            mask[rows] = True
            blocked = pa.repeat(Reason.BLOCKED.value, len(rows))
            told = {
                "fault": each["reason"] if "reason" in each.column_names else blocked,
                "fault_detail": each["detail"].combine_chunks(),
            }
            for name, values in told.items():
                if name in table.column_names:
                    column = pc.replace_with_mask(table[name].combine_chunks(), pa.array(mask), _flat(values))
                    table = table.set_column(table.column_names.index(name), FINGERPRINTS.field(name), column)
    return table


def _flat(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def with_evidence(decisions: pa.Table, blocked: Sequence[pa.Table]) -> pa.Table:
    """Decisions about a shard in which what was blocked says by which evidence."""
    for each in blocked:
        if each.num_rows:
            mask = np.zeros(decisions.num_rows, dtype=bool)
            mask[each["row"].to_numpy()] = True
            place = np.cumsum(mask) - 1
            mask &= pc.is_in(decisions["reason"], value_set=_BLOCKED).to_numpy()  # a person may have said otherwise
            place = pa.array(place, mask=~mask)
            for name in ("tier", "evidence"):
                column = decisions[name].combine_chunks()
                given = each[name].combine_chunks().take(place)
                fresh = pc.if_else(pa.array(mask), given, column)
                number = decisions.column_names.index(name)
                decisions = decisions.set_column(number, decisions.schema.field(name), fresh)
    return decisions
