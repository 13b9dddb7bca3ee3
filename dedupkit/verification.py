"""From candidate pairs to copies: the pictures in doubt are looked at once more, and geometry decides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.grouping import keep as keeping
from dedupkit.grouping.stage import columns_of
from dedupkit.matching.descriptors import descriptor_rows
from dedupkit.matching.stage import VERIFIED_KEY
from dedupkit.parts import Part, Progress, make_parts
from dedupkit.sample import PAIRS, ROW_BITS, Tier
from dedupkit.storage import digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.journey import Journey
    from dedupkit.matching.proof import Candidates, Proven, Verifier
    from dedupkit.matching.views import GeometryVerifier


def verified(
    journey: Journey, candidates: pa.Table, *, for_decisions: bool, verifier: Verifier | None = None
) -> tuple[pa.Table, pa.Table]:
    """Copies and look-alikes among candidate pairs.

    Parameters
    ----------
    journey : Journey
        The run: its source is read again where geometry has to look.
    candidates : pyarrow.Table
        In the schema of `dedupkit.sample.PAIRS`.
    for_decisions : bool
        Also compare every member of a group with the one that would be kept.
    verifier : Verifier, optional
        Who is asked instead of a new `geometry`.

    Returns
    -------
    tuple of pyarrow.Table
        Pairs and look-alikes, in the same schema.
    """
    recipe, metadata = journey.recipe, candidates.schema.metadata
    if not recipe.descriptor:
        return candidates, PAIRS.empty_table()
    if recipe.matching.verify == "none":
        return candidates, PAIRS.empty_table()
    from dedupkit.matching.proof import Candidates

    exact = pc.equal(candidates["tier"], Tier.EXACT.value)
    near = Candidates.of(candidates.filter(pc.invert(exact)))
    proven = _proven(journey, near, for_decisions=for_decisions, verifier=verifier)
    pairs = pa.concat_tables([candidates.filter(exact), proven.pairs])
    metadata = metadata | {VERIFIED_KEY: str(proven.verified)}
    return pairs.replace_schema_metadata(metadata), proven.look_alikes


def _proven(journey: Journey, candidates: Candidates, *, for_decisions: bool, verifier: Verifier | None) -> Proven:
    from dedupkit.matching.proof import doubtful_positions, prove

    read, shards, matching = journey.tables.fingerprints, len(journey.shards), journey.recipe.matching
    positions = candidates.positions
    rank = None
    if for_decisions:
        rank = keeping.ranks(columns_of(read, shards, keeping.COLUMNS, positions), journey.recipe.keep)
    if verifier is None:
        verifier = geometry(journey, positions, doubtful_positions(candidates, matching, rank))
    proven = prove(candidates, matching, verifier, rank)
    journey.observe(Progress("verified pairs", 1, 1, proven.verified))
    return proven


def geometry(journey: Journey, positions: NDArray[np.uint64], seen: NDArray[np.uint64]) -> GeometryVerifier:
    """What answers for some positions, ascending, of which it looks at those `seen`."""
    from dedupkit.matching.views import GeometryVerifier, Views

    views = Views(views_of(journey, seen))
    descriptors = columns_of(journey.tables.fingerprints, len(journey.shards), ("position", "descriptor"), positions)
    asked = 0

    def told(pairs: int) -> None:
        nonlocal asked
        asked += pairs
        journey.observe(Progress("verified pairs", 0, 1, asked))

    min_entropy, threads = journey.recipe.matching.min_luminance_entropy, journey.engine.threads_a_task(1)
    return GeometryVerifier(views, _Cosines(positions, descriptors), min_entropy, threads, told)


def views_of(journey: Journey, positions: NDArray[np.uint64]) -> list[str]:
    """Files of the views of some samples, in the order of shards."""
    from dedupkit.matching import views

    stage, recipe = journey.tables.stage("views"), journey.recipe
    shard_of = (positions >> np.uint64(ROW_BITS)).astype(np.int64)
    parts = []
    for number in np.unique(shard_of).tolist():
        wanted, shard = positions[shard_of == number], journey.shards[number]
        inputs = {
            "stage": views.STAGE,
            "shard": digest([shard.name, shard.identity]),
            "wanted": digest(wanted.tolist()),
            "limits": digest(recipe.limits.model_dump()),
            "fingerprints": digest(recipe.fingerprints.model_dump()),
        }
        parts.append(Part(f"{number:05d}.arrow", inputs, (number, shard, wanted), shard.byte_size))
    threads = journey.engine.threads_a_task(len(parts))
    task = partial(views.write_views, source=journey.source, recipe=recipe, threads=threads)
    make_parts("views", stage, parts, task, journey.engine, journey.observe)
    return [stage.parts.path(part.name) for part in parts]


@dataclass(frozen=True, slots=True)
class _Cosines:
    """Cosines of the descriptors of pairs of positions: 512 bytes a picture that stands in a candidate pair."""

    positions: NDArray[np.uint64]
    rows: NDArray[np.float16]

    def __init__(self, positions: NDArray[np.uint64], table: pa.Table) -> None:
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "rows", descriptor_rows(table["descriptor"]))

    def __call__(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.float32]:
        mine, theirs = (self.rows[np.searchsorted(self.positions, end)].astype(np.float32) for end in (a, b))
        return np.asarray(np.einsum("nd,nd->n", mine, theirs), dtype=np.float32)
