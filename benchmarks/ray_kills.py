"""Does a run on Ray end at the bytes of the local engine though its workers are killed all along?

    python benchmarks/ray_kills.py [--minutes 10] [--samples 4000] [--share 0.3] [--preset fast]

A Ray of its own on this machine, two CPUs.  `dedupkit.clean` runs again and again into a new output, and whenever a
part is made, with some probability a worker that is at one of its tasks is killed (SIGKILL): so work goes on, however
slow the machine is, and kills come as long as it does.  All files that the output publishes have to be those of an
undisturbed run of the local engine.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from kills import digests
from measure import RESULTS, environment
from soak import write_source

if TYPE_CHECKING:
    from dedupkit.parts import Progress

RETRIES, IN_A_SHARD = 50, 100
_NAMED = "ray::dedupkit"


class Killer:
    """An observer of progress that kills workers.

    Parameters
    ----------
    share : float
        Probability that the end of a part costs a worker its life.
    seed : int
        Of chance.
    """

    def __init__(self, share: float, seed: int) -> None:
        self.kills, self._share, self._rng = 0, share, np.random.default_rng(seed)

    def __call__(self, progress: Progress) -> None:
        """Kill a worker that is at a task, maybe."""
        if progress.parts == progress.all_parts or self._rng.random() >= self._share:
            return
        busy = _busy()
        if busy:
            os.kill(busy[int(self._rng.integers(len(busy)))], signal.SIGKILL)
            self.kills += 1


def _busy() -> list[int]:
    """Workers of this process's Ray that are at a task of dedupkit."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended in the meantime
            if "".join(process.cmdline()).startswith(_NAMED):
                found.append(process.pid)
    return found


def published(out: Path) -> dict[str, str]:
    """Digests of what is published: all but the work folder."""
    found = digests(str(out))
    return {name: made for name, made in found.items() if not name.startswith(".dedupkit/")}


def measured(scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run, kill, compare."""
    import dedupkit
    from dedupkit import Recipe
    from dedupkit.engines.ray import RayEngine

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    source = write_source(scratch / "source", options.samples, IN_A_SHARD)
    recipe = Recipe.of({"preset": options.preset}, name="kills")
    dedupkit.clean(source, scratch / "local", recipe=recipe)
    whole, different, runs = published(scratch / "local"), set[str](), list[dict[str, Any]]()
    until = time.monotonic() + options.minutes * 60
    while time.monotonic() < until or not runs:
        out = scratch / f"ray-{len(runs)}"
        with RayEngine("local", retries=RETRIES) as engine:
            killer, began = Killer(options.share, len(runs)), time.monotonic()
            dedupkit.clean(source, out, recipe=recipe, engine=engine, progress=killer)
        left = published(out)
        different |= {name for name in whole.keys() | left.keys() if whole.get(name) != left.get(name)}
        runs.append({"s": round(time.monotonic() - began, 1), "kills": killer.kills})
        print(runs[-1], sorted(different), flush=True)
    return {
        "runs": len(runs),
        "kills": sum(run["kills"] for run in runs),
        "files": len(whole),
        "different_files": sorted(different),
        "each_run": runs,
    }


def main() -> None:
    """Read the options, measure, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--out", type=Path, default=RESULTS / "ray_kills.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ray-kills-") as scratch:
        found = measured(Path(scratch), options)
    chosen = {"samples": options.samples, "preset": options.preset, "share": options.share}
    result = {"environment": environment(("ray", "numpy", "pyarrow")), **chosen, **found}
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in result.items() if name != "each_run"}, indent=1))
    raise SystemExit(bool(found["different_files"]))


if __name__ == "__main__":
    main()
