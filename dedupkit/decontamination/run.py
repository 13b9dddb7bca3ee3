"""A training set in; the same without what stands in reference sets out, or only the answer what that is."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.cleaning import Result, carry_out, described, with_marks
from dedupkit.decontamination.finding import MATCH, STAGE, find_contaminated
from dedupkit.decontamination.references import fingerprinted, named, recipe_for
from dedupkit.engines.opening import check_reach, open_engine
from dedupkit.errors import UsageError
from dedupkit.guard.enduring import enduring
from dedupkit.journey import Journey, Matched
from dedupkit.matching.stage import RADIUS_KEY
from dedupkit.outfolder import alone_in, check, claim
from dedupkit.parts import Part, make_part, make_parts, read_table, silent, table_name, write_table
from dedupkit.publishing import croissant
from dedupkit.recipe import SourceOptions
from dedupkit.sample import FINGERPRINTS, PAIRS
from dedupkit.sources import open_source
from dedupkit.sources.lists import ListSource
from dedupkit.storage import Folder, digest
from dedupkit.takedown import read_list
from dedupkit.temporary import TemporaryFolder
from dedupkit.unfinished import noted

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from dedupkit.decontamination.references import Reference
    from dedupkit.engines import Engine
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe

_STAGE_NAME = "contaminated"
MATCHES = pa.schema([pa.field("train_key", pa.string()), *MATCH])


@dataclass(frozen=True, slots=True)
class Decontaminated:
    """What stands in reference sets, and what became of the training set.

    Attributes
    ----------
    matches : pyarrow.Table
        One row a training sample and reference set: ``train_key``, ``set``, ``key`` of the reference sample, ``tier``
        and ``evidence``.
    counts : dict of str to int
        Training samples that stand in each set; one that stands in two is counted in both.
    samples : int
        Training samples there were.
    result : Result or None
        The output, where one was asked for.
    """

    matches: pa.Table
    counts: dict[str, int]
    samples: int
    result: Result | None = None


@dataclass(frozen=True)
class Decontamination(Journey):
    """A journey on which samples that stand in reference sets are blocked, and others need not be compared."""

    references: Sequence[Reference] = ()
    deduplicates: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        tables = self.tables
        object.__setattr__(tables, "blocked_by", (*tables.blocked_by, _STAGE_NAME))

    def fingerprint(self) -> list[dict[str, Any]]:
        """Fingerprint every shard, and find what stands in the reference sets."""
        reports = super().fingerprint()
        samples = sum(report["rows"] for report in reports)
        inputs = {
            "stage": STAGE,
            "references": digest([[each.name, each.identity] for each in self.references]),
            "matching": digest([self.recipe.matching.model_dump(), samples]),
            "limits": digest(self.recipe.limits.of_headers),
        }
        parts = [
            Part(name, inputs | {"fingerprints": report["sha256"]}, (number, shard), report["rows"], shard)
            for number, (name, shard, report) in enumerate(zip(self.part_names(), self.shards, reports, strict=True))
        ]
        task = partial(
            find_contaminated, references=self.references, samples=samples, work=self.work, source=self.source,
            recipe=self.recipe, threads=self.engine.threads_a_task(len(parts)),
        )  # fmt: skip
        make_parts(_STAGE_NAME, self.tables.stage(_STAGE_NAME), parts, task, self.engine, self.observe)
        return reports

    def match(self, fingerprints: Sequence[dict[str, Any]], *, for_decisions: bool = True) -> Matched:
        """Find the pairs of copies in the training set, where they are to go too."""
        if self.deduplicates:
            return super().match(fingerprints, for_decisions=for_decisions)
        stage, nothing = self.tables.stage("pairs"), PAIRS.empty_table().replace_schema_metadata({RADIUS_KEY: "0"})
        for name in ("pairs.parquet", "look_alikes.parquet"):
            part = Part(name, {"stage": "none"}, None)
            if stage.stale(name, part.inputs) is not None:
                make_part(stage, lambda _, handle: write_table(nothing, handle), part)
        return Matched(stage)

    def matches(self) -> pa.Table:
        """What was found, in the schema `MATCHES`."""
        rows = []
        for number in range(len(self.shards)):
            table = read_table(self.tables.stage(_STAGE_NAME), table_name(number), ("row", "found"))
            if table.num_rows:
                keys = read_table(self.tables.stage("fingerprints"), table_name(number), ("key",))["key"]
                named_rows = zip(keys.take(table["row"]).to_pylist(), table["found"].to_pylist(), strict=True)
                rows += [{"train_key": key} | match for key, found in named_rows for match in found]
        return pa.Table.from_pylist(rows, schema=MATCHES)


def decontaminate(
    train: Any,
    against: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    overrides: str | os.PathLike[str] | Sequence[Mapping[str, Any]] | None = None,
    deduplicate: bool = False,
    against_options: SourceOptions | None = None,
    engine: Engine | str | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    overwrite: bool = False,
    progress: Observer | None = None,
) -> Decontaminated:
    """Drop from a training set what stands in evaluation sets or others that it must not hold.

    Parameters
    ----------
    train : object
        The training set, as `dedupkit.clean` takes it.
    against : object, or list or mapping of such
        The reference sets, as `dedupkit.clean` takes them, or indexes (`Index`, or the path of one); a mapping gives
        them names.  They are never compared with themselves.
    out : path, optional
        Folder for the output, as that of `dedupkit.clean`; without, nothing is written, only found.
    recipe : Recipe or path of a TOML file, optional
        How images are compared; left out, that of an index among the reference sets, or the default.
    overrides : path, or list of mappings, optional
        Marks that a person made, which win over what stands in the sets; as of `dedupkit.clean`.
    deduplicate : bool
        Also remove the training set's own duplicates, among what is left.
    against_options : SourceOptions, optional
        Columns of the reference sets.
    engine, workers, memory, overwrite, progress
        As of `dedupkit.clean`.

    Returns
    -------
    Decontaminated

    Raises
    ------
    UsageError
        Of a source, reference set, recipe or output folder that cannot be.
    RunError
        A source changed under way, or a worker died.

    Notes
    -----
    Each reference set becomes an index in the work folder, 800 bytes a sample and 30 KB for geometry; it is made once
    and used again when the run is killed and begun anew.  Each training shard is searched for by itself, so memory
    does not grow with the training set beyond what decisions take.

    Examples
    --------
    >>> from dedupkit.demo import example_images
    >>> photo = {"key": "seen", "image": next(example_images().glob("*.jpg")).read_bytes()}
    >>> found = decontaminate([photo], {"examples": example_images()})
    >>> found.matches.select(["train_key", "set", "tier"]).to_pylist()
    [{'train_key': 'seen', 'set': 'examples', 'tier': 'exact'}]
    """
    sources = named(against)
    chosen, marks = with_marks(recipe_for(sources, recipe), overrides)
    croissant.check(chosen)
    if chosen.canaries.asked_for:
        raise UsageError("canaries are planted by clean; leave [canaries] out, and clean what comes out")
    observe = progress or silent
    with (
        open_engine(engine, workers=workers, memory=memory, places=(train,)) as workforce,
        _working(out, train, overwrite) as (folder, work),
    ):
        opened = open_source(train, chosen.source, **chosen.limits.of_files, spool_to=work.below("spool"))
        if isinstance(opened, ListSource):
            raise UsageError("the training set is a list without images, which cannot be compared; give the images")
        references = fingerprinted(
            sources, chosen, against_options or SourceOptions(), work.below("references"), workforce, observe
        )
        listed = FINGERPRINTS.empty_table() if folder is None else read_list(folder)

        def make() -> Decontamination:
            return Decontamination(
                opened, chosen, work, workforce, observe, taken_down=listed if listed.num_rows else None,
                emits=folder is not None, references=references, deduplicates=deduplicate,
                overrides=marks,
            )  # fmt: skip

        def go(journey: Decontamination) -> Decontaminated:
            check_reach(workforce, work, journey.source, journey.shards)
            samples = sum(report["rows"] for report in journey.fingerprint())
            matches = journey.matches()
            counts = Counter(matches["set"].to_pylist())
            by_set = {name: counts[name] for name in sources}
            result = None if folder is None else _written(journey, folder, described(train), by_set)
            return Decontaminated(matches, by_set, samples, result)

        return enduring(make, go)


@contextmanager
def _working(out: str | os.PathLike[str] | None, train: Any, overwrite: bool) -> Iterator[tuple[Folder | None, Folder]]:
    """The output folder and the work folder in it; a temporary one where there is no output."""
    if out is None:
        with TemporaryFolder() as scratch:
            yield None, Folder(scratch, durable=False)
        return
    folder = check(out, train)
    if folder.remote:
        raise UsageError("the output of decontaminate has to be a folder, whose indexes are mapped; copy it from there")
    work = folder.below(".dedupkit")
    with alone_in(folder):
        claim(folder, overwrite=overwrite)
        work.remove("spool")
        with noted(work, folder):
            yield folder, work


def _written(journey: Journey, folder: Folder, train: str, by_set: dict[str, int]) -> Result:
    """The output, and in its report how many samples stood in each set."""
    told = ", ".join(f"{name} ({count})" for name, count in by_set.items())
    summary = carry_out(journey, folder, f"{train}, less what stands in {told}") | {"contaminated": by_set}
    folder.write_json("report.json", summary)
    return Result(folder.url, summary)
