"""The stages of captions: cleaned shard by shard, then merged, and held against each other, over the whole set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.hygiene.captions import CaptionCleaner, CaptionFinding
from dedupkit.mitigation.set_captions import SetCaptions
from dedupkit.parts import Part, Progress, make_part, make_parts, read_table, stale_parts, table_name, write_table
from dedupkit.scratch import scratch_files
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from dedupkit.journey import Journey, Tables
    from dedupkit.recipe import Captions

STAGE = "settled captions/1"
CLEANED_STAGE = "captions"
SETTLED_STAGE = "settled_captions"
_REPEATED_PART = "repeated.parquet"
_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionFacts:
    """What was found in captions, and what became of it.

    Attributes
    ----------
    found : mapping of str to int
        Samples by finding, each value of `dedupkit.hygiene.captions.CaptionFinding` in its order, zeros included.
    changed : int
        Samples whose caption was cleaned or left out.
    merged : int
        Captions that samples which stay got from their dropped copies.
    left_out : int
        Captions of dropped copies beyond `max_captions`.
    repeated : int
        Different captions that stand over many pictures.
    repeated_samples : int
        Samples that have them.
    most_repeated : tuple of mapping
        Caption and pictures of the ten that stand over most.
    """

    found: Mapping[str, int]
    changed: int = 0
    merged: int = 0
    left_out: int = 0
    repeated: int = 0
    repeated_samples: int = 0
    most_repeated: tuple[Mapping[str, Any], ...] = ()


def clean_captions(journey: Journey, fingerprints: Sequence[Mapping[str, Any]]) -> None:
    """Clean the captions of every shard; `Tables.fingerprints` then shows them instead of the source's.

    Parameters
    ----------
    journey : Journey
        The run, its fingerprints made.
    fingerprints : sequence of dict
        What `Journey.fingerprint` reports.
    """
    options = journey.recipe.captions
    identity = CaptionCleaner(options).identity
    parts = [
        Part(table_name(number), {"rules": digest(identity), "fingerprints": report["sha256"]}, number, report["rows"])
        for number, report in enumerate(fingerprints)
    ]
    task = partial(_clean_part, tables=journey.tables, options=options)
    make_parts("captions", journey.tables.stage(CLEANED_STAGE), parts, task, journey.engine, journey.observe)


def _clean_part(number: int, handle: IO[bytes], *, tables: Tables, options: Captions) -> dict[str, Any]:
    captions = tables.raw_captions(number)
    table = CaptionCleaner(options).clean_all(captions)
    found = dict.fromkeys(map(str, CaptionFinding), 0)
    for finding in pc.list_flatten(table["found"]).to_pylist():
        found[finding] += 1
    same = pc.fill_null(pc.equal(captions, table["caption"]), False)
    changed = pc.sum(pc.and_(pc.invert(same), captions.is_valid())).as_py() or 0
    return write_table(table, handle) | {"found": found, "changed": changed}


def settle_captions(
    journey: Journey, decisions: Sequence[Mapping[str, Any]], exempt: NDArray[np.uint64] | None = None
) -> CaptionFacts:
    """Merge the captions of dropped copies into those that stay, and find those that stand over many pictures.

    Parameters
    ----------
    journey : Journey
        The run, its decisions made.
    decisions : sequence of dict
        What `Journey.decide` reports.
    exempt : ndarray of uint64, optional
        Positions whose captions are neither counted as repeated nor rewritten.

    Returns
    -------
    CaptionFacts

    Notes
    -----
    Takes some hundred bytes for each repeated caption; the rest as `dedupkit.mitigation.set_captions` says.
    """
    options, stage, shards = journey.recipe.captions, journey.tables.stage(SETTLED_STAGE), len(journey.shards)
    cleaned, names = journey.tables.stage(CLEANED_STAGE), list(map(table_name, range(shards)))
    untouched = np.empty(0, np.uint64) if exempt is None else exempt
    inputs = {
        "stage": STAGE,
        "cleaned": digest([report["sha256"] for report in cleaned.reports(names)]),
        "options": digest(options.model_dump()),
        "decisions": digest([report["sha256"] for report in decisions]),
        "exempt": hashlib.sha256(untouched.tobytes()).hexdigest(),
        "pyarrow": metadata.version("pyarrow"),  # its Unicode tables decide which captions are the same
    }
    parts = [Part(name, inputs, None) for name in (_REPEATED_PART, *names)]
    stage.discard_others([part.name for part in parts])
    if stale := {part.name for part in stale_parts("captions over the set", stage, parts)}:
        with journey.scratch() as folder, scratch_files(folder) as scratch:
            memory = journey.engine.memory_of_set()
            captions = SetCaptions(journey.tables, shards, options, untouched, scratch, memory)
            for done, (part, (table, facts)) in enumerate(zip(parts, captions.settled(), strict=True)):
                if part.name in stale:
                    make_part(stage, partial(_written, table=table, facts=facts), part)
                journey.observe(Progress("captions over the set", done, shards, table.num_rows))
    return _facts(journey, names)


def _written(_: Any, handle: IO[bytes], *, table: pa.Table, facts: Mapping[str, int]) -> dict[str, Any]:
    return write_table(table, handle) | dict(facts)


def settled_digests(journey: Journey) -> list[str]:
    """Digest of the settled captions of each shard."""
    stage = journey.tables.stage(SETTLED_STAGE)
    return [report["sha256"] for report in stage.reports(journey.part_names())]


def _facts(journey: Journey, names: Sequence[str]) -> CaptionFacts:
    cleaned, settled = (journey.tables.stage(name) for name in (CLEANED_STAGE, SETTLED_STAGE))
    reports, changes = cleaned.reports(names), settled.reports(names)
    repeated = read_table(settled, _REPEATED_PART)
    return CaptionFacts(
        found={str(each): sum(report["found"][each] for report in reports) for each in CaptionFinding},
        changed=sum(report["changed"] for report in reports),
        merged=sum(report["merged"] for report in changes),
        left_out=sum(report["left_out"] for report in changes),
        repeated=repeated.num_rows,
        repeated_samples=pc.sum(repeated["samples"]).as_py() or 0,
        most_repeated=tuple(repeated.slice(0, _SHOWN).select(["caption", "pictures"]).to_pylist()),
    )
