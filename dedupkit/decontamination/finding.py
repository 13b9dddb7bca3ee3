"""Which samples of a training shard show a picture of a reference set; record-local."""

from __future__ import annotations

from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from dedupkit.engines.ordered import in_order
from dedupkit.index.kept_views import Looking
from dedupkit.matching.sequential import some
from dedupkit.matching.shown import BLOCKED, _words
from dedupkit.matching.stage import COLUMNS
from dedupkit.matching.suspects import suspects
from dedupkit.matching.turns import INVERSE, ORIENTATIONS
from dedupkit.matching.views import sample_view
from dedupkit.parts import read_table, table_name, write_table
from dedupkit.sample import EVIDENCE, ROW_BITS, Reason, Tier
from dedupkit.storage import Stage
from dedupkit.streaming.judging import evidence_of, first_match
from dedupkit.streaming.memory import fingerprints_of, numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dedupkit.decontamination.references import Reference
    from dedupkit.index.snapshot import Snapshot
    from dedupkit.matching.evidence import Found
    from dedupkit.matching.geometry import View
    from dedupkit.matching.suspects import Suspects
    from dedupkit.recipe import Recipe
    from dedupkit.sample import Sample
    from dedupkit.sources.base import Shard, Source
    from dedupkit.storage import Folder

STAGE = "contaminated/1"
_AT_ONCE = 2048  # samples that are searched for
_BATCH = 16
_MOST_ASKED = 8  # pictures of a set that geometry compares one sample with, the nearest ones
_TRIMMED = {"a": "kept", "b": "this"}
MATCH = pa.struct(
    {"set": pa.string(), "key": pa.string(), "tier": pa.string(), "evidence": EVIDENCE},
)
CONTAMINATED = pa.schema(
    [
        *(field for field in BLOCKED if field.name != "given"),
        pa.field("reason", pa.string()),
        pa.field("found", pa.list_(MATCH)),  # one a reference set
    ]
)


class _Doubt(NamedTuple):
    """What geometry is to be asked about one sample and one reference set."""

    reference: int
    suspects: Suspects


def find_contaminated(
    item: tuple[int, Shard],
    handle: IO[bytes],
    *,
    references: Sequence[Reference],
    samples: int,
    work: Folder,
    source: Source,
    recipe: Recipe,
    threads: int,
) -> dict[str, Any]:
    """Write the part of one shard, in the schema `CONTAMINATED`."""
    number, shard = item
    columns = (*COLUMNS, "descriptor") if recipe.descriptor else COLUMNS
    table = read_table(Stage(work.below("fingerprints"), work), table_name(number), columns)
    snapshots = [reference.snapshot(samples) for reference in references]
    finder = _Finder([reference.name for reference in references], snapshots, recipe)
    finder.search(table)
    finder.look(source, shard, threads)
    written = write_table(finder.table(), handle)
    return written | {"found": finder.counts()}


class _Finder:
    """Finds the samples of one shard in some reference sets: the best match in each."""

    def __init__(self, names: Sequence[str], snapshots: Sequence[Snapshot], recipe: Recipe) -> None:
        self._names, self._snapshots, self._recipe = names, snapshots, recipe
        self._found: dict[int, dict[int, dict[str, Any]]] = {}
        self._doubtful: dict[int, list[_Doubt]] = {}

    def search(self, table: pa.Table) -> None:
        """Find what is sure, and what is in doubt."""
        whole = fingerprints_of(table, self._recipe.matching)
        rows = (whole.positions & np.uint64((1 << ROW_BITS) - 1)).astype(np.int64)
        for start in range(0, len(rows), _AT_ONCE):
            span = slice(start, start + _AT_ONCE)
            for reference, snapshot in enumerate(self._snapshots):
                prints = numbered(some(whole, span), snapshot.state.entries)
                first = snapshot.seen.first_of_equals(prints.digests)
                found = suspects(prints, np.flatnonzero(first < 0), snapshot.seen, [])
                for row, entry in zip(rows[span][first >= 0].tolist(), first[first >= 0].tolist(), strict=True):
                    self._tell(row, reference, entry, Tier.EXACT, {})
                for query, row in enumerate(rows[span][first < 0].tolist()):
                    self._sort(row, reference, found.of(query))

    def _sort(self, row: int, reference: int, found: Suspects) -> None:
        snapshot = self._snapshots[reference]
        match = first_match(snapshot.state.entries, found, self._recipe.matching, None)
        if match is not None and match.tier is not Tier.LOOK_ALIKE:
            self._tell_pair(row, reference, match)
        elif len(found.entry) and snapshot.state.views == "keep":
            self._doubtful.setdefault(row, []).append(_Doubt(reference, found))

    def look(self, source: Source, shard: Shard, threads: int) -> None:
        """Ask geometry about what is in doubt; the shard is read again, no further than the last of it."""
        if not self._doubtful:
            return
        read = enumerate(islice(source.read(shard), max(self._doubtful) + 1))
        chosen = ((row, sample) for row, sample in read if row in self._doubtful)
        batches: Iterator[list[tuple[int, Sample]]] = iter(lambda: list(islice(chosen, _BATCH)), [])
        for batch, answers in in_order(self._looked_at, batches, threads):
            for (row, _), matches in zip(batch, answers, strict=True):
                for reference, match in matches:
                    self._tell_pair(row, reference, match)
            for snapshot in self._snapshots:
                snapshot.views.release()

    def _looked_at(self, batch: list[tuple[int, Sample]]) -> list[list[tuple[int, Found]]]:
        return [self._matches(self._doubtful[row], sample_view(sample, self._recipe)) for row, sample in batch]

    def _matches(self, doubts: Sequence[_Doubt], view: View | None) -> list[tuple[int, Found]]:
        matching, found = self._recipe.matching, []
        for reference, suspected in doubts:
            snapshot = self._snapshots[reference]
            count = snapshot.state.entries

            def seen(entry: int, snapshot: Snapshot = snapshot, count: int = count) -> View | None:
                return snapshot.views[entry] if entry < count else view

            look = Looking(seen, matching.min_luminance_entropy)
            match = first_match(count, suspected, matching, look, _MOST_ASKED)
            if match is not None:
                found.append((reference, match))
        return found

    def _tell_pair(self, row: int, reference: int, match: Found) -> None:
        self._tell(row, reference, match.entry, match.tier, _seen_from_sample(evidence_of(match)))

    def _tell(self, row: int, reference: int, entry: int, tier: Tier, evidence: Mapping[str, Any]) -> None:
        snapshot = self._snapshots[reference]
        entry = int(snapshot.stand_in[entry])
        told = {"set": self._names[reference], "key": snapshot.entries["key"][entry].as_py(), "tier": tier.value}
        self._found.setdefault(row, {})[reference] = told | {"evidence": dict(evidence) or None}

    def table(self) -> pa.Table:
        """What was found, in the schema `CONTAMINATED`."""
        rows = []
        for row in sorted(self._found):
            matches = [self._found[row][reference] for reference in sorted(self._found[row])]
            best = matches[0]
            told = {"row": row, "tier": best["tier"], "evidence": best["evidence"], "detail": self._words(matches)}
            rows.append(told | {"reason": Reason.CONTAMINATED.value, "found": matches})
        return pa.Table.from_pylist(rows, schema=CONTAMINATED)

    def _words(self, matches: Sequence[Mapping[str, Any]]) -> str:
        bits = 256 if self._recipe.matching.hash == "pdq" else 64
        first = matches[0]
        said = f"stands in {first['set']} as {first['key']}: {_words(Tier(first['tier']), first['evidence'], bits)}"
        return "; ".join([said, *(f"in {each['set']} as {each['key']}" for each in matches[1:])])

    def counts(self) -> dict[str, int]:
        """Samples that stand in each reference set."""
        found = [reference for matches in self._found.values() for reference in matches]
        return {name: found.count(reference) for reference, name in enumerate(self._names)}


def _seen_from_sample(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence of a pair as decisions have it: how the reference picture is turned to give the sample."""
    found = {name: value for name, value in evidence.items() if name in EVIDENCE.names}
    if "orientation" in found:
        found["orientation"] = ORIENTATIONS[INVERSE[ORIENTATIONS.index(found["orientation"])]]
        found["trimmed"] = _TRIMMED.get(found["trimmed"], found["trimmed"])
    return found
