"""Calibrating: a sample of the set, edited copies of it, and what the recipe finds of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.calibration.copies import Planting
from dedupkit.calibration.drawing import draw
from dedupkit.calibration.proposals import LIMITS, limits_of, try_limits
from dedupkit.calibration.result import Calibration
from dedupkit.calibration.trials import Bench
from dedupkit.edits import edits_named
from dedupkit.engines.opening import check_reach, open_engine
from dedupkit.errors import UsageError
from dedupkit.journey import Journey
from dedupkit.matching.radius import max_hamming_bits
from dedupkit.options import resolve_recipe
from dedupkit.parts import Progress, silent
from dedupkit.recipe import Blocklist, SourceOptions
from dedupkit.sources import open_source, spool
from dedupkit.sources.lists import ListSource
from dedupkit.storage import Folder
from dedupkit.temporary import TemporaryFolder

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    from dedupkit.calibration.drawing import Drawn
    from dedupkit.calibration.proposals import Tried
    from dedupkit.calibration.trials import Outcome
    from dedupkit.engines import Engine
    from dedupkit.parts import Observer
    from dedupkit.recipe import Recipe
    from dedupkit.sample import Sample
    from dedupkit.sources.base import Source

SAMPLES = 200
_TOLD_EVERY = 100


def calibrate(
    source: Any,
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    samples: int = SAMPLES,
    edits: Iterable[str] | None = None,
    wanted_precision: float = 0.999,
    seed: int = 0,
    engine: Engine | str | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Observer | None = None,
) -> Calibration:
    """Measure what a recipe finds, and what it misses, of edited copies planted in a sample of a set.

    Parameters
    ----------
    source : path, URL, datasets.Dataset, DataFrame, Arrow table or iterable of samples
        The set; nothing is written to it.  At most 32 of its shards are read, once.
    recipe : Recipe or path of a TOML file, optional
        What is measured; the default recipe if left out.  Its blocklist is not applied.
    samples : int
        Pictures to draw; fewer if there are no more.
    edits : iterable of str, optional
        Names out of `dedupkit.edits.EDITS`; all if left out.
    wanted_precision : float
        Least share of right pairs at the limits that are proposed, in (0, 1].
    seed : int
        Which pictures are drawn and how they are edited, 0 or more.
    engine : Engine, "local" or "ray", optional
        Where tasks run; this machine if left out.  See docs/ray.md.
    workers : int, optional
        Worker processes of the engine local; how many tasks at most the engine ray has on its cluster.
    memory : int or str, optional
        What the run may take: bytes, or text such as ``4GiB``; see docs/scale.md.  The result does not depend on it.
    progress : callable, optional
        Told of progress with a `dedupkit.parts.Progress`.

    Returns
    -------
    Calibration

    Raises
    ------
    UsageError
        Of a source, recipe or argument that cannot be, and of a sample without any usable image.

    Notes
    -----
    Copies lie in a temporary folder, about 1 MB for all edits of a picture, and 30 KB each for geometry.  Time is that
    of finding duplicates among 23 times `samples` pictures, and of some 20 searches among twice `samples` for each
    edit.

    Examples
    --------
    >>> from dedupkit import Recipe
    >>> from dedupkit.demo import example_images
    >>> found = calibrate(example_images(), recipe=Recipe(preset="fast"), samples=8, edits=["jpeg60", "crop70"])
    >>> found.recall["planted"].to_pylist()
    [8, 8]
    """
    chosen = resolve_recipe(recipe)
    planted = edits_named(edits)
    _check(samples, wanted_precision, seed)
    observe = progress or silent
    with (
        open_engine(engine, workers=workers, memory=memory) as workforce,
        TemporaryFolder() as scratch,
    ):
        work = Folder(scratch, durable=False)
        opened = open_source(source, chosen.source, **chosen.limits.of_files, spool_to=work.below("source"))
        _check_source(opened)
        (room := Path(scratch, "drawn")).mkdir()
        drawn = draw(opened, samples, seed, room, observe)
        skipped: Counter[str] = Counter()
        copies = Planting(planted, chosen.limits, seed).samples(drawn, workforce.threads_a_task(1), skipped)
        spooled = spool(_told(copies, len(drawn.samples) * (len(planted) + 1), observe), work.below("copies"))
        if not spooled.parts:
            raise UsageError(f"none of the {len(drawn.samples)} samples drawn has a usable image: {dict(skipped)}")
        fitting = _without_what_is_the_sources(chosen, drawn.set_samples)
        journey = Journey(spooled, fitting, work.below("work"), workforce, observe, emits=False)
        check_reach(workforce, work, journey.source, journey.shards)
        journey.fingerprint()
        bench = Bench(journey, [edit.name for edit in planted], len(drawn.samples))
        tried = try_limits(bench, fitting, drawn.set_samples, wanted_precision, observe)
        return _result(bench, tried, drawn, dict(skipped), wanted_precision, seed)


def _check(samples: int, wanted_precision: float, seed: int) -> None:
    if samples < 1:
        raise UsageError(f"samples must be 1 or more, got {samples}; some hundred give narrow intervals")
    if not 0 < wanted_precision <= 1:
        raise UsageError(f"wanted_precision must be in (0, 1], got {wanted_precision}; it is a share of pairs")
    if seed < 0:
        raise UsageError(f"seed must be 0 or more, got {seed}")


def _check_source(source: Source) -> None:
    if isinstance(source, ListSource):
        raise UsageError("edited copies need images that are decoded; give the images, without embeddings or hashes")


def _without_what_is_the_sources(recipe: Recipe, set_samples: int) -> Recipe:
    """The recipe for copies: their radius is that of the whole set, and nothing of them is blocked."""
    radius = max_hamming_bits(recipe.matching, set_samples)
    matching = recipe.matching.model_copy(update={"max_hamming_bits": radius})
    return recipe.model_copy(update={"matching": matching, "source": SourceOptions(), "blocklist": Blocklist()})


def _told(samples: Iterable[Sample], total: int, observe: Observer) -> Iterator[Sample]:
    for done, sample in enumerate(samples, 1):
        yield sample
        if done % _TOLD_EVERY == 0:
            observe(Progress("copies", done, total, done))
    observe(Progress("copies", total, total, total))


def _result(
    bench: Bench, tried: Tried, drawn: Drawn, skipped: dict[str, int], wanted_precision: float, seed: int
) -> Calibration:
    keys = [sample.key for sample, _ in drawn.samples]
    described = bool(bench.journey.recipe.descriptor)
    proposed = None if tried.proposed is None else limits_of(tried.proposed.matching, described=described)
    return Calibration(
        samples=bench.edited,
        skipped=skipped,
        set_samples=drawn.set_samples,
        shards=drawn.shards,
        all_shards=drawn.all_shards,
        recall=_recall_table(bench.edits, tried.recipe),
        missed=tried.recipe.recall.rest,
        precision=tried.recipe.precision,
        confused=bench.confused(tried.recipe.mistakes),
        own_pairs=bench.own_pairs,
        thresholds=_thresholds(tried, described, wanted_precision),
        misses=_misses(bench.edits, keys, tried.recipe),
        mistakes=bench.named(tried.recipe.mistakes, keys),
        proposed=proposed,
        wanted_precision=wanted_precision,
        seed=seed,
    )


def _recall_table(edits: Sequence[str], outcome: Outcome) -> pa.Table:
    shares = [outcome.recall_of(number) for number in range(len(edits))]
    return pa.table(
        {
            "edit": pa.array(edits, pa.string()),
            "planted": [share.of for share in shares],
            "found": [share.hits for share in shares],
            "recall": pa.array([share.share if share.of else None for share in shares], pa.float64()),
            "low": [share.low for share in shares],
            "high": [share.high for share in shares],
            "false_pairs": outcome.false_pairs.sum(axis=1),
        }
    )


def _thresholds(tried: Tried, described: bool, wanted_precision: float) -> pa.Table:
    rows = []
    for outcome in tried.outcomes:
        limits = limits_of(outcome.matching, described=described)
        recall, precision = outcome.recall, outcome.precision
        row: dict[str, Any] = {name: limits.get(name) for name in LIMITS}
        for name, share in (("recall", recall), ("precision", precision)):
            row |= {name: share.share if share.of else None, f"{name}_low": share.low, f"{name}_high": share.high}
        row["false_pairs"] = precision.of - precision.hits
        row["meets"] = precision.of > 0 and precision.share >= wanted_precision
        row |= {"recipe": outcome is tried.recipe, "proposed": outcome is tried.proposed}
        rows.append(row)
    types = dict.fromkeys(("min_cosine", "min_score", "recall", "precision"), pa.float64())
    return pa.table({name: pa.array([row[name] for row in rows], types.get(name)) for name in rows[0]})


def _misses(edits: Sequence[str], keys: Sequence[str], outcome: Outcome) -> pa.Table:
    number, edit = np.nonzero((outcome.planted & ~outcome.found).T)
    missed = {"key": [keys[each] for each in number.tolist()], "edit": [edits[each] for each in edit.tolist()]}
    return pa.table({name: pa.array(values, pa.string()) for name, values in missed.items()})
