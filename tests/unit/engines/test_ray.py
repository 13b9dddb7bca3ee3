"""The engine for clusters, on a Ray of its own with two CPUs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import pytest

from dedupkit.errors import RunError, UsageError

pytest.importorskip("ray")
pytestmark = pytest.mark.extras

_CPUS = 2


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    """Engines use what their process has joined, so all tests share one start."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=_CPUS, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level=40)
    yield
    ray.shutdown()


def engine(**options: Any) -> Any:
    from dedupkit.engines.ray import RayEngine

    return RayEngine(**options)


@pytest.mark.parametrize("count", [0, 1, 2, 60])
def test_every_item_has_its_outcome_once(count: int) -> None:
    found = list(engine().map(lambda item: item * item, range(count)))
    assert sorted(found) == [(item, item * item) for item in range(count)]


def test_outcomes_come_as_tasks_end() -> None:
    def last_first(item: int) -> int:
        time.sleep(1.0 if item == 0 else 0.0)
        return item

    found = [item for item, _ in engine(cpus_a_task=1).map(last_first, range(12))]
    assert sorted(found) == list(range(12))
    assert found[-1] == 0


def test_tasks_run_in_other_processes_with_their_threads() -> None:
    def where(_: int) -> tuple[int, int, list[int], str]:
        import pyarrow as pa
        from threadpoolctl import threadpool_info

        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        return os.getpid(), pa.cpu_count(), blas, os.environ["CUDA_VISIBLE_DEVICES"]

    (_, (pid, arrow, blas, gpus)) = next(engine(cpus_a_task=2).map(where, range(1)))
    assert pid != os.getpid()
    assert arrow == 2
    assert blas
    assert set(blas) == {1}
    assert gpus == ""


def test_tasks_see_the_gpu_that_they_asked_for() -> None:
    seen = engine(gpus_a_task=0.5).map(lambda _: os.environ["CUDA_VISIBLE_DEVICES"], range(4))
    assert {gpus for _, gpus in seen} == {"0"}  # Ray takes our word that there is one


@pytest.mark.parametrize(("cpus", "items", "threads"), [(None, 1, 2), (None, 2, 1), (None, 9, 1), (2, 9, 2), (1, 1, 1)])
def test_fewer_tasks_than_cpus_share_them(cpus: int | None, items: int, threads: int) -> None:
    assert engine(cpus_a_task=cpus).threads_a_task(items) == threads


class _Counted(Sequence[int]):
    """Numbers that know how many of them were taken."""

    def __init__(self, count: int) -> None:
        self.size, self.taken = count, 0

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[int]: ...
    def __getitem__(self, at: int | slice) -> int | Sequence[int]:
        if isinstance(at, slice) or at >= self.size:
            raise IndexError(at)
        self.taken += 1
        return at


def test_only_a_few_tasks_more_than_there_are_slots_are_handed_over() -> None:
    items, ahead = _Counted(80), list[int]()
    for done, _ in enumerate(engine().map(lambda item: item, items), 1):
        ahead.append(items.taken - done)
    assert items.taken == 80
    assert max(ahead) < _CPUS + 2  # two that wait, and the one that has just ended


def test_no_more_run_at_once_than_there_are_cpus_or_than_was_asked_for(tmp_path: Path) -> None:
    def stand(_: int) -> int:
        mine = tmp_path / f"{time.monotonic_ns()}-{os.getpid()}"
        mine.touch()
        seen = len(list(tmp_path.iterdir()))
        time.sleep(0.02)
        mine.unlink()
        return seen

    list(engine().map(stand, range(2)))  # both worker processes have started
    assert max(seen for _, seen in engine().map(stand, range(40))) == _CPUS
    assert max(seen for _, seen in engine(tasks_at_once=1).map(stand, range(20))) == 1


def test_large_items_arrive_whole() -> None:
    items = [bytes([number]) * 3_000_000 for number in range(8)]
    found = dict(engine().map(lambda item: (item[0], len(item)), items))
    assert found == {item: (item[0], 3_000_000) for item in items}


@pytest.mark.parametrize("kind", [UsageError, RunError, ValueError, KeyError])
def test_what_a_task_raises_comes_back_as_itself_and_ends_the_rest(kind: type[Exception], tmp_path: Path) -> None:
    def fail_at_three(item: int) -> int:
        (tmp_path / str(item)).touch()
        if item == 3:
            raise kind("no three")
        time.sleep(0.01)
        return item

    with pytest.raises(kind) as caught:
        list(engine().map(fail_at_three, range(500)))
    assert type(caught.value) is kind
    assert caught.value.args == ("no three",)
    begun = len(list(tmp_path.iterdir()))
    assert begun < 40
    time.sleep(0.2)
    assert len(list(tmp_path.iterdir())) == begun


def test_a_caller_that_stops_ends_the_rest_before_it_goes_on(tmp_path: Path) -> None:
    def write(item: int) -> None:
        with (tmp_path / str(item)).open("a") as out:
            while item:
                out.write("more")
                out.flush()
                time.sleep(0.01)

    outcomes = engine().map(write, range(50))
    assert next(outcomes)[0] == 0
    time.sleep(0.3)
    outcomes.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sum(sizes.values()) > 0
    time.sleep(0.3)
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == sizes


def test_a_task_that_lost_its_worker_is_made_again(tmp_path: Path) -> None:
    def die_once(item: int) -> int:
        flag = tmp_path / str(item)
        if item % 3 == 0 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item + 1

    found = sorted(engine().map(die_once, range(7)))
    assert found == [(item, item + 1) for item in range(7)]
    assert {path.name for path in tmp_path.iterdir()} == {"0", "3", "6"}


def test_a_task_that_kills_every_worker_is_a_run_error_of_one_line(tmp_path: Path) -> None:
    def die(item: int) -> None:
        (tmp_path / str(time.monotonic_ns())).touch()
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RunError, match="run again to go on") as caught:
        list(engine(retries=2).map(die, [0]))
    assert "\n" not in str(caught.value)
    assert len(list(tmp_path.iterdir())) == 3


def test_tasks_are_called_by_their_stage(tmp_path: Path) -> None:
    from functools import partial

    from dedupkit.parts import Part, make_part
    from dedupkit.storage import Folder, Stage

    def name(_: Any, handle: Any) -> dict[str, Any]:
        handle.write(Path("/proc/self/cmdline").read_bytes())
        return {"rows": 1}

    work = Folder(str(tmp_path))
    stage = Stage(work.below("views"), work.below("receipts").below("views"))
    list(engine().map(partial(make_part, stage, name), [Part("00000.parquet", {}, None)]))
    assert (tmp_path / "views" / "00000.parquet").read_bytes().startswith(b"ray::dedupkit views")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"cpus_a_task": 0}, "cpus_a_task must be 1 or more, got 0"),
        ({"gpus_a_task": -1}, "gpus_a_task must be"),
        ({"gpus_a_task": 1.5}, "gpus_a_task must be a whole number"),
        ({"memory_a_task": -1}, "memory_a_task must be in bytes, got -1"),
        ({"tasks_at_once": 0}, "tasks_at_once must be 1 or more, got 0"),
        ({"retries": -1}, "retries must be 0 or more, got -1"),
        ({"address": "ray://host:10001"}, "ray job submit"),
    ],
)
def test_arguments_that_cannot_be_are_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        engine(**options)
