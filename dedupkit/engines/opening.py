"""Which engine a name stands for, and whether it reaches what a run needs."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dedupkit.engines.local import LocalEngine
from dedupkit.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dedupkit.engines import Engine
    from dedupkit.sources.base import Shard, Source
    from dedupkit.storage import Folder


@contextmanager
def open_engine(
    engine: Engine | str | None,
    *,
    workers: int | None = None,
    address: str | None = None,
    gpus_a_task: float = 0,
    memory: int | str | None = None,
    places: Sequence[Any] = (),
) -> Iterator[Engine]:
    """The engine of a name, closed at the end of the block; one that is given is passed on and left open.

    Parameters
    ----------
    engine : Engine, str or None
        "local", which is also None; "ray"; or an engine.
    workers : int or None
        Worker processes of the local engine; how many tasks at most are with a Ray cluster at once.
    address : str or None
        Of the Ray cluster; see `dedupkit.engines.ray.RayEngine`.
    gpus_a_task : float
        GPUs that each task on the Ray cluster asks for.
    memory : int, str or None
        Bytes, or text such as ``4GiB``: what all processes of the local engine may take; what work over the whole set
        may take in this process, of a run on a cluster.

    places : sequence
        Source and output: what lies in this process's memory is looked at in this process.

    Raises
    ------
    UsageError
        There is none of that name, or it has not what it is given.

    Examples
    --------
    >>> with open_engine("local", workers=2) as engine:
    ...     engine.processes
    2
    """
    if engine == "ray":
        from dedupkit.engines.ray import RayEngine

        with RayEngine(address, gpus_a_task=gpus_a_task, tasks_at_once=workers, memory=memory) as cluster:
            yield cluster
        return
    if address is not None or gpus_a_task:
        raise UsageError("the address of a cluster and GPUs a task are the engine ray's; choose it, or leave them out")
    if engine is None or engine == "local":
        yield LocalEngine(1 if workers is None and _in_memory(tuple(places)) else workers, memory)
        return
    if isinstance(engine, str):
        meant = did_you_mean(engine, ("local", "ray"))
        raise UsageError(f"engine must be local or ray, got {engine!r}; {meant}leave it out for local")
    if workers is not None or memory is not None:
        raise UsageError("workers and memory are of engines that are named; give them to the engine where it is made")
    yield engine


def _in_memory(place: Any) -> bool:
    """Whether a place can be seen by this process alone."""
    if isinstance(place, (list, tuple)):
        return any(map(_in_memory, place))
    named = os.fsdecode(place) if isinstance(place, (str, os.PathLike)) else ""
    protocol, separator, _ = named.partition("://")
    if not separator:
        return False
    from fsspec.registry import known_implementations, registry

    return protocol == "memory" or (protocol in registry and protocol not in known_implementations)


def check_reach(engine: Engine, folder: Folder, source: Source, shards: Sequence[Shard]) -> None:
    """Have an engine of several machines make sure that all of them see the work folder and the source.

    Raises
    ------
    UsageError
        One does not.
    """
    look = getattr(engine, "check_reach", None)  # only engines of several machines have it
    if look is not None:
        look(folder, source, shards)
