"""Whether the files of a shard are still those that were listed: a run reads each shard twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dedupkit.errors import RunError

if TYPE_CHECKING:
    from dedupkit.sources.base import Shard, Source


def check_unchanged(source: Source, shard: Shard) -> None:
    """Refuse what was read of a shard whose files were written to since they were listed.

    The digests of images are compared one by one; this is about all else that a sample holds.

    Parameters
    ----------
    source : Source
        Also one around another, such as one that leaves out what is blocked.
    shard : Shard
        As that source gave it.

    Raises
    ------
    RunError
        They were.
    """
    plain, inside = _innermost(source, shard)
    has_changed = getattr(plain, "has_changed", None)  # sources without files have none
    if has_changed is not None and has_changed(inside):
        raise changed(shard.name)


def changed(shard: str, key: str | None = None) -> RunError:
    """The error of a shard that is not as it was; with the key of the sample that showed it, where it is known."""
    seen_at = "" if key is None else f" ({key})"
    return RunError(f"{shard} changed while it was read{seen_at}; run again when nobody writes to the source")


def _innermost(source: Any, shard: Shard) -> tuple[Any, Shard]:
    """The source that others were put around, and the shard as that one knows it."""
    while hasattr(source, "source"):
        source = source.source
    while inside := getattr(shard.location, "shard", None) or getattr(shard.location, "inner", None):
        shard = inside
    return source, shard
