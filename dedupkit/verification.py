"""From candidate pairs to copies: the pictures in doubt are looked at once more, and geometry decides."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.grouping import keep as keeping
from dedupkit.grouping.stage import columns_of
from dedupkit.matching.descriptors import DescriptorRows, descriptor_rows
from dedupkit.matching.stage import VERIFIED_KEY, cosines
from dedupkit.parts import Part, Progress, make_parts
from dedupkit.sample import PAIRS, ROW_BITS, Tier
from dedupkit.scratch import blocks, scratch_files
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dedupkit.engines import Engine
    from dedupkit.journey import Journey
    from dedupkit.matching.candidates import Candidates
    from dedupkit.matching.proof import Proven, Verifier
    from dedupkit.matching.views import ViewsOfShards
    from dedupkit.scratch import Scratch
    from dedupkit.storage import Folder

_PAIRS_A_TASK = 4096
_FEW_PAIRS = 20_000  # not worth starting processes for


@dataclass(frozen=True, slots=True)
class Verified:
    """Copies and look-alikes, found and not yet read.

    Attributes
    ----------
    schema : pyarrow.Schema
        `dedupkit.sample.PAIRS`, with what is known of the search in its metadata.
    pairs, look_alikes : iterable of pyarrow.Table
        Tables in it, copies of equal bytes first, then all sorted by (a, b).
    """

    schema: pa.Schema
    pairs: Iterable[pa.Table]
    look_alikes: Iterable[pa.Table]


@contextmanager
def verified(
    journey: Journey,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    *,
    for_decisions: bool,
    scratch: Path | None = None,
    verifier: Verifier | None = None,
) -> Iterator[Verified]:
    """Copies and look-alikes among candidate pairs.

    Parameters
    ----------
    journey : Journey
        The run: its source is read again where geometry has to look.
    schema : pyarrow.Schema
        `dedupkit.sample.PAIRS`; its metadata says how candidates were searched.
    tables : iterable of pyarrow.Table
        The candidates; read twice.
    for_decisions : bool
        Also compare every member of a group with the one that would be kept.
    scratch : Path, optional
        Folder for files that are removed at the end: 24 bytes a candidate, 512 a picture that stands in one, 72 a pair
        that is verified.  In memory if left out.
    verifier : Verifier, optional
        Who is asked instead of a new `geometry`.
    """
    recipe = journey.recipe
    if not recipe.descriptor or recipe.matching.verify == "none":
        yield Verified(schema, tables, ())
        return
    from dedupkit.matching.candidates import Candidates

    with scratch_files(scratch) as files:
        near = Candidates.of((_of_tier(table, exact=False) for table in tables), files)
        proven = _proven(journey, near, files, for_decisions=for_decisions, verifier=verifier)
        metadata = dict(schema.metadata or {}) | {VERIFIED_KEY: str(proven.verified)}
        pairs = _one_after_another((_of_tier(table, exact=True) for table in tables), proven.pairs_in_parts())
        yield Verified(PAIRS.with_metadata(metadata), pairs, proven.look_alikes_in_parts())


def _of_tier(table: pa.Table, *, exact: bool) -> pa.Table:
    is_exact = pc.equal(table["tier"], Tier.EXACT.value)
    return table.filter(is_exact if exact else pc.invert(is_exact))


def _one_after_another(*tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    for each in tables:
        yield from each


def _proven(
    journey: Journey, candidates: Candidates, scratch: Scratch, *, for_decisions: bool, verifier: Verifier | None
) -> Proven:
    from dedupkit.matching.proof import doubtful_positions, prove

    read, shards, matching = journey.tables.fingerprints, len(journey.shards), journey.recipe.matching
    positions = candidates.positions
    rank = None
    if for_decisions:
        rank = keeping.ranks(columns_of(read, shards, keeping.COLUMNS, positions), journey.recipe.keep)
    if verifier is None:
        verifier = geometry(journey, positions, doubtful_positions(candidates, matching, rank), scratch)
    proven = prove(candidates, matching, verifier, rank, scratch=scratch, memory=journey.engine.memory_of_set())
    journey.observe(Progress("verified pairs", 1, 1, proven.verified))
    return proven


def geometry(
    journey: Journey, positions: NDArray[np.uint64], seen: NDArray[np.uint64], scratch: Scratch
) -> EngineVerifier:
    """What answers for some positions, ascending, of which it looks at those `seen`."""
    views_of(journey, seen)
    asked = 0

    def told(pairs: int) -> None:
        nonlocal asked
        asked += pairs
        journey.observe(Progress("verified pairs", 0, 1, asked))

    views, min_entropy = journey.tables.stage("views").parts, journey.recipe.matching.min_luminance_entropy
    return EngineVerifier(views, _Cosines.of(journey, positions, scratch), min_entropy, journey.engine, told)


def views_of(journey: Journey, positions: NDArray[np.uint64]) -> list[str]:
    """Names of the parts with the views of some samples, in the order of shards."""
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
            "limits": digest(recipe.limits.of_headers),
            "fingerprints": digest(recipe.fingerprints.model_dump()),
        }
        parts.append(Part(views.part_name(number), inputs, (number, shard, wanted), shard.byte_size, shard))
    threads = journey.engine.threads_a_task(len(parts))
    task = partial(views.write_views, source=journey.source, recipe=recipe, threads=threads)
    make_parts("views", stage, parts, task, journey.engine, journey.observe)
    return [part.name for part in parts]


@dataclass(frozen=True, slots=True)
class _Cosines:
    """Cosines of the descriptors of pairs of positions, which lie in scratch files."""

    positions: NDArray[np.uint64]
    rows: NDArray[np.float16]

    @classmethod
    def of(cls, journey: Journey, positions: NDArray[np.uint64], scratch: Scratch) -> _Cosines:
        rows = DescriptorRows(scratch)
        for number in range(len(journey.shards)):
            bounds = np.array([number, number + 1], dtype=np.uint64) << np.uint64(ROW_BITS)
            wanted = positions[slice(*np.searchsorted(positions, bounds))]
            if len(wanted):
                table = journey.tables.fingerprints(number, ("position", "descriptor"))
                here = np.isin(table["position"].to_numpy(), wanted, assume_unique=True)
                rows.add(descriptor_rows(table["descriptor"].filter(pa.array(here))))
        return cls(positions, rows.whole())

    def __call__(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.float32]:
        here, there = (np.searchsorted(self.positions, end) for end in (a, b))
        return cosines(self.rows, here, there)


class EngineVerifier:
    """Aligns pairs of pictures: in threads of this process, or, if they are many, as tasks of the engine.

    Parameters
    ----------
    views : Folder
        Where the views of all pictures lie that may be asked about; one without a view is no copy of anything.
    cosine : callable
        Cosines of the descriptors of pairs of positions.
    min_entropy : float
        As of `dedupkit.matching.views.GeometryVerifier`.
    engine : Engine
        Where tasks run.
    observe : callable
        Told the number of pairs after each batch.
    """

    def __init__(
        self, views: Folder, cosine: _Cosines, min_entropy: float, engine: Engine, observe: Callable[[int], None]
    ) -> None:
        from dedupkit.matching.views import GeometryVerifier, ViewsOfShards

        self._views, self._cosine, self._min_entropy = views, cosine, min_entropy
        self._engine, self._observe, self._run = engine, observe, uuid4().hex
        self._here = GeometryVerifier(ViewsOfShards(views), min_entropy, engine.threads_a_task(1), observe)

    def cosine(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Cosine of the descriptors of pairs of positions; 0 where one has none."""
        return self._cosine(a, b)

    def __call__(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[Any]:
        """Evidence about pairs of positions, an array of `dedupkit.matching.proof.EVIDENCE`."""
        if self._engine.in_this_process or len(a) < _FEW_PAIRS:
            return self._here(a, b)
        parts = [(block.start, a[block], b[block]) for block in blocks(len(a), _PAIRS_A_TASK)]
        threads = self._engine.threads_a_task(len(parts))
        task = partial(_verified_part, views=self._views, run=self._run, min_entropy=self._min_entropy, threads=threads)
        found = {}
        for (start, *_), evidence in self._engine.map(task, parts):
            found[start] = evidence
            self._observe(len(evidence))
        return np.concatenate([found[start] for start, *_ in parts])


def _verified_part(
    part: tuple[int, NDArray[np.uint64], NDArray[np.uint64]],
    *,
    views: Folder,
    run: str,
    min_entropy: float,
    threads: int,
) -> NDArray[Any]:
    """Evidence about some pairs, as a task; views that this process has opened stay open."""
    from dedupkit.matching.views import GeometryVerifier

    _, a, b = part
    verifier = GeometryVerifier(_opened(views, run), min_entropy, threads, lambda _: None)
    return verifier(a, b)


@lru_cache(maxsize=1)
def _opened(views: Folder, run: str) -> ViewsOfShards:
    from dedupkit.matching.views import ViewsOfShards

    return ViewsOfShards(views)
