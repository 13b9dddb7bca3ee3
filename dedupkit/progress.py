"""The progress bar on a terminal: a line a stage, samples a second, time left."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from types import TracebackType

    from dedupkit.parts import Progress as Step


class ProgressBar:
    """Shows the steps of a run on stderr, and the log above them."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False)
        self._bars = Progress(
            TextColumn("{task.description:<13}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>16}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        logging.getLogger("dedupkit").addHandler(self._handler)
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        logging.getLogger("dedupkit").removeHandler(self._handler)

    def show(self, step: Step) -> None:
        """Draw how far a stage is."""
        if step.stage not in self._tasks:
            self._tasks[step.stage] = self._bars.add_task(step.stage, total=step.all_parts, rate="")
        task = self._tasks[step.stage]
        elapsed = self._bars.tasks[task].elapsed or 0.0
        rate = f"{step.samples / elapsed:,.0f} samples/s" if step.samples and elapsed else ""
        self._bars.update(task, completed=step.parts, total=step.all_parts, rate=rate)
