"""How what was measured on a sample grows with the set.  Every constant here is measured, and named with its source.

`tests/unit/planning/test_laws.py` holds those that come from a benchmark against its JSON.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedupkit.engines.budget import RESIDENT
from dedupkit.planning.estimate import NOTHING, Estimate, each_end

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Search:
    """A search over the whole set as `benchmarks/search_scale.py` measured it.

    Attributes
    ----------
    rows : int
        How many descriptors or hashes.
    wall_s, cpu_s : float
        Seconds by the clock, with two threads, and of the processors.
    peak_mib : float
        Memory of the process, without a limit.
    """

    rows: int
    wall_s: float
    cpu_s: float
    peak_mib: float


# benchmarks/results/search_scale.json
DESCRIPTORS = (
    Search(100_000, 12.86, 24.12, 279.0),
    Search(1_000_000, 169.0, 312.86, 633.6),
    Search(10_000_000, 2754.05, 4263.97, 5143.7),
)
HASHES = (
    Search(100_000, 9.92, 17.17, 171.0),
    Search(1_000_000, 33.72, 53.79, 473.7),
    Search(10_000_000, 407.42, 494.09, 3777.9),
)
SEARCH_THREADS = 2
NUMBERS = 256  # of the descriptors there; time goes with their number

# benchmarks/results/stages.json: steps over the whole set, processor seconds a sample
DECISIONS_S = 4.6e-06
SETTLED_CAPTIONS_S = 3.58e-06
REPORT_S = 3.76e-06

# benchmarks/results/thorough.json: processor seconds of a second by the clock and a core
CORES_BUSY = 0.91

OTHER_MACHINE = 1.5
"""An assumption: processors that people run this on are so much faster or slower than those of the benchmarks."""

# What stands in docstrings of matching/stage.py, matching/candidates.py, verification.py, grouping/bundles.py and
# mitigation/set_captions.py, in bytes.
MEMORY_A_SAMPLE = 60  # in the search of descriptors, whatever --memory says
MEMORY_A_PAIRED_SAMPLE = 20
SCRATCH_A_SAMPLE = 120
SCRATCH_A_HASH = 100
SCRATCH_DESCRIPTORS = 3  # times what they take
SCRATCH_A_CANDIDATE = 24
SCRATCH_A_SEEN_PICTURE = 512
VIEW = 30_000
SCRATCH_A_VERIFIED_PAIR = 72

_ENOUGH_PAIRS = 20  # for the share of them that was asked about to count
THREADS_A_SHARD = 4  # of one process, as `dedupkit.engines.local`; a shard is never split between processes
MOST_REFUSALS = 5  # as `dedupkit.matching.proof`: a group that was refused so often is asked about no more
GEOMETRY_S = 0.001  # a pair, where the sample had none to measure (docs/architecture.md)


def search_cpu_s(measured: Sequence[Search], rows: Estimate) -> Estimate:
    """Processor seconds of a search among so many rows.

    Between two measured sizes a power law runs through both.  Below the smallest, time is proportional to rows.
    Beyond the largest it grows by the last power of processor time, and the interval goes up to that of time by the
    clock, and down to proportional.  Over all lies the factor of machines that are others.
    """
    value = _cpu_s(measured, rows.value, _last_powers(measured)[0])
    slow, fast = max(_last_powers(measured)), min(1.0, *_last_powers(measured))
    return Estimate(
        value,
        _cpu_s(measured, rows.low, fast) / OTHER_MACHINE,
        _cpu_s(measured, rows.high, slow) * OTHER_MACHINE,
    )


def _last_powers(measured: Sequence[Search]) -> tuple[float, float]:
    """Of processor time and of time by the clock, between the last two sizes."""
    before, last = measured[-2:]
    return _power(before.rows, before.cpu_s, last.rows, last.cpu_s), _power(
        before.rows, before.wall_s, last.rows, last.wall_s
    )


def _power(rows: float, amount: float, more_rows: float, more: float) -> float:
    return math.log(more / amount) / math.log(more_rows / rows)


def _cpu_s(measured: Sequence[Search], rows: float, power_beyond: float) -> float:
    if rows <= measured[0].rows:
        return measured[0].cpu_s * rows / measured[0].rows
    if rows >= measured[-1].rows:
        return float(measured[-1].cpu_s * (rows / measured[-1].rows) ** power_beyond)
    place = next(number for number, each in enumerate(measured) if each.rows >= rows)
    before, after = measured[place - 1], measured[place]
    return float(before.cpu_s * (rows / before.rows) ** _power(before.rows, before.cpu_s, after.rows, after.cpu_s))


def search_wall_s(measured: Sequence[Search], cpu_s: Estimate, cores: int) -> Estimate:
    """Seconds by the clock: Amdahl's law, its serial share as two threads showed it at the largest measured size."""
    serial = serial_share(measured[-1])
    return cpu_s * (serial + (1 - serial) / cores)


def serial_share(measured: Search) -> float:
    """Share of a search that one thread does alone, in [0, 1].

    Examples
    --------
    >>> serial_share(Search(1, wall_s=7.5, cpu_s=10.0, peak_mib=0))
    0.5
    """
    threads = SEARCH_THREADS
    share = (threads * measured.wall_s / measured.cpu_s - 1) / (threads - 1)
    return min(1.0, max(0.0, share))


def search_memory(measured: Sequence[Search], rows: float) -> float:
    """Bytes of a search without a limit: what a row more took between the last two sizes, for all of them."""
    before, last = measured[-2:]
    slope = (last.peak_mib - before.peak_mib) / (last.rows - before.rows)
    return max(0.0, last.peak_mib + slope * (rows - last.rows)) * (1 << 20)


def least_memory(samples: float, paired: float = 0.0) -> float:
    """Bytes of work over the whole set that no ``--memory`` lessens."""
    return RESIDENT + max(MEMORY_A_SAMPLE * samples, MEMORY_A_PAIRED_SAMPLE * paired)


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """How many others a sample of the whole set is near to, out of how many near pairs a sample of it holds.

    Attributes
    ----------
    near : Estimate
        Others near to each.
    in_doubt : Estimate
        Share of the samples that have any, in [0, 1]: geometry looks at them.
    asked : Estimate
        Pairs that geometry is asked about, a sample.
    """

    near: Estimate
    in_doubt: Estimate
    asked: Estimate


NO_NEIGHBOURS = Neighbourhood(NOTHING, NOTHING, NOTHING)


def neighbourhood(pairs: int, asked: int, sample: int, samples: Estimate, max_neighbours: int) -> Neighbourhood:
    """What near pairs of a sample say about the whole set.

    Parameters
    ----------
    pairs, asked : int
        Near pairs in the sample, and how many of them geometry was asked about.
    sample, samples : int, Estimate
        How many samples it, and the set, has.
    max_neighbours : int
        The most that are listed of one.

    Notes
    -----
    Any two are near with the same chance, so neighbours grow with the set until lists are full; a sample without any
    has a share of exp(-neighbours).  The interval is that of a Poisson count (two deviations; three where none was
    seen).  Of its neighbours' pairs geometry is asked about half, each having two ends, but no more than refusals
    allow; by how much less that was in the sample, because a group of copies asks as one, it is taken to be less in
    the set.  Copies stand together in shards more rarely than by this chance, or more often: only a run tells.
    """
    spread = 2 * math.sqrt(pairs)
    counted = Estimate(pairs, max(0.0, pairs - spread), max(3.0, pairs + spread))
    times = each_end(samples, lambda count: max(1.0, (count - 1) / max(1, sample - 1)))
    grown = counted * (2 / max(1, sample)) * times
    near = each_end(grown, lambda count: min(count, float(max_neighbours)))
    in_doubt = each_end(near, lambda count: 1 - math.exp(-count))
    share = asked / (sample * _asked(2 * pairs / sample)) if pairs >= _ENOUGH_PAIRS else 1.0
    likely, least = share * _asked(near.value), min(asked / max(1, sample), share * _asked(near.low))
    return Neighbourhood(near, in_doubt, Estimate(likely, least, max(likely, min(near.high / 2, MOST_REFUSALS))))


def _asked(near: float) -> float:
    """Pairs that geometry is asked about, a sample with so many neighbours and no copies: a refusal counts for two."""
    return min(near, MOST_REFUSALS) / 2
