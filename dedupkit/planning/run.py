"""Planning: a sample of a set is cleaned in a temporary folder, and what that took is extrapolated."""

from __future__ import annotations

import functools
import tempfile
from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError
from dedupkit.matching.radius import max_hamming_bits
from dedupkit.options import resolve_recipe
from dedupkit.parts import silent
from dedupkit.planning import laws
from dedupkit.planning.counting import count_samples
from dedupkit.planning.estimate import Estimate, each_end, larger, ratio, total
from dedupkit.planning.extrapolating import Extrapolation, most_on_disk
from dedupkit.planning.machines import Machine
from dedupkit.planning.measuring import measure
from dedupkit.planning.result import Plan
from dedupkit.planning.sampling import draw
from dedupkit.planning.verdict import unknown, warnings_of
from dedupkit.recipe import Canaries
from dedupkit.sources import open_source
from dedupkit.sources.lists import ListSource
from dedupkit.storage import Folder

if TYPE_CHECKING:
    import os

    from dedupkit.parts import Observer
    from dedupkit.planning.counting import Count
    from dedupkit.planning.sampling import SampledSource
    from dedupkit.recipe import Recipe

SAMPLES = 500


def plan(
    source: Any,
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    samples: int = SAMPLES,
    rows: int | None = None,
    machine: Machine | str | None = None,
    machines: int = 1,
    progress: Observer | None = None,
) -> Plan:
    """Say what time, memory, disk and money cleaning a set would take, by cleaning a sample of it.

    Parameters
    ----------
    source : path, URL, datasets.Dataset, datasets.IterableDataset or list of samples
        The set; nothing is written to it.  It is listed, and the beginnings of up to 16 shards are read, some four
        times.
    recipe : Recipe or path of a TOML file, optional
        Every choice; the default recipe if left out.  Canaries, which a sample has no room for, are left out.
    samples : int
        How many to clean; fewer if there are no more.
    rows : int, optional
        Samples of the set; counted or estimated if left out.  More than the source holds say that it is a part of the
        set, which has as many more shards.
    machine : Machine or str, optional
        What it would run on: a text such as ``cores=64,memory=256GiB,disk=2TB,price=3.2`` with the price of an hour;
        this machine if left out.
    machines : int
        How many of them; more than one take the engine ray.
    progress : callable, optional
        Told of progress with a `dedupkit.parts.Progress`.

    Returns
    -------
    Plan

    Raises
    ------
    UsageError
        Of a source, recipe or argument that cannot be, of a source without samples, and of one that does not tell how
        many it has.

    Notes
    -----
    Works with one thread, in a temporary folder of about twice the sample's size.  docs/scale.md says how each stage
    is extrapolated.

    Examples
    --------
    >>> from dedupkit import Recipe
    >>> from dedupkit.demo import example_images
    >>> planned = plan(example_images(), recipe=Recipe(preset="fast"), samples=16, machine="cores=8,memory=16GiB")
    >>> int(planned.count.samples.value), planned.samples_read
    (64, 16)
    """
    chosen = _without_canaries(resolve_recipe(recipe))
    _check(samples, rows, machines)
    where = machine if isinstance(machine, Machine) else Machine.of(machine or "")
    opened = open_source(source, chosen.source, max_bytes=chosen.limits.max_bytes)
    if isinstance(opened, ListSource):
        raise UsageError("a plan cleans a sample of images; give the images, without embeddings or hashes")
    observe = progress or silent
    sampled = draw(opened, samples, observe)
    if not sum(each.samples for each in sampled.drawn):
        raise UsageError("the source holds no samples; name a source with images")
    count = count_samples(sampled, rows)
    fitting = _for_a_set_of(chosen, round(count.samples.value))
    with tempfile.TemporaryDirectory(prefix="dedupkit-", ignore_cleanup_errors=True) as scratch:
        measured = measure(sampled, fitting, Folder(scratch, durable=False), observe)
    extrapolation = Extrapolation(
        measured=measured,
        recipe=chosen,
        samples=count.samples,
        shards=round(len(opened.shards()) * count.times_source),
        machine=where,
        machines=machines,
    )
    return _plan(extrapolation, sampled, count)


def _check(samples: int, rows: int | None, machines: int) -> None:
    for name, value, remedy in (
        ("samples", samples, "some hundred give narrow intervals"),
        ("machines", machines, "1 is this one or one like it"),
        ("rows", 1 if rows is None else rows, "leave it out to have them counted"),
    ):
        if value < 1:
            raise UsageError(f"{name} must be 1 or more, got {value}; {remedy}")


def _without_canaries(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"canaries": Canaries()})


def _for_a_set_of(recipe: Recipe, samples: int) -> Recipe:
    """The recipe for a sample: its radius is that of the whole set."""
    radius = max_hamming_bits(recipe.matching, samples)
    return recipe.model_copy(update={"matching": recipe.matching.model_copy(update={"max_hamming_bits": radius})})


def _plan(of: Extrapolation, sampled: SampledSource, count: Count) -> Plan:
    stages, source_bytes = of.stages(), _source_bytes(sampled, count)
    wall_s = total([stage.wall_s for stage in stages])
    price = of.machine.price_per_hour
    memory, disk = _memory(of), most_on_disk(stages)
    stored = total([stage.stored for stage in stages])
    is_remote = _is_remote(sampled)
    warnings = warnings_of(of, stages, memory=memory, least=_least_memory(of), disk=disk)
    return Plan(
        count=count,
        shards=of.shards,
        shards_read=len(sampled.drawn),
        samples_read=of.measured.samples,
        source_bytes=source_bytes,
        read_bytes_per_s=_rate(sampled),
        is_remote=is_remote,
        machine=of.machine,
        machines=of.machines,
        stages=stages,
        wall_s=wall_s,
        memory=memory,
        least_memory=_least_memory(of),
        disk=disk,
        stored=stored,
        network=source_bytes * 2 + source_bytes * of.near.in_doubt + stored,
        cost=None if price is None else wall_s * (price * of.machines / 3600),
        warnings=warnings,
        unknown=unknown(of, is_remote=is_remote),
    )


def _source_bytes(sampled: SampledSource, count: Count) -> Estimate:
    stated = sum(shard.byte_size for shard in sampled.source.shards())
    if stated:
        return Estimate.exact(stated * count.times_source)
    drawn = sampled.drawn
    return count.samples * ratio(
        [each.image_bytes + each.caption_bytes for each in drawn], [each.samples for each in drawn]
    )


def _rate(sampled: SampledSource) -> float:
    seconds = sum(each.seconds for each in sampled.drawn)
    return sum(each.image_bytes + each.caption_bytes for each in sampled.drawn) / max(seconds, 1e-9)


def _is_remote(sampled: SampledSource) -> bool:
    source = sampled.source
    filesystem = getattr(sampled.drawn[0].shard.location, "filesystem", getattr(source, "filesystem", None))
    return filesystem is not None


def _memory(of: Extrapolation) -> Estimate:
    """Bytes of the driver without a limit: its processes, and the largest search."""
    processes = max(1, of.machine.cores // laws.THREADS_A_SHARD)
    hashes = of.samples * of.measured.hashes
    searches = [each_end(hashes, lambda rows: laws.search_memory(laws.HASHES, rows))]
    if of.measured.dimensions:
        searches.append(each_end(of.samples, lambda rows: laws.search_memory(laws.DESCRIPTORS, rows)))
    by_shard = larger(Estimate.exact(float(processes * of.measured.peak_memory)), _least_memory(of))
    return functools.reduce(larger, searches, by_shard)


def _least_memory(of: Extrapolation) -> Estimate:
    return each_end(of.samples, laws.least_memory)
