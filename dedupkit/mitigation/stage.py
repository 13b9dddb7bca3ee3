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
from dedupkit.mitigation.captions import REPEATED, merged_captions, normal_forms, repeated_captions, rewritten
from dedupkit.parts import Part, Progress, make_part, make_parts, read_table, stale_parts, table_name, write_table
from dedupkit.sample import Action
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from dedupkit.journey import Journey, Tables
    from dedupkit.recipe import Captions

STAGE = "settled captions/1"
CLEANED_STAGE = "captions"
SETTLED_STAGE = "settled_captions"
_REPEATED_PART = "repeated.parquet"
_SHOWN = 10
_MERGING = ("key", "action", "reason", "kept_key")

SETTLED = pa.schema({"caption": pa.string(), "captions": pa.list_(pa.string())})  # null for what does not stay


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
    Takes 16 bytes a sample, and some hundred for each sample of a duplicate group or with a repeated caption.
    """
    options, stage, shards = journey.recipe.captions, journey.tables.stage(SETTLED_STAGE), len(journey.shards)
    cleaned, names = journey.tables.stage(CLEANED_STAGE), list(map(table_name, range(shards)))
    untouched = np.empty(0, np.uint64) if exempt is None else exempt
    inputs = {
        "stage": STAGE,
        "cleaned": digest([cleaned.report(name)["sha256"] for name in names]),
        "options": digest(options.model_dump()),
        "decisions": digest([report["sha256"] for report in decisions]),
        "exempt": hashlib.sha256(untouched.tobytes()).hexdigest(),
        "pyarrow": metadata.version("pyarrow"),  # its Unicode tables decide which captions are the same
    }
    parts = [Part(name, inputs, None) for name in (_REPEATED_PART, *names)]
    stage.discard_others([part.name for part in parts])
    if stale := {part.name for part in stale_parts("captions over the set", stage, parts)}:
        captions = _SetCaptions(journey.tables, shards, options, untouched)
        tables = captions.settled()
        for done, (part, (table, facts)) in enumerate(zip(parts, tables, strict=True)):
            if part.name in stale:
                make_part(stage, partial(_written, table=table, facts=facts), part)
            journey.observe(Progress("captions over the set", done, shards, table.num_rows))
    return _facts(journey, names)


def _written(_: Any, handle: IO[bytes], *, table: pa.Table, facts: Mapping[str, int]) -> dict[str, Any]:
    return write_table(table, handle) | dict(facts)


def settled_digests(journey: Journey) -> list[str]:
    """Digest of the settled captions of each shard."""
    stage = journey.tables.stage(SETTLED_STAGE)
    return [stage.report(table_name(number))["sha256"] for number in range(len(journey.shards))]


class _SetCaptions:
    """The captions of a whole set, of which only what copies or repeats is held in memory."""

    def __init__(self, tables: Tables, shards: int, options: Captions, exempt: NDArray[np.uint64]) -> None:
        self._tables, self._shards, self._options, self._exempt = tables, shards, options, exempt

    def settled(self) -> Iterator[tuple[pa.Table, dict[str, int]]]:
        """Repeated captions; then of each shard what its samples are emitted with, and counts."""
        repeated = self._repeated()
        yield repeated, {}
        merged = self._merged()
        for number in range(self._shards):
            yield self._of_shard(number, repeated, merged)

    def _rows(self, number: int, columns: Sequence[str]) -> pa.Table:
        """Decisions about a shard, with position, whether each stays, and its caption."""
        decided = self._tables.decisions(number, tuple(dict.fromkeys(("position", "action", *columns))))
        return decided.append_column("caption", self._tables.fingerprints(number, ("caption",))["caption"])

    def _counted(self, number: int) -> pa.Table:
        """Kept rows whose captions count when repeated ones are looked for, with the group of each."""
        rows = self._rows(number, ("group",))
        counts = pc.and_(pc.equal(rows["action"], Action.KEEP.value), rows["caption"].is_valid())
        return rows.filter(pc.and_(counts, pc.invert(pc.is_in(rows["position"], value_set=pa.array(self._exempt)))))

    def _repeated(self) -> pa.Table:
        digests = [_digests(self._counted(number)["caption"]) for number in range(self._shards)]
        values, counts = np.unique(np.concatenate([np.empty(0, np.uint64), *digests]), return_counts=True)
        often, found = values[counts >= self._options.min_repeats], []
        for number in range(self._shards) if len(often) else ():
            rows = self._counted(number).select(["caption", "group"])
            found.append(rows.filter(pa.array(np.isin(digests[number], often))))
        if not found:
            return REPEATED.empty_table()
        rows = pa.concat_tables(found)
        return repeated_captions(rows["caption"], rows["group"], min_repeats=self._options.min_repeats)

    def _merged(self) -> pa.Table:
        """Position, captions and left_out of the samples that stay in a duplicate group."""
        rows = []
        for number in range(self._shards) if self._options.merge else ():
            table = self._rows(number, ("group", *_MERGING))
            rows.append(table.filter(table["group"].is_valid()))
        if not rows:
            return pa.table({"position": pa.array([], pa.uint64()), "captions": pa.array([], SETTLED.field(1).type),
                             "left_out": pa.array([], pa.uint32())})  # fmt: skip
        table = pa.concat_tables(rows)
        merged = merged_captions(table.select(_MERGING), table["caption"], self._options.max_captions)
        merged = merged.append_column("position", table["position"])
        return merged.filter(merged["captions"].is_valid())

    def _of_shard(self, number: int, repeated: pa.Table, merged: pa.Table) -> tuple[pa.Table, dict[str, int]]:
        rows = self._rows(number, ("key",))
        sizes = self._tables.fingerprints(number, ("width", "height"))
        stays = pc.equal(rows["action"], Action.KEEP.value)
        own = pc.if_else(stays, rows["caption"], pa.scalar(None, pa.string()))
        given = pc.index_in(rows["position"], value_set=merged["position"])
        lists = merged["captions"].take(given.combine_chunks()) if merged.num_rows else _nulls(rows)
        lists = pc.if_else(lists.is_valid(), lists, _alone(own, stays))
        left_out = pc.sum(merged["left_out"].take(given.combine_chunks().drop_null())).as_py() or 0
        added = (pc.sum(pc.list_value_length(lists)).as_py() or 0) - (pc.sum(own.is_valid()).as_py() or 0)
        facts = {"key": rows["key"], "width": sizes["width"], "height": sizes["height"]}
        exempt = pc.is_in(rows["position"], value_set=pa.array(self._exempt))
        fresh = [
            pc.if_else(exempt, column, rewritten(column, repeated, self._options, facts)) for column in (own, lists)
        ]
        return pa.table(fresh, schema=SETTLED), {"merged": added, "left_out": left_out}


def _digests(captions: pa.ChunkedArray) -> NDArray[np.uint64]:
    """64 bits of the normal form of each caption."""
    texts = normal_forms(captions).to_pylist()
    found = (hashlib.blake2b((text or "").encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(found), np.uint64)


def _alone(captions: pa.ChunkedArray, stays: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists of one caption; empty where there is none, null for what does not stay."""
    texts = captions.combine_chunks()
    ends = np.concatenate([[0], np.cumsum(texts.is_valid().to_numpy(zero_copy_only=False))]).astype(np.int32)
    mask = pa.array(~stays.to_numpy())
    return pa.chunked_array([pa.ListArray.from_arrays(pa.array(ends), texts.drop_null(), mask=mask)])


def _nulls(rows: pa.Table) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(rows.num_rows, SETTLED.field("captions").type)])


def _facts(journey: Journey, names: Sequence[str]) -> CaptionFacts:
    cleaned, settled = (journey.tables.stage(name) for name in (CLEANED_STAGE, SETTLED_STAGE))
    reports = [cleaned.report(name) for name in names]
    changes = [settled.report(name) for name in names]
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
