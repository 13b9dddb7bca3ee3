"""``[output]``: what is written."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from dedupkit.errors import did_you_mean
from dedupkit.plugins import SINKS
from dedupkit.recipe.part import RecipePart


class Output(RecipePart):
    """What is written besides decisions and report.

    Attributes
    ----------
    formats : tuple of "arrow", "parquet", "webdataset", "mds", "list" or the name of a sink
        Each goes to a folder of its own: ``dataset/`` (for ``datasets.load_from_disk``), ``parquet/`` (ready
        for the Hub), ``webdataset/``, ``mds/`` (for ``streaming.StreamingDataset``), ``list/``.  A source
        without images has "list" alone, which is its default: its rows that stay, with all their columns, in
        Parquet.  A sink of your own (docs/extending.md) has a folder of its name.
    """

    formats: tuple[Literal["arrow", "parquet", "webdataset", "mds", "list"] | str, ...] = ("arrow",)

    @field_validator("formats")
    @classmethod
    def _formats_are_named_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"must name at least one format, each once, got {list(value)}")
        if unknown := next((each for each in value if each != "list" and each not in SINKS), None):
            known = (*SINKS.names(), "list")
            raise ValueError(f"{did_you_mean(unknown, known)}must be some of {', '.join(known)}, got {unknown!r}")
        return value
