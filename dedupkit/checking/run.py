"""A source in; whether it keeps within limits out, with nothing written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.checking.limits import Limit
from dedupkit.checking.result import Check, Finding, Outcome
from dedupkit.cleaning import described, with_marks
from dedupkit.decontamination.references import fingerprinted, named, recipe_for
from dedupkit.decontamination.run import Decontamination
from dedupkit.engines.opening import check_reach, open_engine
from dedupkit.errors import UsageError
from dedupkit.journey import Journey
from dedupkit.options import resolve_recipe
from dedupkit.parts import silent
from dedupkit.recipe import SourceOptions
from dedupkit.report.words import REASONS
from dedupkit.sample import Action, Reason
from dedupkit.sources import open_source
from dedupkit.sources.lists import ListSource
from dedupkit.storage import Folder
from dedupkit.temporary import TemporaryFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dedupkit.checking.limits import Given
    from dedupkit.engines import Engine
    from dedupkit.journey import Matched
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe

COPIES = (
    Reason.EXACT_DUPLICATE,
    Reason.PERCEPTUAL_DUPLICATE,
    Reason.GEOMETRIC_DUPLICATE,
    Reason.DESCRIPTOR_DUPLICATE,
    Reason.LOOK_ALIKE,
)


def check(
    source: Any,
    *,
    max_duplicates: Given | None = None,
    no_leak: Any = (),
    max_quarantined: Given | None = None,
    max_look_alikes: Given | None = None,
    require_captions: Given | None = None,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    overrides: str | os.PathLike[str] | Sequence[Mapping[str, Any]] | None = None,
    no_leak_options: SourceOptions | None = None,
    engine: Engine | str | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Observer | None = None,
) -> Check:
    """Hold a source against limits, as CI and pre-commit need it, and change nothing.

    Parameters
    ----------
    source : object
        What to look through, as `dedupkit.clean` takes it.
    max_duplicates, max_quarantined, max_look_alikes : int, float or str, optional
        How many samples may be copies of others, be taken out by checks, and look like another without being a copy:
        a count such as 10, or a share of all samples such as 0.005 or ``"0.5%"``.  What is left out is not limited;
        where nothing at all is said, no copies and nothing quarantined are allowed.
    no_leak : object, or list or mapping of such
        Sets, or indexes of sets, of which nothing may stand in the source, as of `dedupkit.decontaminate`.
    require_captions : float or str, optional
        The share of samples that must have a caption when captions are cleaned as the recipe says.
    recipe : Recipe or path of a TOML file, optional
        What counts as a copy, and what checks take out.
    overrides : path, or list of mappings, optional
        Marks that a person made: what is kept by hand counts against nothing but leaks and captions.
    no_leak_options : SourceOptions, optional
        Columns of the sets.
    engine, workers, memory, progress
        As of `dedupkit.clean`.

    Returns
    -------
    Check

    Raises
    ------
    UsageError
        Of a limit, source, set or recipe that cannot be.
    RunError
        A source changed under way, or a worker died.

    Notes
    -----
    Costs what `dedupkit.clean` costs up to its decisions; work files go to the system's temporary folder.

    Examples
    --------
    >>> from dedupkit.demo import example_images
    >>> check(example_images(), max_duplicates="0.5%").passed
    True
    """
    limits = _limits(max_duplicates, max_quarantined, max_look_alikes, require_captions)
    sets = named(no_leak) if not isinstance(no_leak, (list, tuple, Mapping)) or no_leak else {}
    if not limits and not sets:
        limits = _limits(0, 0, None, None)
    chosen, marks = with_marks(recipe_for(sets, recipe) if sets else resolve_recipe(recipe), overrides)
    observe = progress or silent
    with (
        open_engine(engine, workers=workers, memory=memory, places=(source,)) as workforce,
        TemporaryFolder() as scratch,
    ):
        work = Folder(scratch, durable=False)
        opened = open_source(source, chosen.source, **chosen.limits.of_files, spool_to=work.below("spool"))
        if sets and isinstance(opened, ListSource):
            raise UsageError("the source is a list without images, which cannot be compared with sets; give the images")
        journey = Journey(opened, chosen, work, workforce, observe, overrides=marks)
        if "look_alikes" in limits and not (journey.recipe.descriptor and journey.recipe.matching.verify == "geometry"):
            raise UsageError("look-alikes are told from copies by descriptors and geometry; use the preset thorough")
        check_reach(workforce, work, journey.source, journey.shards)
        fingerprints = journey.fingerprint()
        samples = sum(report["rows"] for report in fingerprints)
        if not samples:
            raise UsageError(f"{described(source)} holds no samples; name a source with images")
        matched = journey.match(fingerprints)
        journey.decide(fingerprints, matched)
        findings = [each for name in limits for each in _FOUND[name](journey, matched)]
        if sets:
            references = fingerprinted(
                sets, chosen, no_leak_options or SourceOptions(), work.below("references"), workforce, observe
            )
            findings += _leaks(Decontamination(opened, chosen, work, workforce, observe, references=references))
    outcomes = [_outcome(name, limit, findings, samples) for name, limit in limits.items()]
    outcomes += [_outcome("leak", Limit.of("no_leak", 0), findings, samples, name) for name in sets]
    is_folder = isinstance(source, (str, os.PathLike)) and Path(source).is_dir()
    return Check(
        source=described(source),
        samples=samples,
        outcomes=tuple(outcomes),
        findings=tuple(findings),
        folder=Path(source) if is_folder else None,
    )


def _limits(
    duplicates: Given | None, quarantined: Given | None, look_alikes: Given | None, captions: Given | None
) -> dict[str, Limit]:
    """Limits by rule, of those that were named."""
    given = {"duplicates": duplicates, "quarantined": quarantined, "look_alikes": look_alikes}
    found = {name: Limit.of(f"max_{name}", value) for name, value in given.items() if value is not None}
    if captions is not None:
        found["captions"] = Limit.of("require_captions", captions, share_only=True)
    return found


def _outcome(rule: str, limit: Limit, findings: Sequence[Finding], samples: int, name: str | None = None) -> Outcome:
    found = len({each.key for each in findings if each.rule == rule and each.set == name})
    passed, words = limit.allows(found, samples), f"at most {limit}"
    if rule == "captions":
        found = samples - found
        passed, words = limit.reached(found, samples), f"at least {limit}"
    return Outcome(rule=rule, limit=words, found=found, share=found / samples, passed=passed, set=name)


def _duplicates(journey: Journey, _: Matched) -> Iterator[Finding]:
    reasons = pa.array([str(each) for each in COPIES])
    for row in _decided(journey, lambda table: pc.is_in(table["reason"], value_set=reasons)):
        words = REASONS[Reason(row["reason"])][0].lower()
        message = f"{words} of {row['kept_key']}"
        yield Finding(rule="duplicates", key=row["key"], shard=row["shard"], message=message, other=row["kept_key"])


def _quarantined(journey: Journey, _: Matched) -> Iterator[Finding]:
    for row in _decided(journey, lambda table: pc.equal(table["action"], Action.QUARANTINE.value)):
        words = REASONS[Reason(row["reason"])][0].lower()
        message = f"{words}: {row['detail']}" if row["detail"] else words
        yield Finding(rule="quarantined", key=row["key"], shard=row["shard"], message=message)


def _look_alikes(journey: Journey, matched: Matched) -> Iterator[Finding]:
    pairs = matched.look_alikes.select(["a", "b", "cosine"])
    wanted = pa.array(np.union1d(pairs["a"].to_numpy(), pairs["b"].to_numpy()), pa.uint64())
    names = {
        row["position"]: row for row in _decided(journey, lambda table: pc.is_in(table["position"], value_set=wanted))
    }
    for pair in pairs.to_pylist():
        other, row = names[pair["a"]], names[pair["b"]]
        if other["action"] == row["action"] == Action.KEEP and row["reason"] != Reason.KEPT_BY_HAND:
            message = f"very like {other['key']} (cosine {pair['cosine']:.2f}), no copy"
            yield Finding(rule="look_alikes", key=row["key"], shard=row["shard"], message=message, other=other["key"])


def _captions(journey: Journey, _: Matched) -> Iterator[Finding]:
    for number in range(len(journey.shards)):
        bare = journey.tables.fingerprints(number, ("caption",))["caption"].is_null()
        for row in journey.tables.decisions(number, ("key", "shard")).filter(bare).to_pylist():
            yield Finding(rule="captions", key=row["key"], shard=row["shard"], message="no caption that can be used")


_FOUND = {
    "duplicates": _duplicates,
    "quarantined": _quarantined,
    "look_alikes": _look_alikes,
    "captions": _captions,
}


def _leaks(journey: Decontamination) -> Iterator[Finding]:
    """What stands in the sets; fingerprints of the source lie there already."""
    journey.fingerprint()
    for row in journey.matches().select(["train_key", "set", "key", "tier"]).to_pylist():
        message = f"the same picture as {row['key']} in {row['set']} ({row['tier']})"
        yield Finding(rule="leak", key=row["train_key"], shard="", message=message, other=row["key"], set=row["set"])


def _decided(journey: Journey, wanted: Any) -> Iterator[dict[str, Any]]:
    """Rows of the decisions that a condition holds for, in their order."""
    columns = ("position", "key", "shard", "action", "reason", "kept_key", "detail")
    for number in range(len(journey.shards)):
        table = journey.tables.decisions(number, columns)
        yield from table.filter(wanted(table)).to_pylist()
