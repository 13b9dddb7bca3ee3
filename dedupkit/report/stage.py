"""The reporting stage: all decisions in, report.json and report.html out; set-level."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dedupkit.matching.stage import SearchFacts
from dedupkit.parts import Part, make_parts, read_schema, read_table, table_name, write_table
from dedupkit.report.build import build_report
from dedupkit.report.gallery import choose, thumbnail
from dedupkit.report.placeholders import suspected_placeholders
from dedupkit.report.previews import MEASURES, choose_previews, taken_out
from dedupkit.report.sensitive import hidden, sensitive_facts
from dedupkit.sample import ROW_BITS
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dedupkit.journey import Journey
    from dedupkit.mitigation.stage import CaptionFacts
    from dedupkit.report.decided import Decided
    from dedupkit.report.previews import PreviewGroup
    from dedupkit.sources.base import Shard, Source
    from dedupkit.storage import Folder

STAGE = "thumbnails/1"
_THUMBNAILS = pa.schema({"position": pa.uint64(), "image": pa.binary()})


def report(
    journey: Journey,
    out: Folder,
    *,
    source: str,
    recipe_toml: str,
    written: Mapping[str, int],
    captions: CaptionFacts,
    commitment: str | None = None,
) -> dict[str, Any]:
    """Write ``report.json`` and ``report.html``.

    Parameters
    ----------
    journey : Journey
        The run, its decisions made.
    out : Folder
        The output folder.
    source : str
        The source in words.
    recipe_toml : str
        The resolved recipe.
    written : mapping of str to int
        Samples written by format.
    captions : CaptionFacts
        What was found in captions.
    commitment : str, optional
        Of the canaries.

    Returns
    -------
    dict
        The content of ``report.json``.
    """
    with _decisions_at_hand(journey) as decisions:
        gallery = choose(decisions)
        previews = previews_of(decisions, partial(_measures, journey))
        shown = [*(group.positions for group in gallery), *(group.positions for group in previews)]
        wanted = sorted({position for positions in shown for position in positions})
        private = hidden(journey, wanted)
        wanted = [position for position in wanted if position not in private]
        pictures = _thumbnails(journey, wanted)
        search = SearchFacts.of(read_schema(journey.tables.stage("pairs"), "pairs.parquet"))
        built = build_report(
            decisions,
            pictures,
            source=source,
            recipe_toml=recipe_toml,
            samples_written=written,
            gallery=gallery,
            previews=previews,
            search=search,
            captions=captions,
            placeholders=suspected_placeholders(decisions, partial(_captions_of, journey)),
            commitment=commitment,
            sensitive=sensitive_facts(journey),
        )
        out.write_bytes("report.html", built.to_html().encode())
        out.write_json("report.json", built.to_json())
        return built.to_json()


@contextmanager
def _decisions_at_hand(journey: Journey) -> Iterator[Decided]:
    """All decisions; those on a store are fetched once, as a report reads them again and again."""
    parts = journey.tables.stage("decisions").parts
    with ExitStack() as fetched:
        paths = [fetched.enter_context(parts.local(name)) for name in journey.part_names()]
        yield lambda columns: (pq.read_table(path, columns=columns, use_threads=False) for path in paths)


def _captions_of(journey: Journey, rows: pa.Table) -> pa.ChunkedArray:
    """The source's captions of some rows of the decisions, in their order."""
    positions, found = rows["position"].to_numpy(), []
    for number in np.unique(positions >> np.uint64(ROW_BITS)).tolist():
        here = positions[positions >> np.uint64(ROW_BITS) == number] & np.uint64((1 << ROW_BITS) - 1)
        found.append(journey.tables.raw_captions(number).take(pa.array(here)).combine_chunks())
    return pa.chunked_array(found, pa.string())


def previews_of(decisions: Decided, measures: Callable[[int], pa.Table]) -> list[PreviewGroup]:
    """Pictures to show of what the checks of hygiene took out; `measures` gives those of the shard of a number."""

    def parts() -> Iterator[tuple[pa.Table, pa.Table]]:
        for table in decisions(["position", "key", "reason", "detail"]):
            removed = taken_out(table)
            shards = removed["position"].to_numpy() >> np.uint64(ROW_BITS)
            for number in np.unique(shards).tolist():
                yield removed.filter(pa.array(shards == number)), measures(number)

    return choose_previews(parts())


def _measures(journey: Journey, shard: int) -> pa.Table:
    return journey.tables.fingerprints(shard, MEASURES)


def _thumbnails(journey: Journey, positions: Sequence[int]) -> dict[int, bytes]:
    """Small pictures of the samples at some positions, out of the shards that hold them."""
    rows: dict[int, list[int]] = {}
    for position in positions:
        rows.setdefault(position >> ROW_BITS, []).append(position & ((1 << ROW_BITS) - 1))
    stage, seen = journey.tables.stage("thumbnails"), journey.fingerprint_digests()
    parts = [
        Part(
            table_name(number),
            {"stage": STAGE, "fingerprints": seen[number], "rows": digest(wanted)},
            (number, journey.shards[number], wanted),
            shard=journey.shards[number],
        )
        for number, wanted in rows.items()
    ]
    make_parts(
        "thumbnails", stage, parts, partial(_thumbnail_part, source=journey.source), journey.engine, journey.observe
    )
    tables = [read_table(stage, part.name) for part in parts]
    return {row["position"]: row["image"] for table in tables for row in table.to_pylist()}


def _thumbnail_part(item: tuple[int, Shard, Sequence[int]], handle: IO[bytes], *, source: Source) -> dict[str, Any]:
    """Thumbnails of some rows of a shard, which is read no further than the last of them."""
    number, shard, rows = item
    wanted, found = set(rows), []
    for row, sample in enumerate(source.read(shard)):
        if row in wanted and sample.image is not None and (picture := thumbnail(sample.image)):
            found.append({"position": number << ROW_BITS | row, "image": picture})
        if row >= rows[-1]:
            break
    return write_table(pa.Table.from_pylist(found, schema=_THUMBNAILS), handle)
