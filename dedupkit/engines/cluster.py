"""What a task needs of a node, which nodes have it, and how many tasks a cluster has room for just now."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dedupkit.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_log = logging.getLogger("dedupkit")

LOOKS_AT_NODES_EVERY_S = 1.0
_WAITS_FOR_A_NODE_S = 300.0  # an autoscaler needs minutes for a machine
_LEAST_QUEUED = 2
_HALVES = 1e-9  # ten tasks of 0.1 GPU fit on one, whatever floating point says


@dataclass(frozen=True, slots=True)
class TaskNeeds:
    """What one task needs of the node that takes it.

    Attributes
    ----------
    cpus : int
        CPUs, which are its threads.
    gpus : float
        GPUs, whole or a fraction of one.
    memory_bytes : int
        Memory; 0 asks for none.
    """

    cpus: int = 1
    gpus: float = 0
    memory_bytes: int = 0

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise UsageError(f"cpus_a_task must be 1 or more, got {self.cpus}; leave it out for one")
        if self.gpus < 0 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise UsageError(f"gpus_a_task must be a whole number or in [0, 1], got {self.gpus}; 0 asks for none")
        if self.memory_bytes < 0:
            raise UsageError(f"memory_a_task must be in bytes, got {self.memory_bytes}; leave it out to ask for none")

    def with_cpus(self, cpus: int) -> TaskNeeds:
        """The same with other CPUs."""
        return replace(self, cpus=cpus)

    def options(self) -> dict[str, Any]:
        """As options of a Ray task."""
        asked: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        return asked | ({"memory": self.memory_bytes} if self.memory_bytes else {})

    def fitting(self, resources: Mapping[str, float]) -> int:
        """How many such tasks a node of these resources takes at once."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_bytes}
        return min(math.floor(resources.get(name, 0) / need + _HALVES) for name, need in needs.items() if need)

    def __str__(self) -> str:
        memory = f" and {self.memory_bytes} bytes" if self.memory_bytes else ""
        return f"{self.cpus} CPUs" + (f", {self.gpus:g} GPUs" if self.gpus else "") + memory


@dataclass(frozen=True, slots=True)
class Node:
    """A node that takes tasks.

    Attributes
    ----------
    id : str
        As Ray calls it.
    host : str
        As people call it.
    cpus : int
        CPUs it has, busy or not.
    slots : int
        How many tasks it takes at once.
    """

    id: str
    host: str
    cpus: int
    slots: int


def nodes_with_room(listed: Iterable[Mapping[str, Any]], needs: TaskNeeds) -> list[Node]:
    """Those nodes of ``ray.nodes()`` that are alive and could take a task if they had nothing else to do."""
    found = []
    for each in listed:
        resources = each["Resources"]
        slots = needs.fitting(resources) if each["Alive"] else 0
        if slots > 0:
            found.append(Node(each["NodeID"], each["NodeManagerHostname"], int(resources.get("CPU", 0)), slots))
    return found


class Room:
    """How many tasks more may be handed to a cluster whose nodes come and go.

    A few more than it has room for, so that no node waits for the driver and an autoscaler sees that there is work;
    not all, so that neither the driver's memory nor the cluster's queue grows with the source.

    Parameters
    ----------
    nodes : callable
        Lists the nodes, as ``ray.nodes``.
    needs : TaskNeeds
        What each task asks for.
    most : int or None
        Never more than so many.
    """

    def __init__(self, nodes: Callable[[], Iterable[Mapping[str, Any]]], needs: TaskNeeds, most: int | None) -> None:
        self._nodes, self._needs, self._most = nodes, needs, most
        self._slots, self._looked = 0, -math.inf
        self._empty_since: float | None = None

    def left(self, waiting: int) -> int:
        """How many tasks may be handed over where so many have not ended.

        Raises
        ------
        RunError
            For minutes no node could have taken a task.
        """
        if time.monotonic() - self._looked >= LOOKS_AT_NODES_EVERY_S:
            self._look()
        limit = self._slots + max(_LEAST_QUEUED, self._slots // 2)
        return max(0, (limit if self._most is None else self._most) - waiting)

    def _look(self) -> None:
        self._looked = time.monotonic()
        self._slots = sum(node.slots for node in nodes_with_room(self._nodes(), self._needs))
        if self._slots:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = self._looked
            _log.warning("no node of the cluster has %s for a task; waiting for one", self._needs)
        elif self._looked - self._empty_since > _WAITS_FOR_A_NODE_S:
            raise RunError(
                f"no node of the cluster has had {self._needs} for a task in {_WAITS_FOR_A_NODE_S:.0f} s; "
                "add one and run again, or ask for less with cpus_a_task, gpus_a_task and memory_a_task"
            )
