"""The main job: a source in; a cleaned dataset, a decision about every sample and a report out."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dedupkit.canaries.planting import manifest_place, planting_of
from dedupkit.engines.opening import check_reach, open_engine
from dedupkit.errors import UsageError, public
from dedupkit.fingerprints.descriptors.opening import weights_of
from dedupkit.guard.enduring import enduring
from dedupkit.hygiene.checks import OPTIONS
from dedupkit.journey import Journey
from dedupkit.mitigation.stage import settle_captions
from dedupkit.options import resolve_recipe
from dedupkit.outfolder import PUBLISHED, alone_in, check, claim
from dedupkit.parts import silent
from dedupkit.publishing import croissant
from dedupkit.publishing.stage import write_cards
from dedupkit.report.stage import report
from dedupkit.review.overrides import Overrides
from dedupkit.review.telling import told_of_marks
from dedupkit.sample import DECISIONS, Action, Reason
from dedupkit.sinks.stage import discard_other_formats, emit
from dedupkit.sources import open_source
from dedupkit.sources.arrow_objects import as_arrow, check_arrow
from dedupkit.storage import Folder
from dedupkit.takedown import PLAN, read_list
from dedupkit.unfinished import noted
from dedupkit.versions import versions

if TYPE_CHECKING:
    import datasets

    from dedupkit.engines import Engine
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe

_log = logging.getLogger("dedupkit")


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """What a run of `clean` left behind.

    A notebook shows its numbers and the largest groups.  As a table (``polars.DataFrame(result)``, DuckDB,
    ``__arrow_c_stream__``) it is its decisions.

    Attributes
    ----------
    out : str
        The output folder.
    summary : dict
        The content of ``report.json``: counts by action and reason, groups, notes, recipe.
    """

    out: str
    summary: dict[str, Any]

    @classmethod
    def open(cls, out: str | os.PathLike[str]) -> Result:
        """What an earlier run left in a folder.

        Raises
        ------
        UsageError
            No run has ended there.
        """
        try:
            return cls(str(out), Folder.at(out).read_json("report.json"))
        except FileNotFoundError as error:
            raise UsageError(f"{public(out)} holds no report.json; name the output folder of a finished run") from error

    def dataset(self) -> datasets.Dataset:
        """The cleaned set, memory-mapped from the output folder; of a list, the rows that stay.

        What lies on a store is fetched to this machine first, whole.
        """
        import datasets

        folder = Folder.at(self.out)
        if folder.exists("dataset") or not folder.exists("list"):
            return datasets.load_from_disk(f"{folder.url}/dataset")
        parts = [name for name in folder.below("list").names() if name.endswith(".parquet")]
        return datasets.Dataset.from_parquet([f"{folder.url}/list/{name}" for name in parts])

    def decisions(self) -> pa.Table:
        """One row an input sample, in the schema of `dedupkit.sample.DECISIONS`."""
        with Folder.at(self.out).reading("decisions.parquet") as handle:
            return pq.read_table(handle, use_threads=False)

    def _repr_html_(self) -> str:
        from dedupkit.notebook.cleaned import overview

        return overview(self).html()

    def __repr__(self) -> str:
        from dedupkit.notebook.cleaned import overview

        return overview(self, pictures=False).text()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.decisions().__arrow_c_stream__(requested_schema)


def clean(
    source: Any,
    out: str | os.PathLike[str],
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    overrides: str | os.PathLike[str] | Sequence[Mapping[str, Any]] | None = None,
    engine: Engine | str | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    overwrite: bool = False,
    progress: Observer | None = None,
) -> Result:
    """Remove the duplicates and the broken samples of a captioned image set.

    Parameters
    ----------
    source : path, URL, datasets.Dataset, DataFrame, Arrow table or iterable of samples
        The set; see docs/sources.md.
    out : path or URL
        Folder for the output, on this machine or on an object store; see docs/object_stores.md.  One that an earlier
        run was killed in is gone on with: parts that are there and right are not made again.
    recipe : Recipe or path of a TOML file, optional
        Every choice; the default recipe if left out.
    overrides : path, or list of mappings, optional
        Marks that a person made in the report of an earlier run, which win over every stage: the file that the page
        saves, or its rows.  See docs/review.md.
    engine : Engine, "local" or "ray", optional
        Where tasks run; this machine if left out.  See docs/ray.md.
    workers : int, optional
        Worker processes of the engine local; how many tasks at most the engine ray has on its cluster.
    memory : int or str, optional
        What the run may take: bytes, or text such as ``4GiB``; see docs/scale.md.  The result does not depend on it.
    overwrite : bool
        Remove what an earlier run left in `out` and start again.
    progress : callable, optional
        Told of progress with a `dedupkit.parts.Progress`.

    Returns
    -------
    Result

    Raises
    ------
    UsageError
        Of a source, recipe, overrides or output folder that cannot be.
    RunError
        The source changed under way, a process died for another reason than a sample, or a disk or store failed for
        good.

    Notes
    -----
    Two readings and one decoding of every image.  Beyond what a few decoded images take, memory is some 80 bytes a
    sample; the rest of what grows with the set lies in files of the work folder.  The output's bytes depend on source
    and recipe alone: not on workers or memory, nor on how often the run was killed and begun again.

    Examples
    --------
    >>> import tempfile
    >>> from dedupkit.demo import example_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clean(example_images(), f"{folder}/clean").summary["samples"]
    {'in': 64, 'kept': 64, 'dropped': 0, 'quarantined': 0}
    """
    chosen, marks = with_marks(resolve_recipe(recipe), overrides)
    croissant.check(chosen)
    folder = check(out, source)
    if chosen.canaries.asked_for:
        manifest_place(chosen, out)  # fails before anything is written
    work = folder.below(".dedupkit")
    table = as_arrow(source)
    given = source if table is None else table
    open_it = partial(open_source, given, chosen.source, **chosen.limits.of_files)
    # A source that cannot be opened costs nothing in OUT; but iterators and tables are written there while opened.
    if table is not None:
        check_arrow(table, chosen.source)
    opened = None if table is not None or isinstance(source, Iterator) else open_it()
    with open_engine(engine, workers=workers, memory=memory, places=(source, out)) as workforce, alone_in(folder):
        claim(folder, overwrite=overwrite)
        for name in ("spool", PLAN):
            work.remove(name)
        opened = opened or open_it(spool_to=work.below("spool"))
        planting = planting_of(chosen, opened, out, progress=progress) if chosen.canaries.asked_for else None
        listed = read_list(folder)
        taken_down = listed if listed.num_rows else None

        def make() -> Journey:
            return Journey(
                opened,
                chosen,
                work,
                workforce,
                progress or silent,
                planting=planting,
                taken_down=taken_down,
                overrides=marks,
            )

        def go(journey: Journey) -> dict[str, Any]:
            check_reach(workforce, work, journey.source, journey.shards)
            return carry_out(journey, folder, described(source))

        with noted(work, folder):
            return Result(str(out), enduring(make, go))


def with_marks(recipe: Recipe, given: Any) -> tuple[Recipe, Overrides | None]:
    """The marks that a caller gave, or that the recipe names, and the recipe that names them by their digest."""
    marks = Overrides.chosen(given, recipe.overrides)
    return recipe.model_copy(update={"overrides": type(recipe.overrides)() if marks is None else marks.choice}), marks


def carry_out(journey: Journey, folder: Folder, source: str) -> dict[str, Any]:
    """All stages of a journey, from shards to report, into an output folder; what the report says."""
    recipe = journey.recipe
    fingerprints = journey.fingerprint()
    if not sum(part["rows"] for part in fingerprints):
        raise UsageError(f"{source} holds no samples; name a source with images")
    shards, planting = len(journey.shards), journey.planting
    canaries = None if planting is None else planting.check(journey.tables, shards)
    decisions = journey.decide(fingerprints, journey.match(fingerprints), canaries)
    if planting is not None and canaries is not None:
        planting.check_decisions(journey.tables, shards, canaries)
    captions = settle_captions(journey, decisions, canaries)
    commitment = None if planting is None else planting.commitment
    for name in PUBLISHED:  # a reader sees a whole output or none
        folder.remove(name)
    discard_other_formats(folder, journey.work, recipe.output.formats)
    written: dict[str, int] = {kind: emit(journey, folder, decisions, kind) for kind in recipe.output.formats}
    _publish_decisions(journey, folder)
    recipe_toml = recipe.dumps(dict(versions()) | weights_of(recipe.descriptor))
    summary = report(
        journey,
        folder,
        source=source,
        recipe_toml=recipe_toml,
        written=written,
        captions=captions,
        commitment=commitment,
    )
    if journey.overrides is not None:
        summary["overrides"] = told_of_marks(journey, journey.overrides, decisions)
        folder.write_json("report.json", summary)
    write_cards(folder, summary)
    folder.write_bytes("recipe.toml", recipe_toml.encode())
    _warn_of_large_losses(summary)
    return summary


def described(source: Any) -> str:
    """A source in words: its path, without a URL's user, password and query; else its type."""
    if isinstance(source, (str, os.PathLike)):
        from dedupkit.sources.listing import public

        return public(os.fsdecode(source))
    if isinstance(source, (list, tuple)) and source and all(isinstance(each, (str, os.PathLike)) for each in source):
        return ", ".join(map(described, source))
    return type(source).__name__


def _publish_decisions(journey: Journey, folder: Folder) -> None:
    """All decisions in one file, one row group or more a shard."""
    with folder.writing("decisions.parquet") as handle, pq.ParquetWriter(handle, DECISIONS, compression="zstd") as out:
        for number in range(len(journey.shards)):
            out.write_table(journey.tables.decisions(number))


def _warn_of_large_losses(summary: dict[str, Any]) -> None:
    """Say it where more than half is gone, and which options explain it."""
    samples = summary["samples"]
    named = sum(summary["reasons"][each] for each in (Reason.BLOCKED, Reason.CONTAMINATED, Reason.DROPPED_BY_HAND))
    if (samples["dropped"] - named) * 2 > samples["in"]:
        _log.warning(
            "more than half of the samples were dropped as duplicates (%d of %d); [matching] max_hamming_bits and "
            "[keep] max_copies in the recipe explain it, report.html shows the groups",
            samples["dropped"] - named,
            samples["in"],
        )
    if samples["quarantined"] * 2 > samples["in"]:
        reason = max(summary["reasons"], key=lambda each: _quarantined(summary, each))
        _log.warning(
            "more than half of the samples were quarantined (%d of %d), most of them as %s; %s, report.html shows "
            "all reasons",
            samples["quarantined"],
            samples["in"],
            reason,
            OPTIONS.get(Reason(reason), "[limits] and [hygiene] in the recipe explain some"),
        )


def _quarantined(summary: dict[str, Any], reason: str) -> int:
    return summary["reasons"][reason] if Reason(reason).action is Action.QUARANTINE else -1
