"""How many tasks a cluster has room for, as its nodes come and go; no Ray needed."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from dedupkit.engines import cluster
from dedupkit.engines.cluster import Room, TaskNeeds, nodes_with_room
from dedupkit.errors import RunError


def node(name: str, *, alive: bool = True, **resources: float) -> dict[str, Any]:
    """As `ray.nodes` describes one."""
    return {"NodeID": name, "NodeManagerHostname": f"host-{name}", "Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("needs", "resources", "tasks"),
    [
        (TaskNeeds(), {"CPU": 4.0}, 4),
        (TaskNeeds(3), {"CPU": 8.0}, 2),
        (TaskNeeds(1, 0.25), {"CPU": 16.0, "GPU": 2.0}, 8),
        (TaskNeeds(1, 0.1), {"CPU": 16.0, "GPU": 1.0}, 10),
        (TaskNeeds(1, 1), {"CPU": 16.0}, 0),
        (TaskNeeds(2, 0, 3 << 30), {"CPU": 16.0, "memory": float(10 << 30)}, 3),
        (TaskNeeds(), {"GPU": 1.0}, 0),
    ],
)
def test_a_node_takes_as_many_tasks_as_its_scarcest_resource_allows(
    needs: TaskNeeds, resources: dict[str, float], tasks: int
) -> None:
    assert needs.fitting(resources) == tasks


def test_dead_nodes_and_nodes_that_are_too_small_take_none() -> None:
    listed = [node("a", CPU=4.0), node("b", alive=False, CPU=4.0), node("c", CPU=1.0), node("d")]
    assert [(each.id, each.cpus, each.slots) for each in nodes_with_room(listed, TaskNeeds(2))] == [("a", 4, 2)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until its only number is changed."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_room_follows_nodes_that_come_and_go(clock: list[float]) -> None:
    nodes = [node("a", CPU=4.0)]
    room = Room(lambda: nodes, TaskNeeds(), None)
    assert room.left(0) == 4 + 2
    assert room.left(5) == 1
    nodes.append(node("b", CPU=36.0))
    clock[0] += cluster.LOOKS_AT_NODES_EVERY_S
    assert room.left(6) == 40 + 20 - 6
    nodes.pop()
    clock[0] += cluster.LOOKS_AT_NODES_EVERY_S
    assert room.left(60) == 0
    assert room.left(3) == 3


def test_room_is_no_more_than_was_asked_for(clock: list[float]) -> None:
    room = Room(lambda: [node("a", CPU=64.0)], TaskNeeds(), 3)
    assert [room.left(waiting) for waiting in range(5)] == [3, 2, 1, 0, 0]


def test_a_cluster_without_a_fitting_node_is_waited_for_and_then_given_up(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [node("a", CPU=4.0)]
    room = Room(lambda: nodes, TaskNeeds(1, 0.5), None)
    with caplog.at_level(logging.WARNING, "dedupkit"):
        assert room.left(0) == 2  # work that an autoscaler sees
        clock[0] += 200
        assert room.left(2) == 0
    assert len(caplog.records) == 1
    nodes[0] = node("b", CPU=4.0, GPU=1.0)
    clock[0] += 200
    assert room.left(2) == 2
    nodes.clear()
    clock[0] += 1
    assert room.left(4) == 0
    clock[0] += 301
    with pytest.raises(RunError, match=r"no node of the cluster has had 1 CPUs, 0\.5 GPUs .* gpus_a_task"):
        room.left(4)
