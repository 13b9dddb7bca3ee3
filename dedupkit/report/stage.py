"""The reporting stage: all decisions in, report.json and report.html out; set-level."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dedupkit.matching.stage import SearchFacts
from dedupkit.parts import read_schema
from dedupkit.report.build import build_report
from dedupkit.report.changed import choose_changes
from dedupkit.report.gallery import choose
from dedupkit.report.placeholders import suspected_placeholders
from dedupkit.report.previews import MEASURES, previews_of
from dedupkit.report.rooms import Rooms, shown_facts
from dedupkit.report.sensitive import hidden, sensitive_facts
from dedupkit.report.thumbnails import draw_pictures, within
from dedupkit.sample import ROW_BITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dedupkit.journey import Journey
    from dedupkit.mitigation.stage import CaptionFacts
    from dedupkit.report.decided import Decided
    from dedupkit.storage import Folder


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
        search = SearchFacts.of(read_schema(journey.tables.stage("pairs"), "pairs.parquet"))
        rooms = _rooms(journey, decisions)
        shown = shown_facts(rooms, choose(decisions), journey.recipe.matching, search.max_hamming_bits)
        previews = previews_of(decisions, partial(_measures, journey))
        wanted = within([*(each for group in previews for each in group.positions), *shown.positions])
        changes = choose_changes(journey, shown.gallery)
        private = hidden(journey, [*wanted, *(change.position for change in changes)])
        pictures = draw_pictures(
            journey,
            [position for position in wanted if position not in private],
            [change for change in changes if change.position not in private],
        )
        built = build_report(
            decisions,
            pictures.thumbnails,
            source=source,
            recipe_toml=recipe_toml,
            samples_written=written,
            gallery=shown.gallery,
            previews=previews,
            search=search,
            captions=captions,
            placeholders=suspected_placeholders(decisions, partial(_captions_of, journey)),
            commitment=commitment,
            sensitive=sensitive_facts(journey),
            facts=shown.facts | rooms.facts_of(each.position for each in pictures.changes),
            borderline=shown.borderline,
            histograms=rooms.histograms(),
            changes=pictures.changes,
        )
        out.write_bytes("report.html", built.to_html().encode())
        out.write_json("report.json", built.to_json())
        return built.to_json()


def _rooms(journey: Journey, decisions: Decided) -> Rooms:
    return Rooms(
        work=journey.work,
        decisions=decisions,
        shards=len(journey.shards),
        read_fingerprints=journey.tables.fingerprints,
        under_way=True,
    )


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


def _measures(journey: Journey, shard: int) -> pa.Table:
    return journey.tables.fingerprints(shard, MEASURES)
