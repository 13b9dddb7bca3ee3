"""The engine for clusters: every item is a task of Ray, made again where a worker or a node was lost."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dedupkit.engines import WorkerDeathError
from dedupkit.engines.budget import LEAST_MEMORY, RESIDENT, byte_count
from dedupkit.engines.cluster import LOOKS_AT_NODES_EVERY_S, Room, TaskNeeds, nodes_with_room
from dedupkit.engines.joining import check_address, join, quiet_ray
from dedupkit.engines.local import MOST_THREADS
from dedupkit.engines.ray_task import Work, look, perform
from dedupkit.engines.reach import Reach
from dedupkit.errors import RunError, UsageError
from dedupkit.plugins import carrying
from dedupkit.storage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from dedupkit.sources.base import Shard, Source
    from dedupkit.storage import Folder

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

_ENDS_WITHIN_S = 5.0


class RayEngine:
    """Runs tasks on a Ray cluster, or on a Ray of its own on this machine.

    Parameters
    ----------
    address : str or None
        The cluster's, as ``10.0.0.5:6379``; "auto" is the one that this machine belongs to, "local" starts one here.
        None takes RAY_ADDRESS, else "auto" if there is one, else "local".  A process that has joined a cluster stays
        where it is.
    cpus_a_task : int or None
        CPUs and threads of a task.  None takes one, and up to four where there are fewer tasks than CPUs.
    gpus_a_task : float
        GPUs of a task; a fraction lets several tasks share one.  A task that asks for none sees none.
    memory_a_task : int or None
        Bytes that Ray sets aside for a task on its node; None sets none aside.
    tasks_at_once : int or None
        At most so many tasks are handed to the cluster; None hands it all it has room for, and a few that wait.
    retries : int
        How often a task is made again whose worker or node was lost.
    memory : int or str, optional
        What this process may take for work over the whole set: bytes, or text such as ``4GiB``.

    Raises
    ------
    UsageError
        Ray is not installed, or an argument cannot be.

    Notes
    -----
    Nothing is shipped: dedupkit has to be installed on all nodes, in the same version, and work folder and source
    have to be seen by all of them; `check_reach` holds them to that.  The result's bytes depend on nothing of this.
    The cluster is joined at first use.  Leaving the ``with`` block leaves it, and ends a Ray that was started here.

    Examples
    --------
    >>> import dedupkit
    >>> from dedupkit.engines.ray import RayEngine
    >>> with RayEngine("10.0.0.5:6379", gpus_a_task=0.25) as engine:  # doctest: +SKIP
    ...     dedupkit.clean("s3://bucket/shards", "s3://bucket/clean", engine=engine)
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        cpus_a_task: int | None = None,
        gpus_a_task: float = 0,
        memory_a_task: int | None = None,
        tasks_at_once: int | None = None,
        retries: int = 3,
        memory: int | str | None = None,
    ) -> None:
        self._needs = TaskNeeds(1 if cpus_a_task is None else cpus_a_task, gpus_a_task, memory_a_task or 0)
        check_address(address or "")
        self._memory = None if memory is None else byte_count("memory", memory, least=LEAST_MEMORY)
        _check(tasks_at_once, retries)
        if find_spec("ray") is None:
            raise UsageError("the engine ray needs Ray, which is missing; pip install 'dedupkit[ray]'")
        self._address, self._cpus, self._most, self._retries = address, cpus_a_task, tasks_at_once, retries
        self._joined = self._started = False
        self._reach: Reach | None = None

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster if it was joined here; a Ray that was started here ends."""
        self._lift()
        if self._joined:
            quiet_ray().shutdown()
        self._joined = self._started = False

    def _lift(self) -> None:
        reach, self._reach = self._reach, None
        if reach is not None:
            with suppress(OSError):  # where the folder cannot be written any more, the run has said so
                reach.lift()

    @property
    def in_this_process(self) -> bool:
        """Whether tasks run in threads of this process."""
        return False

    @property
    def on_this_machine(self) -> bool:
        """Whether all tasks run on this machine: on a Ray that was started here."""
        self._ray()
        return self._started

    def memory_of_set(self) -> int | None:
        """Bytes that work over the whole set may take in this process."""
        return None if self._memory is None else self._memory - RESIDENT

    def threads_a_task(self, items: int) -> int:
        """Threads of one task, which are its CPUs."""
        if self._cpus is not None:
            return self._cpus
        nodes = [node.cpus for node in nodes_with_room(self._ray().nodes(), self._needs)] or [1]
        return max(1, min(MOST_THREADS, min(nodes), sum(nodes) // max(1, items)))

    def check_reach(self, folder: Folder, source: Source, shards: Sequence[Shard]) -> None:
        """Make sure that every node sees what this machine sees; workers look again before their first task.

        Raises
        ------
        UsageError
            A node does not see the work folder or the source, or has other versions of what the bytes depend on.
        """
        ray = self._ray()
        self._lift()
        if self._started:
            return
        self._reach = Reach.laid(folder, source, shards)
        asked = []
        for node in nodes_with_room(ray.nodes(), self._needs):
            there = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node.id, soft=False)
            looking = ray.remote(look).options(num_cpus=0, name="dedupkit reach", scheduling_strategy=there)
            asked.append(looking.remote(self._reach))
        for answer in asked:
            try:
                _outcome(ray, answer)
            except RunError as error:
                if not isinstance(
                    error.__cause__, ray.exceptions.TaskUnschedulableError | ray.exceptions.NodeDiedError
                ):
                    raise  # else the node has left, and who joins looks for himself

    def map(self, task: Callable[[Item], Outcome], items: Sequence[Item]) -> Iterator[tuple[Item, Outcome]]:
        """Run `task` on each item; yields as they end.

        Raises
        ------
        RunError
            A task lost its worker more often than `retries`, or no node has had room for one for minutes.
        """
        if not items:
            return
        ray = self._ray()
        needs = self._needs.with_cpus(self.threads_a_task(len(items)))
        room = Room(ray.nodes, needs, self._most)
        remote = ray.remote(perform).options(
            name=f"dedupkit {_title(task)}", max_retries=self._retries, scheduling_strategy="SPREAD", **needs.options()
        )
        work = ray.put(Work(carrying(task), needs.cpus, needs.gpus > 0, str(Path.cwd()), self._reach))
        rest, waiting = iter(items), dict[Any, Item]()
        try:
            while True:
                waiting |= {remote.remote(work, item): item for item in islice(rest, room.left(len(waiting)))}
                if not waiting:
                    return
                for ended in _ended(ray, list(waiting)):
                    item = waiting.pop(ended)
                    yield item, _outcome(ray, ended, item)
        finally:
            _cancel(ray, list(waiting))

    def _ray(self) -> Any:
        """Ray, having joined its cluster."""
        ray = quiet_ray()
        if not ray.is_initialized():
            self._started = join(ray, self._address)
            self._joined = True
            if self._started and not nodes_with_room(ray.nodes(), self._needs):
                self.close()
                raise UsageError(f"this machine has not {self._needs} for a task; ask for less, or name a cluster")
        return ray


def _check(tasks_at_once: int | None, retries: int) -> None:
    if tasks_at_once is not None and tasks_at_once < 1:
        raise UsageError(
            f"tasks_at_once must be 1 or more, got {tasks_at_once}; leave it out for all there is room for"
        )
    if retries < 0:
        raise UsageError(f"retries must be 0 or more, got {retries}")


def _title(task: Callable[..., Any]) -> str:
    """What people call a task: the name of the stage whose parts it makes."""
    stage = next((given for given in getattr(task, "args", ()) if isinstance(given, Stage)), None)
    return getattr(task, "__name__", "task") if stage is None else stage.receipts.url.rpartition("/")[2]


def _ended(ray: Any, waiting: list[Any]) -> list[Any]:
    """Those tasks that have ended; none if that takes longer than the nodes may go unlooked at."""
    ray.wait(waiting, timeout=LOOKS_AT_NODES_EVERY_S)
    ended: list[Any] = ray.wait(waiting, num_returns=len(waiting), timeout=0)[0]
    return ended


def _outcome(ray: Any, ended: Any, item: Any = None) -> Any:
    try:
        return ray.get(ended)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, MemoryError):
            raise WorkerDeathError("a task had no memory left", [item]) from error
        raise _without_dedupkit(error) or error.cause from error
    except ray.exceptions.RayError as error:
        why = str(error).strip().partition("\n")[0]
        lost = WorkerDeathError(f"a task was lost for good ({why})", [item])
        raise _without_dedupkit(error) or lost from error


def _without_dedupkit(error: Exception) -> UsageError | None:
    """What there is to say where a worker could not even unpack its task."""
    if "No module named 'dedupkit" not in str(error):
        return None
    return UsageError("a node of the cluster has no dedupkit, or another version; install the same on all nodes")


def _cancel(ray: Any, waiting: list[Any]) -> None:
    """End tasks: asked first, so that they clear away what is half written, then killed."""
    for force in (False, True):
        if waiting:
            for task in waiting:
                ray.cancel(task, force=force)
            waiting = ray.wait(waiting, num_returns=len(waiting), timeout=_ENDS_WITHIN_S)[1]
