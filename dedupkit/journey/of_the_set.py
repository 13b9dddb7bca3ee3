"""The set-level half of a run: candidates, pairs and decisions, out of all tables of fingerprints."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from dedupkit.blocking import with_evidence
from dedupkit.grouping import stage as deciding
from dedupkit.grouping.by_hand import counted
from dedupkit.hygiene.captions import CaptionCleaner
from dedupkit.journey.tables import LOOK_ALIKES_NAME, PAIRS_NAME, Matched
from dedupkit.matching import stage as matching
from dedupkit.parts import (
    Part,
    Progress,
    make_part,
    read_schema,
    read_tables,
    stale_parts,
    table_name,
    write_table,
    write_tables,
)
from dedupkit.recipe import policy_name
from dedupkit.review.placing import forget_marks, place_marks, refuse_marks_on
from dedupkit.sample import PAIRS
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from dedupkit.engines import Spread
    from dedupkit.grouping.by_hand import ByHand
    from dedupkit.journey.whole import Journey
    from dedupkit.parts import Maker
    from dedupkit.storage import Stage

_CANDIDATES = "candidates.parquet"
_OF_OTHERS = {"strip_metadata", "orientation", "drop_fields", "checks"}  # faults of checks stand in the fingerprints
_OF_PROOF = {"verify", "min_score", "look_alikes", "min_look_alike_cosine", "sure_cosine"}


def find_candidates(journey: Journey, fingerprints: Sequence[dict[str, Any]]) -> Stage:
    """Find the pairs of equal bytes, near hashes and near descriptors among all fingerprints."""
    stage = journey.tables.stage("candidates")
    chosen = journey.recipe.matching.model_dump(exclude=_OF_PROOF)
    inputs = {
        "stage": matching.STAGE,
        "fingerprints": digest([report["sha256"] for report in fingerprints]),
        "checks": _checks(journey),
        "matching": digest(chosen),
        "canaries": journey.planted_identity,
    }
    part = Part(_CANDIDATES, inputs, None)
    stage.discard_others([part.name])
    if stale_parts("candidates", stage, [part]):
        journey.observe(Progress("candidates", 0, 1, 0))
        make_part(stage, partial(_write_candidates, journey), part)
    journey.observe(Progress("candidates", 1, 1, 0))
    return stage


def _write_candidates(journey: Journey, _: object, handle: IO[bytes]) -> dict[str, Any]:
    columns = (*matching.COLUMNS, "descriptor") if journey.recipe.descriptor else matching.COLUMNS
    tables = (journey.tables.fingerprints(number, columns) for number in range(len(journey.shards)))
    threads, memory = journey.engine.threads_a_task(1), journey.engine.memory_of_set()
    with (
        journey.scratch() as folder,
        matching.find_candidates(
            tables, journey.recipe.matching, threads=threads, scratch=folder, memory=memory, spread=_spread(journey)
        ) as found,
    ):
        pairs = found.tables
        if journey.planting is not None:
            pairs = journey.planting.without_pairs(pairs, journey.tables, len(journey.shards))
        return write_tables(pairs, handle, found.schema)


def _spread(journey: Journey) -> Spread | None:
    """Where tasks go that need scratch files: to other processes, if those see them."""
    engine = journey.engine
    seen = engine.on_this_machine or not journey.work.remote
    return engine.map if seen and not engine.in_this_process else None


def match_pairs(journey: Journey, fingerprints: Sequence[dict[str, Any]], *, for_decisions: bool = True) -> Matched:
    """Find the pairs of copies among all fingerprints.

    With `for_decisions` every member of a group is compared with the one that the keep policy likes best; without,
    no more pairs are verified than the groups need.
    """
    from dedupkit.matching import proof

    candidates = journey.candidates(fingerprints)
    stage = journey.tables.stage("pairs")
    keep = journey.recipe.keep
    inputs = {
        "stage": proof.STAGE,
        "candidates": candidates.report(_CANDIDATES)["sha256"],
        "matching": digest(journey.recipe.matching.model_dump()),
        "keep": digest(policy_name(keep.policy)) if for_decisions else "",
    }
    parts = [Part(name, inputs, None) for name in (PAIRS_NAME, LOOK_ALIKES_NAME)]
    stage.discard_others([part.name for part in parts])
    # Code cannot be compared, so pairs for a policy that is code are made anew each time.
    stale = parts if for_decisions and callable(keep.policy) else stale_parts("pairs", stage, parts)
    if stale:
        _write_pairs(journey, candidates, stage, stale, for_decisions=for_decisions)
    journey.tables.stage("views").discard_others([])  # also those of a run that was killed when pairs were made
    return Matched(stage)


def _write_pairs(
    journey: Journey, candidates: Stage, stage: Stage, parts: Sequence[Part], *, for_decisions: bool
) -> None:
    from dedupkit.verification import verified

    schema = read_schema(candidates, _CANDIDATES)
    given = _InParts(candidates, _CANDIDATES)
    with (
        journey.scratch() as folder,
        verified(journey, schema, given, for_decisions=for_decisions, scratch=folder) as found,
    ):
        tables = {PAIRS_NAME: (found.pairs, found.schema), LOOK_ALIKES_NAME: (found.look_alikes, PAIRS)}
        for part in parts:
            make_part(stage, _tables_writer(*tables[part.name]), part)


def decide_about_all(
    journey: Journey,
    fingerprints: Sequence[dict[str, Any]],
    matched: Matched,
    canaries: NDArray[np.uint64] | None = None,
) -> list[dict[str, Any]]:
    """Decide about every sample; the report of each part of decisions.

    Raises
    ------
    UsageError
        Somebody marked `canaries`, which are positions, to go.
    """
    by_hand = _by_hand(journey, fingerprints, canaries)
    stage = journey.tables.stage("decisions")
    keep = journey.recipe.keep
    inputs = {
        "stage": deciding.STAGE,
        "fingerprints": digest([report["sha256"] for report in fingerprints]),
        "checks": _checks(journey),
        "pairs": matched.stage.report(PAIRS_NAME)["sha256"],
        "keep": digest([policy_name(keep.policy), keep.max_copies]),
    }
    if journey.overrides is not None and by_hand is not None:
        inputs["overrides"] = digest([journey.overrides.identity, by_hand.refused.tolist()])
    parts = [Part(name, inputs, None) for name in map(table_name, range(len(journey.shards)))]
    stage.discard_others([part.name for part in parts])
    # Code cannot be compared, so decisions of a policy that is code are made anew each time.
    stale = parts if callable(keep.policy) else stale_parts("decisions", stage, parts)
    if stale:
        if by_hand is None:
            forget_marks(journey)
        names = {part.name for part in stale}
        with journey.scratch() as folder:
            decided = zip(parts, _decided(journey, matched, folder, by_hand), strict=True)
            for done, (part, table) in enumerate(decided, 1):
                if part.name in names:
                    table = with_evidence(table, journey.tables.blocked(done - 1))
                    told = {} if by_hand is None else {"by_hand": counted(by_hand, table)}
                    make_part(stage, _table_writer(table, told), part)
                journey.observe(Progress("decisions", done, len(parts), table.num_rows))
    return stage.reports([part.name for part in parts])


def _by_hand(
    journey: Journey, fingerprints: Sequence[dict[str, Any]], canaries: NDArray[np.uint64] | None
) -> ByHand | None:
    if journey.overrides is None:
        return None
    by_hand = place_marks(journey, journey.overrides, fingerprints)
    if canaries is not None:
        refuse_marks_on(by_hand, canaries)
    return by_hand


def _decided(journey: Journey, matched: Matched, folder: Path, by_hand: ByHand | None) -> Iterator[pa.Table]:
    read, memory = journey.tables.fingerprints, journey.engine.memory_of_set()
    pairs = partial(read_tables, matched.stage, PAIRS_NAME)
    return deciding.decide(
        read, len(journey.shards), pairs, journey.recipe.keep, scratch=folder, memory=memory, by_hand=by_hand
    )


def _checks(journey: Journey) -> str:
    """All that decides which samples have a fault, and what their captions are."""
    found: list[Any] = [journey.recipe.hygiene.model_dump(exclude=_OF_OTHERS), journey.tables.placeholders.identity]
    if journey.tables.blocked_by:
        stages = map(journey.tables.stage, journey.tables.blocked_by)
        found += [[report["sha256"] for report in stage.reports(journey.part_names())] for stage in stages]
    return digest([*found, CaptionCleaner(journey.recipe.captions).identity] if journey.emits else found)


def _table_writer(table: pa.Table, told: dict[str, Any]) -> Maker:
    return lambda _, handle: write_table(table, handle) | told


def _tables_writer(tables: Iterable[pa.Table], schema: pa.Schema) -> Maker:
    return lambda _, handle: write_tables(tables, handle, schema)


@dataclass(frozen=True, slots=True)
class _InParts:
    """A table between stages that is read some rows at a time, as often as it is asked for."""

    stage: Stage
    name: str

    def __iter__(self) -> Iterator[pa.Table]:
        return read_tables(self.stage, self.name)
