"""Where samples come from: folders, tars, tables and Python iterables, all behind one contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dedupkit.sources.base import Shard, Source

if TYPE_CHECKING:
    from dedupkit.sources.opening import open_source
    from dedupkit.sources.spooling import spool

__all__ = ["Shard", "Source", "open_source", "spool"]


def __getattr__(name: str) -> Any:  # readers need pyarrow and fsspec; `import dedupkit.sources` does not
    if name == "open_source":
        from dedupkit.sources.opening import open_source

        return open_source
    if name == "spool":
        from dedupkit.sources.spooling import spool

        return spool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
