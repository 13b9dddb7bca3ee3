"""What of a plan does not work out, and what a sample cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedupkit.planning.laws import THREADS_A_SHARD
from dedupkit.planning.words import bytes_text, count_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.planning.estimate import Estimate
    from dedupkit.planning.extrapolating import Extrapolation
    from dedupkit.planning.result import StagePlan

_LONG_S = 86_400.0  # a run that one waits for


def warnings_of(
    of: Extrapolation, stages: Sequence[StagePlan], *, memory: Estimate, least: Estimate, disk: Estimate
) -> tuple[str, ...]:
    """What does not suffice, each with the remedy.

    Parameters
    ----------
    of : Extrapolation
        Set, machines and measurements.
    stages : sequence of StagePlan
        What each stage takes.
    memory, least, disk : Estimate
        Bytes of memory without a limit and with the least, and of disk.
    """
    found = [_of_memory(of, memory, least), _of_disk(of, disk), _of_cores(of), _of_time(of, stages)]
    return tuple(filter(None, found))


def _of_memory(of: Extrapolation, memory: Estimate, least: Estimate) -> str:
    there = of.machine.memory_bytes
    if least.value > there:
        return (
            f"{bytes_text(there)} of memory are too little: work over the whole set takes {bytes_text(least.value)} "
            "whatever --memory says; run it where there is more, or clean the set in parts and then what they leave"
        )
    if memory.high > there:
        return (
            f"without a limit the run may take {bytes_text(memory.high)} of memory, there are {bytes_text(there)}; "
            f"give --memory {int(there * 0.8) >> 20}MiB"
        )
    return ""


def _of_disk(of: Extrapolation, disk: Estimate) -> str:
    there = of.machine.disk_bytes
    if disk.high <= there:
        return ""
    sure = "" if disk.value <= there else "will be too little: "
    return (
        f"{bytes_text(there)} of free disk {sure or 'may be too little: '}output and scratch files may take "
        f"{bytes_text(disk.high)}; write OUT to a larger disk, or to an s3:// URL, where only scratch files stay here"
    )


def _of_cores(of: Extrapolation) -> str:
    cores = of.machines * of.machine.cores
    if cores > THREADS_A_SHARD * of.shards:
        busy = THREADS_A_SHARD * of.shards
        return f"{of.shards} shards keep no more than {busy} of {cores} cores busy; cut the set in more of them"
    return ""


def _of_time(of: Extrapolation, stages: Sequence[StagePlan]) -> str:
    by_shard = sum(stage.wall_s.value for stage in stages if stage.where != "driver")
    alone = sum(stage.wall_s.value for stage in stages if stage.where == "driver")
    if alone > max(_LONG_S, by_shard):
        return "most of the time goes to one machine, the driver; more machines will not help, one with more cores may"
    if by_shard > _LONG_S and of.machines == 1:
        return "a run of days on one machine; engine ray spreads all that is done shard by shard over several"
    return ""


def unknown(of: Extrapolation, *, is_remote: bool) -> tuple[str, ...]:
    """What a sample cannot tell, in sentences.

    Parameters
    ----------
    of : Extrapolation
        Set, machines and measurements.
    is_remote : bool
        Whether the source lies on another machine.
    """
    said = [
        "how many copies the set holds: storage is that of a set without any",
        f"how many pictures of {count_text(of.samples.value)} look alike: views and pairs are extrapolated from "
        f"{of.measured.near_pairs:,} near pairs among {of.measured.samples:,} samples",
        "whether shards begin as they go on: only their first samples were read",
        "how fast other processors are: those that measured the sample are taken to be those of the machines",
    ]
    if is_remote:
        said.append("what the network and the store give to many readers at once: only one stream was measured")
    return tuple(said) if of.recipe.descriptor else (said[0], *said[2:])
