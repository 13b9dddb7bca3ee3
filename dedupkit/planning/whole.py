"""The plan of a whole set, out of what a sample of it took."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedupkit.errors import UsageError
from dedupkit.planning import laws
from dedupkit.planning.counting import count_samples
from dedupkit.planning.estimate import Estimate, each_end, larger, ratio, total
from dedupkit.planning.extrapolating import Extrapolation, most_on_disk
from dedupkit.planning.result import Plan
from dedupkit.planning.verdict import unknown, warnings_of

if TYPE_CHECKING:
    from dedupkit.planning.counting import Count
    from dedupkit.planning.machines import Machine
    from dedupkit.planning.measuring import Measured
    from dedupkit.planning.sampling import SampledSource
    from dedupkit.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Basis:
    """What plans are made of.

    Attributes
    ----------
    measured : Measured
        What cleaning a sample took.
    sampled : SampledSource
        The sample.
    recipe : Recipe
        By which it was cleaned.
    """

    measured: Measured
    sampled: SampledSource
    recipe: Recipe


def check_size(rows: int | None, machines: int | None) -> None:
    """Refuse a set without samples and a run on no machine."""
    for name, value, remedy in (
        ("rows", rows, "leave it out to have them counted"),
        ("machines", machines, "1 is this one or one like it"),
    ):
        if value is not None and value < 1:
            raise UsageError(f"{name} must be 1 or more, got {value}; {remedy}")


def whole(basis: Basis, rows: int | None, machine: Machine, machines: int) -> Plan:
    """The plan of a set of so many samples on some machines; parameters as of `dedupkit.plan`."""
    count = count_samples(basis.sampled, rows)
    extrapolation = Extrapolation(
        measured=basis.measured,
        recipe=basis.recipe,
        samples=count.samples,
        shards=round(len(basis.sampled.source.shards()) * count.times_source),
        machine=machine,
        machines=machines,
    )
    return _plan(extrapolation, basis, count)


def _plan(of: Extrapolation, basis: Basis, count: Count) -> Plan:
    sampled = basis.sampled
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
        basis=basis,
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
