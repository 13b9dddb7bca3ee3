"""Cleaning a sample with a meter on it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from dedupkit.journey import Journey
from dedupkit.matching.stage import SearchFacts
from dedupkit.mitigation.stage import CLEANED_STAGE, SETTLED_STAGE, settle_captions
from dedupkit.options import versions
from dedupkit.parts import read_table, silent
from dedupkit.planning.estimate import Estimate, ratio
from dedupkit.planning.laws import GEOMETRY_S
from dedupkit.planning.metering import MeteredEngine, peak_memory
from dedupkit.planning.weighing import Weight, weigh_output, weigh_receipts, weigh_table, weigh_tables
from dedupkit.report.stage import report
from dedupkit.sample import Action, Tier
from dedupkit.sinks import make_sink, stage_of
from dedupkit.sinks.stage import emit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dedupkit.parts import Observer
    from dedupkit.planning.sampling import SampledSource
    from dedupkit.recipe import Recipe
    from dedupkit.storage import Folder, Stage

_A_PAIR = 60.0  # bytes in the table of pairs, where there are too few to weigh
_OF_SAMPLES = ("fingerprints", CLEANED_STAGE, "decisions", SETTLED_STAGE)
_WARM_UP = 64  # samples, so that what captions and formats need once is there
_ENOUGH_PAIRS = 50  # for their time, and not that of the step, to count


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What cleaning a sample took.

    Attributes
    ----------
    samples, quarantined : int
        Samples, and those of them that cannot be used.
    cpu_s : mapping of str to Estimate
        Processor seconds of work that is done shard by shard, by stage: a sample; of views, a picture looked at; of
        outputs, a sample that stays.
    steps : mapping of str to float
        Processor seconds of the steps over the whole sample.
    start_s : float
        Of what a process does once: imports, the network that is opened.
    geometry_s : float
        Of a pair that geometry was asked about.
    near_pairs, equal_pairs, verified_pairs : int
        Candidates, pairs of equal bytes, and pairs that geometry was asked about.
    hashes : float
        Hashes a sample, between 1 and 2.
    dimensions : int
        Numbers of a descriptor, 0 where there is none.
    tables : mapping of str to Weight
        Files between stages and outputs, by stage.
    receipts : float
        Bytes of receipts, a shard.
    report_bytes : int
        Of the report's files.
    peak_memory : int
        Of this process, in bytes.
    """

    samples: int
    quarantined: int
    cpu_s: Mapping[str, Estimate]
    steps: Mapping[str, float]
    start_s: float
    geometry_s: float
    near_pairs: int
    equal_pairs: int
    verified_pairs: int
    hashes: float
    dimensions: int
    tables: Mapping[str, Weight]
    receipts: float
    report_bytes: int
    peak_memory: int


def measure(sampled: SampledSource, recipe: Recipe, folder: Folder, observe: Observer) -> Measured:
    """Clean a sample twice in a folder: its first few for what happens once, then all of it with a meter.

    Parameters
    ----------
    sampled : SampledSource
        The sample.
    recipe : Recipe
        Every choice.
    folder : Folder
        Where everything is written.
    observe : callable
        Told of progress.
    """
    warm_up = MeteredEngine()
    with warm_up.timed("start"), _quiet():
        _run(sampled.beginning(_WARM_UP), recipe, folder.below("start"), warm_up, silent)
    folder.remove("start")
    meter = MeteredEngine()
    with _quiet():
        journey = _run(sampled, recipe, folder.below("sample"), meter, observe)
    return _measured(journey, folder.below("sample"), meter, _once_s(warm_up, meter))


def _once_s(first: MeteredEngine, second: MeteredEngine) -> float:
    """What the first run took beyond what as many samples took in the second."""
    taken = first.steps["start"]
    for stage, parts in first.parts.items():
        each = ratio([part.cpu_s for part in second.parts[stage]], [part.rows for part in second.parts[stage]]).value
        taken += sum(part.cpu_s - each * part.rows for part in parts)
    return max(0.0, taken)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without news of parts that are used again: candidates are asked for twice, so that they can be timed alone."""
    log = logging.getLogger("dedupkit")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def _run(sampled: SampledSource, recipe: Recipe, folder: Folder, meter: MeteredEngine, observe: Observer) -> Journey:
    """The stages of `dedupkit.clean`, timed."""
    journey = Journey(sampled, recipe, folder.below(".dedupkit"), meter, observe)
    fingerprints = journey.fingerprint()
    with meter.timed("candidates"):
        journey.candidates(fingerprints)
    with meter.timed("pairs"):
        matched = journey.match(fingerprints)
    with meter.timed("decisions"):
        decisions = journey.decide(fingerprints, matched)
    with meter.timed("captions over the set"):
        captions = settle_captions(journey, decisions)
    written: dict[str, int] = {kind: emit(journey, folder, decisions, kind) for kind in recipe.output.formats}
    toml = recipe.dumps(dict(versions()))
    with meter.timed("report"):
        report(journey, folder, source="", recipe_toml=toml, written=written, captions=captions, commitment=None)
    return journey


def _measured(journey: Journey, out: Folder, meter: MeteredEngine, start_s: float) -> Measured:
    names, tables = journey.part_names(), journey.tables
    actions = [tables.decisions(number, ("action",))["action"] for number in range(len(names))]
    kept = [_count(action, Action.KEEP) for action in actions]
    candidates = tables.stage("candidates")
    tiers = read_table(candidates, "candidates.parquet", ("tier",))["tier"]
    verified = SearchFacts.of(read_table(tables.stage("pairs"), "pairs.parquet", ("a",))).verified_pairs
    weights = {stage: weigh_tables(tables.stage(stage), names) for stage in _OF_SAMPLES}
    weights["candidates"] = weigh_table(candidates, "candidates.parquet", _A_PAIR)
    stages = [(tables.stage(stage), names) for stage in _OF_SAMPLES]
    for kind in journey.recipe.output.formats:
        stage, parts = _output(journey, out, kind)
        weights[stage.parts.url.rpartition("/")[2]] = weigh_output(stage, parts, kept, kind, journey.field_types())
        stages.append((stage, parts))
    exact = int(pc.sum(pc.equal(tiers, Tier.EXACT.value)).as_py() or 0)
    return Measured(
        samples=sum(map(len, actions)),
        quarantined=sum(_count(action, Action.QUARANTINE) for action in actions),
        cpu_s=_cpu(meter),
        steps=dict(meter.steps),
        start_s=start_s,
        geometry_s=meter.steps["pairs"] / verified if verified >= _ENOUGH_PAIRS else GEOMETRY_S,
        near_pairs=len(tiers) - exact,
        equal_pairs=exact,
        verified_pairs=verified,
        hashes=_hashes(journey),
        dimensions=_dimensions(journey),
        tables=weights,
        receipts=weigh_receipts(stages),
        report_bytes=sum(out.size(name) for name in ("report.html", "report.json")),
        peak_memory=peak_memory(),
    )


def _cpu(meter: MeteredEngine) -> dict[str, Estimate]:
    """Processor seconds a row, by stage, with the spread between shards."""
    return {
        stage: ratio([part.cpu_s for part in parts], [part.rows for part in parts])
        for stage, parts in meter.parts.items()
    }


def _output(journey: Journey, out: Folder, kind: str) -> tuple[Stage, list[str]]:
    sink = make_sink(kind)
    return stage_of(kind, out, journey.work), [sink.part_name(number) for number in range(len(journey.shards))]


def _count(actions: object, action: Action) -> int:
    return int(pc.sum(pc.equal(actions, action.value)).as_py() or 0)


def _hashes(journey: Journey) -> float:
    """Hashes a sample: that of the whole picture, and that without its frame where there is one."""
    kind = journey.recipe.matching.hash
    rows = trimmed = 0
    for number in range(len(journey.shards)):
        column = journey.tables.fingerprints(number, (f"trimmed_{kind}",))[0]
        rows, trimmed = rows + len(column), trimmed + len(column) - column.null_count
    return 1 + trimmed / max(1, rows)


def _dimensions(journey: Journey) -> int:
    if not journey.recipe.descriptor:
        return 0
    column = journey.tables.fingerprints(0, ("descriptor",))["descriptor"]
    return int(pc.max(pc.list_value_length(column)).as_py() or 0)
