"""The stages of a run over one source, each from files to files."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import cv2
import numpy
import PIL
import pyarrow as pa
import simplejpeg

from dedupkit.blocklist import Blocker, without_blocked
from dedupkit.examples import (
    EXAMPLE_STAGES,
    ExampleSource,
    block_examples,
    fingerprint_examples,
    with_blocked,
    with_evidence,
)
from dedupkit.fields import unify
from dedupkit.fingerprints import stage as fingerprinting
from dedupkit.fingerprints.given import STAGE as GIVEN_STAGE
from dedupkit.fingerprints.given import given_fingerprints, recipe_for_list
from dedupkit.grouping import stage as deciding
from dedupkit.grouping.by_hand import counted
from dedupkit.hygiene import checks
from dedupkit.hygiene.captions import CaptionCleaner
from dedupkit.hygiene.placeholders import Placeholders
from dedupkit.hygiene.sensitive import Lookout
from dedupkit.matching import stage as matching
from dedupkit.mitigation.stage import CLEANED_STAGE, SETTLED_STAGE, clean_captions
from dedupkit.parts import (
    Part,
    Progress,
    make_part,
    make_parts,
    read_schema,
    read_table,
    read_tables,
    stale_parts,
    table_name,
    write_table,
    write_tables,
)
from dedupkit.recipe import policy_name
from dedupkit.review.placing import forget_marks, place_marks, refuse_marks_on, spared
from dedupkit.sample import PAIRS
from dedupkit.sources.lists import ListSource
from dedupkit.storage import Folder, Stage, digest
from dedupkit.takedown import block_taken_down

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from dedupkit.canaries.planting import Planting
    from dedupkit.engines import Engine, Spread
    from dedupkit.grouping.by_hand import ByHand
    from dedupkit.parts import Maker, Observer
    from dedupkit.recipe import Hygiene, Recipe
    from dedupkit.review.overrides import Overrides
    from dedupkit.sources.base import Shard, Source


_CANDIDATES, _PAIRS, _LOOK_ALIKES, _SCRATCH = "candidates.parquet", "pairs.parquet", "look_alikes.parquet", "scratch"
_OF_EMITTING = {"strip_metadata", "orientation", "drop_fields"}
_OF_PROOF = {"verify", "min_score", "look_alikes", "min_look_alike_cosine", "sure_cosine"}


_MAPPED = ("views", "example_views")  # files of these stages are mapped into memory


@cache
def _room() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="dedupkit-", ignore_cleanup_errors=True)  # goes when the process ends


def _mapped_at(work: Folder, engine: Engine) -> Folder:
    """Where files lie that are mapped: on this machine's disk, if the work folder does not and all tasks run here."""
    here = work.remote and engine.on_this_machine
    return Folder(f"{_room().name}/{digest(work.url)}", durable=False) if here else work


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables between stages in a work folder; picklable, so that tasks can read them.

    Attributes
    ----------
    work : Folder
        Where they lie.
    hygiene : Hygiene
        The checks that fingerprints are read through.
    placeholders : Placeholders
        Those that it looks for.
    mapped : Folder
        Where the tables lie that are mapped into memory.
    cleaned : bool
        Whether captions are read as `clean_captions` left them.
    blocked_by : tuple of str
        The stages that block samples by what they show.
    spared : tuple of int
        The shards in which a person wants samples whose images were blocked unseen.
    """

    work: Folder
    hygiene: Hygiene
    placeholders: Placeholders
    mapped: Folder
    cleaned: bool = False
    blocked_by: tuple[str, ...] = ()
    spared: tuple[int, ...] = ()

    def stage(self, name: str) -> Stage:
        """The stage of a name."""
        work = self.mapped if name in _MAPPED else self.work
        return Stage(work.below(name), work.below("receipts").below(name))

    def fingerprints(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Columns of the fingerprints of one shard, checked by the rules of hygiene, captions cleaned."""
        stage, name = self.stage("fingerprints"), table_name(number)
        judged = columns is None or bool({"fault", "fault_detail"}.intersection(columns))
        wanted = columns if columns is None or not judged else [*dict.fromkeys((*columns, *checks.COLUMNS))]
        table = read_table(stage, name, wanted)
        if number in self.spared:
            table = spared(self, number, table)
        if judged:
            table = checks.checked(with_blocked(table, self.blocked(number)), self.hygiene, self.placeholders)
        if self.cleaned and (judged or "caption" in table.column_names):
            table = checks.with_captions(table, read_table(self.stage(CLEANED_STAGE), name))
        return table if columns is None else table.select(columns)

    def blocked(self, number: int) -> list[pa.Table]:
        """Which samples of one shard show what was taken down or an example, or are copies of one that does."""
        return [read_table(self.stage(name), table_name(number)) for name in self.blocked_by]

    def raw_captions(self, number: int) -> pa.ChunkedArray:
        """Captions of one shard as the source has them."""
        return read_table(self.stage("fingerprints"), table_name(number), ("caption",))["caption"]

    def captions(self, number: int) -> pa.Table:
        """What each sample of one shard is emitted with: a caption, and the list of all."""
        return read_table(self.stage(SETTLED_STAGE), table_name(number))

    def decisions(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Columns of the decisions about one shard."""
        return read_table(self.stage("decisions"), table_name(number), columns)


@dataclass(frozen=True, slots=True)
class Matched:
    """What matching found, in files of the work folder.

    Attributes
    ----------
    stage : Stage
        Where they lie.
    """

    stage: Stage

    @property
    def pairs(self) -> pa.Table:
        """All copies, in the schema of `dedupkit.sample.PAIRS`."""
        return read_table(self.stage, _PAIRS)

    @property
    def look_alikes(self) -> pa.Table:
        """What is near by descriptor and was refused, in the same schema."""
        return read_table(self.stage, _LOOK_ALIKES)


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
            object.__setattr__(self, "source", blocked)
        if self.planting is not None:  # outside of what blocks, so that a canary takes after samples that may stay
            object.__setattr__(self, "source", self.planting.around(self.source))
        object.__setattr__(self, "shards", self.source.shards())
        stages = (("taken_down",) if self.taken_down is not None else ()) + (() if examples is None else EXAMPLE_STAGES)
        hygiene = self.recipe.hygiene
        known = Placeholders.of(hygiene)
        mapped = _mapped_at(self.work, self.engine)
        tables = Tables(self.work, hygiene, known, mapped, cleaned=self.emits, blocked_by=stages)
        object.__setattr__(self, "tables", tables)

    def fingerprint(self) -> list[dict[str, Any]]:
        """Fingerprint every shard; the report of each part."""
        if self.examples is not None:
            fingerprint_examples(self, self.examples, self._recipe_of_examples())
        choices = self.fingerprint_choices(self.recipe) | {
            "source options": digest(self.recipe.source.model_dump()),
            "sensitive": Lookout.of(self.recipe.hygiene).identity,
            "blocklist": digest(self.blocker.identity),
            "fields": str(self.emits),
        }
        parts = [
            Part(
                table_name(number),
                choices | {"shard": digest([shard.name, shard.identity])},
                (number, shard),
                shard.byte_size,
            )
            for number, shard in enumerate(self.shards)
        ]
        task = partial(
            _fingerprint_part,
            source=self.source,
            recipe=self.recipe,
            blocker=self.blocker,
            threads=self.engine.threads_a_task(len(parts)),
            with_fields=self.emits,
        )
        stage = self.tables.stage("fingerprints")
        reports = make_parts("fingerprints", stage, parts, task, self.engine, self.observe)
        if self.taken_down is not None:
            block_taken_down(self, self.taken_down, reports)
        if self.examples is not None:
            block_examples(self, self.examples, reports)
        if self.emits:
            clean_captions(self, reports)
        return reports

    def fingerprint_choices(self, recipe: Recipe) -> dict[str, str]:
        """All that the fingerprints of any image depend on."""
        return {
            "stage": fingerprinting.STAGE,
            "limits": digest(recipe.limits.model_dump()),
            "fingerprints": digest(recipe.fingerprints.model_dump()),
            "descriptor": self._descriptor_identity(),
            "versions": digest([module.__version__ for module in (numpy, PIL, pa, simplejpeg)]),
        }

    def _recipe_of_examples(self) -> Recipe:
        """What examples are fingerprinted by; embeddings that a list brings cannot be made of an image."""
        if self.recipe.descriptor != "given":
            return self.recipe
        fingerprints = self.recipe.fingerprints.model_copy(update={"descriptor": "none"})
        return self.recipe.model_copy(update={"fingerprints": fingerprints})

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

    def _checks(self) -> str:
        """All that decides which samples have a fault, and what their captions are."""
        found: list[Any] = [self.recipe.hygiene.model_dump(exclude=_OF_EMITTING), self.tables.placeholders.identity]
        if self.tables.blocked_by:
            stages = map(self.tables.stage, self.tables.blocked_by)
            found += [[report["sha256"] for report in stage.reports(self.part_names())] for stage in stages]
        return digest([*found, CaptionCleaner(self.recipe.captions).identity] if self.emits else found)

    def _descriptor_identity(self) -> str:
        if isinstance(self.source, ListSource):
            return f"{GIVEN_STAGE} {self.recipe.descriptor}"
        if not self.recipe.descriptor:
            return ""
        from dedupkit.fingerprints.descriptors import open_describer

        return f"{open_describer(self.recipe.descriptor).identity} cv2 {cv2.__version__}"

    def candidates(self, fingerprints: Sequence[dict[str, Any]]) -> Stage:
        """Find the pairs of equal bytes, near hashes and near descriptors among all fingerprints."""
        stage = self.tables.stage("candidates")
        chosen = self.recipe.matching.model_dump(exclude=_OF_PROOF)
        inputs = {
            "stage": matching.STAGE,
            "fingerprints": digest([report["sha256"] for report in fingerprints]),
            "checks": self._checks(),
            "matching": digest(chosen),
            "canaries": self.planted_identity,
        }
        part = Part(_CANDIDATES, inputs, None)
        stage.discard_others([part.name])
        if stale_parts("candidates", stage, [part]):
            self.observe(Progress("candidates", 0, 1, 0))
            make_part(stage, self._write_candidates, part)
        self.observe(Progress("candidates", 1, 1, 0))
        return stage

    def _write_candidates(self, _: object, handle: IO[bytes]) -> dict[str, Any]:
        columns = (*matching.COLUMNS, "descriptor") if self.recipe.descriptor else matching.COLUMNS
        tables = (self.tables.fingerprints(number, columns) for number in range(len(self.shards)))
        threads, memory = self.engine.threads_a_task(1), self.engine.memory_of_set()
        with (
            self.scratch() as folder,
            matching.find_candidates(
                tables, self.recipe.matching, threads=threads, scratch=folder, memory=memory, spread=self._spread
            ) as found,
        ):
            pairs = found.tables
            if self.planting is not None:
                pairs = self.planting.without_pairs(pairs, self.tables, len(self.shards))
            return write_tables(pairs, handle, found.schema)

    @property
    def _spread(self) -> Spread | None:
        """Where tasks go that need scratch files: to other processes, if those see them."""
        engine = self.engine
        seen = engine.on_this_machine or not self.work.remote
        return engine.map if seen and not engine.in_this_process else None

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on this machine for files that nobody needs afterwards; what a killed run left there goes too."""
        if self.work.remote:
            with tempfile.TemporaryDirectory(prefix="dedupkit-", ignore_cleanup_errors=True) as folder:
                yield Path(folder)
            return
        self.work.remove(_SCRATCH)
        try:
            yield Path(self.work.path(_SCRATCH))
        finally:
            self.work.remove(_SCRATCH)

    def match(self, fingerprints: Sequence[dict[str, Any]], *, for_decisions: bool = True) -> Matched:
        """Find the pairs of copies among all fingerprints.

        With `for_decisions` every member of a group is compared with the one that the keep policy likes best; without,
        no more pairs are verified than the groups need.
        """
        from dedupkit.matching import proof

        candidates = self.candidates(fingerprints)
        stage = self.tables.stage("pairs")
        keep = self.recipe.keep
        inputs = {
            "stage": proof.STAGE,
            "candidates": candidates.report(_CANDIDATES)["sha256"],
            "matching": digest(self.recipe.matching.model_dump()),
            "keep": digest(policy_name(keep.policy)) if for_decisions else "",
        }
        parts = [Part(name, inputs, None) for name in (_PAIRS, _LOOK_ALIKES)]
        stage.discard_others([part.name for part in parts])
        # Code cannot be compared, so pairs for a policy that is code are made anew each time.
        stale = parts if for_decisions and callable(keep.policy) else stale_parts("pairs", stage, parts)
        if stale:
            self._write_pairs(candidates, stage, stale, for_decisions=for_decisions)
        self.tables.stage("views").discard_others([])  # also those of a run that was killed when pairs were made
        return Matched(stage)

    def _write_pairs(self, candidates: Stage, stage: Stage, parts: Sequence[Part], *, for_decisions: bool) -> None:
        from dedupkit.verification import verified

        schema = read_schema(candidates, _CANDIDATES)
        given = _InParts(candidates, _CANDIDATES)
        with (
            self.scratch() as folder,
            verified(self, schema, given, for_decisions=for_decisions, scratch=folder) as found,
        ):
            tables = {_PAIRS: (found.pairs, found.schema), _LOOK_ALIKES: (found.look_alikes, PAIRS)}
            for part in parts:
                make_part(stage, _tables_writer(*tables[part.name]), part)

    def decide(
        self,
        fingerprints: Sequence[dict[str, Any]],
        matched: Matched,
        canaries: NDArray[numpy.uint64] | None = None,
    ) -> list[dict[str, Any]]:
        """Decide about every sample; the report of each part of decisions.

        Raises
        ------
        UsageError
            Somebody marked `canaries`, which are positions, to go.
        """
        by_hand = self._by_hand(fingerprints, canaries)
        stage = self.tables.stage("decisions")
        keep = self.recipe.keep
        inputs = {
            "stage": deciding.STAGE,
            "fingerprints": digest([report["sha256"] for report in fingerprints]),
            "checks": self._checks(),
            "pairs": matched.stage.report(_PAIRS)["sha256"],
            "keep": digest([policy_name(keep.policy), keep.max_copies]),
        }
        if self.overrides is not None and by_hand is not None:
            inputs["overrides"] = digest([self.overrides.identity, by_hand.refused.tolist()])
        parts = [Part(name, inputs, None) for name in map(table_name, range(len(self.shards)))]
        stage.discard_others([part.name for part in parts])
        # Code cannot be compared, so decisions of a policy that is code are made anew each time.
        stale = parts if callable(keep.policy) else stale_parts("decisions", stage, parts)
        if stale:
            if by_hand is None:
                forget_marks(self)
            names = {part.name for part in stale}
            with self.scratch() as folder:
                for done, (part, table) in enumerate(
                    zip(parts, self._decided(matched, folder, by_hand), strict=True), 1
                ):
                    if part.name in names:
                        table = with_evidence(table, self.tables.blocked(done - 1))
                        told = {} if by_hand is None else {"by_hand": counted(by_hand, table)}
                        make_part(stage, _table_writer(table, told), part)
                    self.observe(Progress("decisions", done, len(parts), table.num_rows))
        return stage.reports([part.name for part in parts])

    def _by_hand(self, fingerprints: Sequence[dict[str, Any]], canaries: NDArray[numpy.uint64] | None) -> ByHand | None:
        if self.overrides is None:
            return None
        by_hand = place_marks(self, self.overrides, fingerprints)
        if canaries is not None:
            refuse_marks_on(by_hand, canaries)
        return by_hand

    def _decided(self, matched: Matched, folder: Path, by_hand: ByHand | None) -> Iterator[pa.Table]:
        read, memory = self.tables.fingerprints, self.engine.memory_of_set()
        pairs = partial(read_tables, matched.stage, _PAIRS)
        return deciding.decide(
            read, len(self.shards), pairs, self.recipe.keep, scratch=folder, memory=memory, by_hand=by_hand
        )

    def field_types(self) -> pa.Schema:
        """Types of the samples' other fields, over all shards."""
        found = []
        for number in range(len(self.shards)):
            metadata = self.tables.fingerprints(number, ()).schema.metadata or {}
            found.append(pa.ipc.read_schema(pa.py_buffer(metadata[fingerprinting.FIELDS_KEY])))
        return unify(found)


def _fingerprint_part(
    item: tuple[int, Shard],
    handle: IO[bytes],
    *,
    source: Source,
    recipe: Recipe,
    blocker: Blocker,
    threads: int,
    with_fields: bool,
) -> dict[str, Any]:
    if isinstance(source, ListSource):
        table = given_fingerprints(item, source=source, recipe=recipe, blocker=blocker, with_fields=with_fields)
    else:
        table = fingerprinting.fingerprint_shard(
            item, source=source, recipe=recipe, threads=threads, with_fields=with_fields
        )
    return write_table(blocker.without_blocked_hashes(table), handle)


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
