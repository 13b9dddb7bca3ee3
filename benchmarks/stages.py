"""Where does the time of `dedupkit clean` go, by stage, preset and cores?

    python benchmarks/stages.py SOURCE [--many train.parquet] [--rounds 3]

SOURCE, about 2,000 pictures, goes through `clean` in processes of their own that may use one core or two.  A stage's
time is that from the last news of the stage before it to its own last news; of the rounds the one of least time counts,
as what else the machine does can only add to it.  With --many, a table of so many small pictures goes through the
preset fast, for the steps over the whole set, whose share in a small one is that of their imports.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import RESULTS, environment, measure
from scale_tables import stages_table

if TYPE_CHECKING:
    from dedupkit.parts import Progress

OVER_THE_SET = ("decisions", "captions over the set", "report")


class Stopwatch:
    """Notes when each stage was last heard of."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[float, float]] = {"start": (time.perf_counter(), time.process_time())}

    def heard(self, progress: Progress) -> None:
        """Of a stage."""
        self.last[progress.stage] = time.perf_counter(), time.process_time()

    def stages(self) -> list[dict[str, Any]]:
        """Seconds of each, by the clock and of the processors."""
        found, before = [], self.last["start"]
        for name, now in [*[*self.last.items()][1:], ("report", (time.perf_counter(), time.process_time()))]:
            found.append({"stage": name, "wall_s": round(now[0] - before[0], 3), "cpu_s": round(now[1] - before[1], 3)})
            before = now
        return found


def one(arguments: argparse.Namespace) -> dict[str, Any]:
    """A run in this process."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: arguments.cores]))
    import dedupkit
    from dedupkit.engines.allocator import keep_freed_memory

    keep_freed_memory()
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as out:
        recipe = dedupkit.Recipe(preset=arguments.preset)
        result = dedupkit.clean(arguments.source, f"{out}/clean", recipe=recipe, workers=1, progress=watch.heard)
    return {"images": result.summary["samples"]["in"], "stages": watch.stages()}


def least(source: str, preset: str, cores: int, rounds: int) -> dict[str, Any]:
    """The quickest of some runs in processes of their own."""
    runs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            said = Path(folder, "said.json")
            command = [sys.executable, __file__, source, "--preset", preset, "--cores", str(cores)]
            taken = measure(command, stdout=said, sample_memory=False)
            runs.append(
                json.loads(said.read_text(encoding="utf-8"))
                | {"wall_s": round(taken.wall_s, 2), "cpu_s": round(taken.cpu_s, 2)}
            )
    return {"preset": preset, "cores": cores} | min(runs, key=lambda run: run["cpu_s"])


def over_the_set(run: dict[str, Any]) -> dict[str, float]:
    """Processor seconds a sample of the steps over the whole set."""
    return {
        each["stage"]: float(f"{each['cpu_s'] / run['images']:.3g}")
        for each in run["stages"]
        if each["stage"] in OVER_THE_SET
    }


def main() -> None:
    """Run all and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--many", help="a table of some ten thousand small pictures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "stages.json")
    parser.add_argument("--preset", help=argparse.SUPPRESS)
    parser.add_argument("--cores", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.preset:
        print(json.dumps(one(arguments)))
        return
    load = os.getloadavg()[0]
    runs = []
    for preset in ("fast", "thorough"):
        for cores in (1, 2):
            runs.append(least(arguments.source, preset, cores, arguments.rounds))
            print(json.dumps(runs[-1]), flush=True)
    result: dict[str, Any] = {
        "question": "Where does the time of dedupkit clean go, by stage, preset and cores?",
        "environment": environment(("numpy", "onnxruntime", "opencv-python-headless", "pyarrow")),
        "load": {"before": round(load, 1), "after": 0.0},
        "rounds": arguments.rounds,
        "runs": runs,
    }
    if arguments.many:
        result["many"] = least(arguments.many, "fast", 2, 1)
        result["over_the_set"] = over_the_set(result["many"])
    result["load"]["after"] = round(os.getloadavg()[0], 1)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(stages_table(result))


if __name__ == "__main__":
    main()
