"""What does a cluster cost where it cannot help: the same run on the same two cores, local and on Ray?

    python benchmarks/ray_overhead.py [--shards 60] [--samples 16] [--repeats 3]

Many small tars of the package's example pictures go through the whole of `clean`: by the local engine as it is, by two
worker processes of it, and on clusters of 1, 2 and 3 nodes, all on this machine.  Each cluster has two CPUs in all: one
node of two; two of one; a head that takes no tasks and two of one.  Beside it, tasks that do nothing are timed, which
is what a task costs besides its work.  Each run is a process of its own; the ways take turns, and their medians count.
The machine's load is noted beside each: where it is well above two, others were at work, and only what a task costs
besides its work says much.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tarfile
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import RESULTS, environment, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dedupkit.engines import Engine

CPUS_OF_NODES = {"ray, 1 node": (2,), "ray, 2 nodes": (1, 1), "ray, 3 nodes": (0, 1, 1)}
WAYS = ("local", "local, 2 processes", *CPUS_OF_NODES)
EMPTY_TASKS = 2000


def build(folder: Path, shards: int, samples: int) -> None:
    """Write tars of the example pictures, over and over under new keys."""
    from dedupkit.demo import example_images

    pictures = [path.read_bytes() for path in sorted(example_images().rglob("*.jpg"))]
    folder.mkdir()
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for row in range(samples):
                number = shard * samples + row
                data = pictures[number % len(pictures)]
                member = tarfile.TarInfo(f"{number:08d}.jpg")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@contextmanager
def cluster(cpus: tuple[int, ...]) -> Iterator[str]:
    """The address of a cluster whose nodes have so many CPUs."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    head = {"num_cpus": cpus[0], "include_dashboard": False}
    started: Any = Cluster(initialize_head=True, head_node_args=head)
    try:
        for each in cpus[1:]:
            started.add_node(num_cpus=each)
        yield started.address
    finally:
        started.shutdown()


@contextmanager
def engine_of(way: str, address: str) -> Iterator[Engine]:
    """The engine of a way to run."""
    from dedupkit.engines.opening import open_engine

    if way in CPUS_OF_NODES:
        with open_engine("ray", address=address) as engine:
            yield engine
        return
    with open_engine("local", workers=2 if way.endswith("2 processes") else 1) as engine:
        yield engine


class Counted:
    """An engine that counts the tasks it is given."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.tasks = engine, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)  # all else is the engine's

    def map(self, task: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        self.tasks += len(items)
        return self.engine.map(task, items)


def run_one(way: str, address: str, source: str, out: str) -> dict[str, Any]:
    """One run in this process, its workers started before."""
    import dedupkit

    with engine_of(way, address) as engine:
        began = time.perf_counter()
        list(engine.map(time.sleep, [0.2] * 4))
        ready = time.perf_counter()
        list(engine.map(abs, range(EMPTY_TASKS)))
        emptied = time.perf_counter()
        counted = Counted(engine)
        dedupkit.clean(source, out, engine=counted)
        ended = time.perf_counter()
    return {
        "start_s": round(ready - began, 3),
        "empty_task_ms": round((emptied - ready) * 1000 / EMPTY_TASKS, 3),
        "clean_s": round(ended - emptied, 3),
        "tasks": counted.tasks,
        "load": round(os.getloadavg()[0], 1),
    }


def measured(way: str, address: str, source: Path, scratch: Path) -> dict[str, Any]:
    """One run in a process of its own."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        said = Path(folder, "said.json")
        command = [sys.executable, __file__, "--one", way, "--address", address, "--source", source]
        taken = measure([*command, "--out", Path(folder, "out")], stdout=said, sample_memory=False)
        return json.loads(said.read_text(encoding="utf-8")) | {"wall_s": round(taken.wall_s, 3)}


def median_of(way: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of every number of a way's runs."""
    names = ("start_s", "empty_task_ms", "clean_s", "wall_s", "tasks", "load")
    return {"way": way} | {name: statistics.median(run[name] for run in runs) for name in names}


def all_ways(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every way, in turns."""
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        source = Path(scratch, "shards")
        build(source, arguments.shards, arguments.samples)
        for _ in range(arguments.repeats):
            for way in WAYS:
                if way in CPUS_OF_NODES:
                    with cluster(CPUS_OF_NODES[way]) as address:
                        runs[way].append(measured(way, address, source, Path(scratch)))
                else:
                    runs[way].append(measured(way, "", source, Path(scratch)))
                print(way, json.dumps(runs[way][-1]), flush=True)
    found = [median_of(way, each) for way, each in runs.items()]
    for each in found:
        more_s = each["clean_s"] - found[0]["clean_s"]
        each["more_than_local_ms_a_task"] = round(more_s * 1000 / each["tasks"], 2)
    return found


def main() -> None:
    """Run all ways and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=60)
    parser.add_argument("--samples", type=int, default=16, help="of each shard")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="where shards and outputs may lie for the time of the run")
    parser.add_argument("--out", type=Path, default=RESULTS / "ray_overhead.json", help="the JSON; with --one, OUT")
    parser.add_argument("--one", choices=WAYS, help="run only this, in this process")
    parser.add_argument("--address", default="")
    parser.add_argument("--source", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(run_one(arguments.one, arguments.address, str(arguments.source), str(arguments.out))))
        return
    result = {
        "question": "What does a cluster cost where it cannot help?",
        "environment": environment(("ray", "numpy", "pyarrow", "loky")),
        "shards": arguments.shards,
        "samples_a_shard": arguments.samples,
        "repeats": arguments.repeats,
        "empty_tasks": EMPTY_TASKS,
        "ways": all_ways(arguments),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["ways"], indent=1))


if __name__ == "__main__":
    main()
