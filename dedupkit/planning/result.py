"""What a run would take, for people and for machines."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dedupkit.planning.words import bytes_text, count_text, interval_text, time_text

if TYPE_CHECKING:
    from dedupkit.planning.counting import Count
    from dedupkit.planning.estimate import Estimate
    from dedupkit.planning.machines import Machine
    from dedupkit.planning.whole import Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """What one stage takes.

    Attributes
    ----------
    name : str
        Of the stage.
    where : str
        "all cores", or "driver": the machine that the command runs on.
    law : str
        By which it is extrapolated.
    cpu_s, wall_s : Estimate
        Processor seconds, and seconds by the clock on the machines of the plan.
    stored : Estimate
        Bytes that stay in the output folder.
    temporary : Estimate
        Bytes that are removed when the stage ends.
    """

    name: str
    where: str
    law: str
    cpu_s: Estimate
    wall_s: Estimate
    stored: Estimate
    temporary: Estimate


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Plan:
    """What cleaning a set would take.

    Attributes
    ----------
    count : Count
        Samples of the set, and how that is known.
    shards, shards_read, samples_read : int
        Shards of the set; of them read; samples read of those.
    source_bytes : Estimate
        Size of the set.
    read_bytes_per_s : float
        How fast one stream gave the samples, undecoded.
    is_remote : bool
        Whether the source lies on another machine.
    machine : Machine
        What it would run on.
    machines : int
        How many of them.
    stages : tuple of StagePlan
        In their order.
    wall_s : Estimate
        Seconds by the clock of the whole run.
    memory, least_memory : Estimate
        Bytes of the driver's memory, without a limit, and with the least ``--memory`` that would do.
    disk : Estimate
        The most bytes in the output folder at once, scratch files included.
    stored : Estimate
        Bytes in the output folder at the end.
    network : Estimate
        Bytes that are read of the source, and written.
    cost : Estimate or None
        In the currency of the machine's price; None where that is not known.
    warnings : tuple of str
        What does not suffice, each with the remedy.
    unknown : tuple of str
        What a sample cannot tell.
    basis : Basis
        What `again` makes other plans of.
    """

    count: Count
    shards: int
    shards_read: int
    samples_read: int
    source_bytes: Estimate
    read_bytes_per_s: float
    is_remote: bool
    machine: Machine
    machines: int
    stages: tuple[StagePlan, ...]
    wall_s: Estimate
    memory: Estimate
    least_memory: Estimate
    disk: Estimate
    stored: Estimate
    network: Estimate
    cost: Estimate | None
    warnings: tuple[str, ...]
    unknown: tuple[str, ...]
    basis: Basis = field(repr=False, compare=False)

    def again(
        self, *, rows: int | None = None, machine: Machine | str | None = None, machines: int | None = None
    ) -> Plan:
        """The plan for another size or other machines, out of the same measurements.

        Parameters
        ----------
        rows : int, optional
            Samples of the set; as it was counted if left out.
        machine : Machine or str, optional
            What it would run on; as before if left out.
        machines : int, optional
            How many; as before if left out.

        Raises
        ------
        UsageError
            Of an argument that cannot be.
        """
        from dedupkit.planning.machines import Machine
        from dedupkit.planning.whole import check_size, whole

        check_size(rows, machines)
        where = Machine.of(machine) if isinstance(machine, str) else machine or self.machine
        return whole(self.basis, rows, where, machines or self.machines)

    @property
    def limit(self) -> StagePlan:
        """The stage that takes the most time by the clock."""
        return max(self.stages, key=lambda stage: stage.wall_s.value)

    def _repr_html_(self) -> str:
        from dedupkit.notebook.numbers import of_plan

        return of_plan(self).html()

    def __repr__(self) -> str:
        from dedupkit.notebook.numbers import of_plan

        return of_plan(self).text()

    def to_json(self) -> dict[str, Any]:
        """All numbers: estimates as value, low and high; seconds, bytes."""
        shown = replace(self, basis=None)  # type: ignore[arg-type]
        numbers = asdict(shown) | {"limit": self.limit.name}
        del numbers["basis"]
        return numbers

    def text(self) -> str:
        """A table by stage, totals, warnings, and what is not known, to print."""
        from rich.console import Console

        console = Console(file=io.StringIO(), width=130, highlight=False)
        console.print(self._head())
        console.print(self._table())
        for line in self._totals():
            console.print(line, markup=False)
        for title, lines in (("warning", self.warnings), ("not known", self.unknown)):
            for line in lines:
                console.print(f"{title}: {line}", markup=False)
        return str(console.file.getvalue()).rstrip()  # type: ignore[attr-defined]

    def _head(self) -> str:
        machines = f"{self.machines} machines of " if self.machines > 1 else ""
        return (
            f"{interval_text(self.count.samples, count_text)} samples ({self.count.by}), "
            f"{interval_text(self.source_bytes, bytes_text)} in {self.shards:,} shards; "
            f"{self.samples_read:,} samples of {self.shards_read} shards cleaned to find out\n"
            f"on {machines}{self.machine.cores} cores, {bytes_text(self.machine.memory_bytes)} memory, "
            f"{bytes_text(self.machine.disk_bytes)} free disk"
        )

    def _table(self) -> Any:
        from rich.table import Column, Table

        right = [
            Column(name, justify="right", no_wrap=True) for name in ("processor time", "time", "stored", "meanwhile")
        ]
        table = Table("stage", *right, "where", "extrapolated")
        for stage in self.stages:
            table.add_row(
                stage.name + (" *" if stage is self.limit else ""),
                interval_text(stage.cpu_s, time_text, "\n"),
                interval_text(stage.wall_s, time_text, "\n"),
                interval_text(stage.stored, bytes_text, "\n"),
                interval_text(stage.temporary, bytes_text, "\n"),
                stage.where,
                stage.law,
            )
        return table

    def _totals(self) -> list[str]:
        lines = [
            f"* the stage that limits: {self.limit.name}",
            f"time: {interval_text(self.wall_s, time_text)}",
            f"memory of the driver: {interval_text(self.memory, bytes_text)}; with --memory no less than "
            f"{interval_text(self.least_memory, bytes_text)}",
            f"disk: {interval_text(self.disk, bytes_text)} at most at once, "
            f"{interval_text(self.stored, bytes_text)} at the end",
            f"read and written: {interval_text(self.network, bytes_text)}",
        ]
        if self.is_remote:
            lines.append(f"one stream read {bytes_text(self.read_bytes_per_s)}/s of the source")
        if self.cost is not None:
            lines.append(f"cost: {interval_text(self.cost, lambda amount: f'{amount:,.2f}')}")
        return lines
