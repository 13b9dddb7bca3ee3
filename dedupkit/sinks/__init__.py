"""Output formats, by the name a recipe calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedupkit.errors import UsageError
from dedupkit.outfolder import BROUGHT
from dedupkit.plugins import SINKS
from dedupkit.storage import Stage

if TYPE_CHECKING:
    from dedupkit.sinks.base import Sink
    from dedupkit.storage import Folder

FORMATS = tuple(SINKS.own)
"""Those of the package, whose parts can be read and written again."""


def make_sink(format: str) -> Sink:
    """The sink of an output format.

    Raises
    ------
    UsageError
        If there is no such format, or what a plugin brings as one cannot be made.

    Examples
    --------
    >>> make_sink("arrow").folder
    'dataset'
    """
    if format not in SINKS:
        raise UsageError(f"output format must be one of {', '.join(SINKS.names())}, got {format!r}")
    plugin = SINKS.find(format)
    sink: Sink = plugin.make()
    if SINKS.brings(format) and getattr(sink, "folder", None) != format:
        raise UsageError(f"{plugin.title} must have folder = {format!r}, its name, below which it writes; mend it")
    return sink


def stage_of(format: str, out: Folder, work: Folder) -> Stage:
    """Where the parts of an output format lie, and their receipts; by those a later run knows whose folder it is."""
    folder = make_sink(format).folder
    return Stage(out.below(folder), work.below("receipts").below(BROUGHT + folder if SINKS.brings(format) else folder))
