"""One source, one recipe, and the stages between them, each from files to files."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.blocklist import Blocker, without_blocked
from dedupkit.examples import EXAMPLE_STAGES, ExampleSource
from dedupkit.fields import unify
from dedupkit.fingerprints.given import recipe_for_list
from dedupkit.fingerprints.stage import FIELDS_KEY
from dedupkit.guard.condemned import Condemned
from dedupkit.hygiene.placeholders import Placeholders
from dedupkit.journey.of_shards import fingerprint_choices, fingerprint_shards
from dedupkit.journey.of_the_set import decide_about_all, find_candidates, match_pairs
from dedupkit.journey.tables import Tables, mapped_at
from dedupkit.parts import table_name
from dedupkit.scratch import discard
from dedupkit.sources.limited import LimitedSource
from dedupkit.sources.lists import ListSource
from dedupkit.temporary import TemporaryFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from dedupkit.canaries.planting import Planting
    from dedupkit.engines import Engine
    from dedupkit.journey.tables import Matched
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe
    from dedupkit.review.overrides import Overrides
    from dedupkit.sources.base import Shard, Source
    from dedupkit.storage import Folder, Stage

_SCRATCH = "scratch"


@dataclass(frozen=True)
class Journey:
    """One source, one recipe, one work folder, and the engine that carries the work.

    Attributes
    ----------
    source : Source
        Where samples come from.
    recipe : Recipe
        Every choice.
    work : Folder
        Where tables between stages lie; the only state.
    engine : Engine
        Where tasks run.
    observe : callable
        Told of progress.
    planting : Planting, optional
        Canaries that are mixed into the source, or stand in it.
    emits : bool
        Whether samples will be written out: then their other fields are typed, and their captions cleaned.
    taken_down : pyarrow.Table or None
        Fingerprints of what must not come back.
    overrides : Overrides or None
        Marks that a person made.
    """

    source: Source
    recipe: Recipe
    work: Folder
    engine: Engine
    observe: Observer
    planting: Planting | None = None
    emits: bool = True
    taken_down: pa.Table | None = None
    overrides: Overrides | None = None
    shards: Sequence[Shard] = field(init=False)
    tables: Tables = field(init=False)
    blocker: Blocker = field(init=False)
    examples: ExampleSource | None = field(init=False)

    def __post_init__(self) -> None:
        if isinstance(self.source, ListSource):
            object.__setattr__(self, "recipe", recipe_for_list(self.recipe, self.source))
        object.__setattr__(self, "blocker", Blocker.of(self.recipe.blocklist))
        examples = ExampleSource.of(self.recipe.blocklist.images, self.recipe.limits.max_bytes)
        object.__setattr__(self, "examples", examples)
        if not isinstance(self.source, ListSource):
            blocked = without_blocked(self.source, self.blocker, self.recipe.source)
            object.__setattr__(self, "source", LimitedSource(blocked, self.recipe.limits.max_caption_bytes))
        if self.planting is not None:  # outside of what blocks, so that a canary takes after samples that may stay
            object.__setattr__(self, "source", self.planting.around(self.source))
        object.__setattr__(self, "source", Condemned.read(self.work).over(self.source))
        object.__setattr__(self, "shards", self.source.shards())
        stages = (("taken_down",) if self.taken_down is not None else ()) + (() if examples is None else EXAMPLE_STAGES)
        hygiene = self.recipe.hygiene
        known = Placeholders.of(hygiene)
        mapped = mapped_at(self.work, self.engine)
        tables = Tables(self.work, hygiene, known, mapped, cleaned=self.emits, blocked_by=stages)
        object.__setattr__(self, "tables", tables)

    def fingerprint(self) -> list[dict[str, Any]]:
        """Fingerprint every shard; the report of each part."""
        return fingerprint_shards(self)

    def fingerprint_choices(self, recipe: Recipe) -> dict[str, str]:
        """All that the fingerprints of any image depend on."""
        return fingerprint_choices(self, recipe)

    def part_names(self) -> list[str]:
        """Names of the shards' tables."""
        return [table_name(number) for number in range(len(self.shards))]

    def fingerprint_digests(self) -> list[str]:
        """Digest of the fingerprints of each shard."""
        stage = self.tables.stage("fingerprints")
        return [report["sha256"] for report in stage.reports(self.part_names())]

    @property
    def planted_identity(self) -> str:
        """Changes with the canaries, and tells nothing of them; empty where there are none."""
        return "" if self.planting is None else self.planting.identity

    def candidates(self, fingerprints: Sequence[dict[str, Any]]) -> Stage:
        """Find the pairs of equal bytes, near hashes and near descriptors among all fingerprints."""
        return find_candidates(self, fingerprints)

    def match(self, fingerprints: Sequence[dict[str, Any]], *, for_decisions: bool = True) -> Matched:
        """Find the pairs of copies among all fingerprints.

        With `for_decisions` every member of a group is compared with the one that the keep policy likes best; without,
        no more pairs are verified than the groups need.
        """
        return match_pairs(self, fingerprints, for_decisions=for_decisions)

    def decide(
        self,
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
        return decide_about_all(self, fingerprints, matched, canaries)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on this machine for files that nobody needs afterwards; what a killed run left there goes too."""
        if self.work.remote:
            with TemporaryFolder() as folder:
                yield Path(folder)
            return
        place = Path(self.work.path(_SCRATCH))
        discard(place)
        try:
            yield place
        finally:
            discard(place)

    def field_types(self) -> pa.Schema:
        """Types of the samples' other fields, over all shards."""
        found = []
        for number in range(len(self.shards)):
            metadata = self.tables.fingerprints(number, ()).schema.metadata or {}
            found.append(pa.ipc.read_schema(pa.py_buffer(metadata[FIELDS_KEY])))
        return unify(found)
