"""The choices of a stream, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dedupkit.streaming.decisions import StreamDecision
    from dedupkit.streaming.inputs import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """What a stream does, as `dedupkit.StreamingDeduplicator` says it.

    Raises
    ------
    UsageError
        One of them cannot be.
    """

    update: bool
    layout: Layout
    max_entries: int
    folder: Path | None
    shared: bool
    again: str
    on_fault: str
    on_decision: Callable[[StreamDecision], None] | None
    batch_samples: int
    max_wait_s: float
    threads: int | None

    def __post_init__(self) -> None:
        for name in ("max_entries", "batch_samples", "threads"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise UsageError(f"{name} must be 1 or more, got {count}; leave it out for what is usual")
        for name, known in (("again", ("drop", "keep")), ("on_fault", ("drop", "keep", "raise"))):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} must be {' or '.join(known)}, got {getattr(self, name)!r}")
        if not self.max_wait_s > 0:
            raise UsageError(f"max_wait_s must be above 0, got {self.max_wait_s}; leave it out for 1 s")
        if self.shared and self.folder is None:
            raise UsageError("shared needs a folder that all processes see; give it as state")
        if self.shared and self.update:
            raise UsageError("update is for one process alone; leave shared out, or add to the index afterwards")

    def place(self, worker: int | None) -> Path | None:
        """The folder, one of its own for each worker unless they share one."""
        if self.folder is None or worker is None or self.shared:
            return self.folder
        return self.folder / f"worker-{worker}"
