"""Output formats, by the name a recipe calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedupkit.errors import UsageError
from dedupkit.sinks.arrow import ArrowSink
from dedupkit.sinks.mds import MdsSink
from dedupkit.sinks.parquet import ParquetSink
from dedupkit.sinks.webdataset import WebDatasetSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from dedupkit.sinks.base import Sink

FORMATS: dict[str, Callable[[], Sink]] = {
    "arrow": ArrowSink,
    "parquet": ParquetSink,
    "webdataset": WebDatasetSink,
    "mds": MdsSink,
}


def make_sink(format: str) -> Sink:
    """The sink of an output format.

    Raises
    ------
    UsageError
        If there is no such format.

    Examples
    --------
    >>> make_sink("arrow").folder
    'dataset'
    """
    if format not in FORMATS:
        raise UsageError(f"output format must be one of {', '.join(FORMATS)}, got {format!r}")
    return FORMATS[format]()
