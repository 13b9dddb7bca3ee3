"""From what a sample took to what the set will take, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedupkit.mitigation.stage import CLEANED_STAGE, SETTLED_STAGE
from dedupkit.planning import laws
from dedupkit.planning.estimate import NOTHING, Estimate, larger
from dedupkit.planning.result import StagePlan
from dedupkit.sinks import make_sink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.planning.machines import Machine
    from dedupkit.planning.measuring import Measured
    from dedupkit.recipe import Recipe

_ALL, _DRIVER = "all cores", "driver"
_DESCRIPTOR_NUMBER = 2  # bytes of a number of a descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class Extrapolation:
    """What is known of a set, and what it would run on.

    Attributes
    ----------
    measured : Measured
        What a sample of it took.
    recipe : Recipe
        Every choice.
    samples : Estimate
        Samples of the set.
    shards : int
        Shards of the set.
    machine : Machine
        What it would run on.
    machines : int
        How many of them.
    """

    measured: Measured
    recipe: Recipe
    samples: Estimate
    shards: int
    machine: Machine
    machines: int

    def stages(self) -> tuple[StagePlan, ...]:
        """All stages in their order."""
        return (
            self._start(),
            self._by_shard("fingerprints", "fingerprints", self.samples, "proportional to samples"),
            self._by_shard("captions", CLEANED_STAGE, self.samples, "proportional to samples"),
            self._candidates(),
            *(() if self.near is laws.NO_NEIGHBOURS else (self._views(), self._pairs())),
            self._over_the_set("decisions", "decisions", laws.DECISIONS_S, copies=2),
            self._over_the_set("captions over the set", SETTLED_STAGE, laws.SETTLED_CAPTIONS_S),
            *(self._output(kind) for kind in self.recipe.output.formats),
            self._report(),
        )

    @property
    def near(self) -> laws.Neighbourhood:
        """How many others each sample is near to."""
        if not self.recipe.descriptor or self.recipe.matching.verify == "none":
            return laws.NO_NEIGHBOURS
        most = self.recipe.matching.max_neighbours
        sample = self.measured
        return laws.neighbourhood(sample.near_pairs, sample.verified_pairs, sample.samples, self.samples, most)

    @property
    def candidates(self) -> Estimate:
        """Candidate pairs of the set: near ones, and copies of equal bytes as often as in the sample."""
        equal = self.measured.equal_pairs / max(1, self.measured.samples)
        return self.samples * (self.near.near * 0.5 + Estimate.exact(equal))

    @property
    def descriptor_bytes(self) -> int:
        """Bytes of a descriptor in memory and in scratch files."""
        return _DESCRIPTOR_NUMBER * self.measured.dimensions

    def wall_of_all(self, cpu_s: Estimate) -> Estimate:
        """Seconds by the clock of work that every core shares; no more cores than four a shard have any."""
        cores = min(self.machines * self.machine.cores, laws.THREADS_A_SHARD * self.shards)
        return cpu_s * (1 / (cores * (laws.CORES_BUSY if cores > 1 else 1)))

    def _start(self) -> StagePlan:
        once = Estimate.exact(self.measured.start_s)
        return _stage("start", _ALL, "once a process", once, once)

    def _by_shard(self, name: str, stage: str, rows: Estimate, law: str) -> StagePlan:
        cpu_s = self.measured.cpu_s.get(stage, NOTHING) * rows
        stored = self.measured.tables[stage].of(self.shards, rows)
        if name == "fingerprints":
            stored += Estimate.exact(self.measured.receipts * self.shards)
        return _stage(name, _ALL, law, cpu_s, self.wall_of_all(cpu_s), stored)

    def _candidates(self) -> StagePlan:
        hashes = self.samples * self.measured.hashes
        cpu_s = laws.search_cpu_s(laws.HASHES, hashes)
        wall_s = laws.search_wall_s(laws.HASHES, cpu_s, self.machine.cores)
        if self.measured.dimensions:
            more = laws.search_cpu_s(laws.DESCRIPTORS, self.samples) * (self.measured.dimensions / laws.NUMBERS)
            cpu_s += more
            wall_s += laws.search_wall_s(laws.DESCRIPTORS, more, self.machine.cores)
        scratch = self.samples * (laws.SCRATCH_A_SAMPLE + laws.SCRATCH_DESCRIPTORS * self.descriptor_bytes)
        scratch += hashes * laws.SCRATCH_A_HASH + self.candidates * laws.SCRATCH_A_CANDIDATE
        stored = self.measured.tables["candidates"].of(1, self.candidates)
        return _stage("candidates", _DRIVER, "searches, as benchmarked", cpu_s, wall_s, stored, scratch)

    def _views(self) -> StagePlan:
        seen = self.samples * self.near.in_doubt
        cpu_s = self.measured.cpu_s.get("views", self.measured.cpu_s["fingerprints"]) * seen
        law = "by the share in doubt"
        return _stage("views", _ALL, law, cpu_s, self.wall_of_all(cpu_s), NOTHING, seen * laws.VIEW)

    def _pairs(self) -> StagePlan:
        asked, seen = self.samples * self.near.asked, self.samples * self.near.in_doubt
        cpu_s = asked * self.measured.geometry_s
        scratch = self.candidates * laws.SCRATCH_A_CANDIDATE + asked * laws.SCRATCH_A_VERIFIED_PAIR
        scratch += seen * laws.SCRATCH_A_SEEN_PICTURE
        stored = self.measured.tables["candidates"].of(1, asked)
        law = "by near pairs, up to full lists"
        return _stage("pairs", _ALL, law, cpu_s, self.wall_of_all(cpu_s), stored, scratch)

    def _over_the_set(self, name: str, stage: str, seconds: float, copies: int = 1) -> StagePlan:
        each = Estimate(seconds, seconds / laws.OTHER_MACHINE, seconds * laws.OTHER_MACHINE)
        cpu_s = each * self.samples
        stored = self.measured.tables[stage].of(self.shards, self.samples) * copies
        return _stage(name, _DRIVER, "proportional, as benchmarked", cpu_s, cpu_s, stored)

    def _output(self, kind: str) -> StagePlan:
        used = 1 - self.measured.quarantined / max(1, self.measured.samples)
        return self._by_shard(kind, make_sink(kind).folder, self.samples * used, "as if nothing were dropped")

    def _report(self) -> StagePlan:
        once = Estimate.exact(self.measured.steps["report"])
        each = laws.REPORT_S * self.samples.value
        cpu_s = once + Estimate(each, each / laws.OTHER_MACHINE, each * laws.OTHER_MACHINE)
        return _stage(
            "report", _DRIVER, "proportional, as benchmarked", cpu_s, cpu_s, Estimate.exact(self.measured.report_bytes)
        )


def _stage(
    name: str,
    where: str,
    law: str,
    cpu_s: Estimate,
    wall_s: Estimate,
    stored: Estimate = NOTHING,
    temporary: Estimate = NOTHING,
) -> StagePlan:
    return StagePlan(name=name, where=where, law=law, cpu_s=cpu_s, wall_s=wall_s, stored=stored, temporary=temporary)


def most_on_disk(stages: Sequence[StagePlan]) -> Estimate:
    """The most bytes at once: what earlier stages stored, and what one has beside that."""
    before, most, views = NOTHING, NOTHING, NOTHING
    for stage in stages:
        before += stage.stored
        most = larger(most, before + stage.temporary + views)
        views = stage.temporary if stage.name == "views" else NOTHING  # they stay until pairs are made
    return most
