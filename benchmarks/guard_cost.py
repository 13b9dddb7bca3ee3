"""What does it cost on clean data that a run is watched, and begun again when a sample takes it down?

    python benchmarks/guard_cost.py SOURCE [--preset fast] [--rounds 10]

Whole runs of the command line in processes of their own, in turns: as it is, in a process that another one watches and
that notes what it is at, and with DEDUPKIT_SUPERVISE=0, in one process that notes nothing.  Of each round the ratio
counts, so that what else the machine does weighs on both; which one goes first changes from round to round.  The
interval of the median is that of its order statistics: the binomial distribution says how many of the ratios are below.
What whole runs cannot tell from the machine's noise is measured by itself: the note of one sample, taken and ended.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from measure import DEDUPKIT, RESULTS, ROOT, Measured, environment, measure
from scipy.stats import binom

CONFIDENCE = 0.95
NOTES, TRIES = 20_000, 10


def run(source: str, preset: str, guarded: bool) -> Measured:
    """One whole run."""
    os.environ["DEDUPKIT_SUPERVISE"] = "1" if guarded else "0"
    with tempfile.TemporaryDirectory() as out:
        command = (*DEDUPKIT, "clean", source, f"{out}/clean", "--preset", preset, "--workers", "1")
        return measure(command, sample_memory=False)


def interval(ratios: list[float]) -> dict[str, float]:
    """Median of the ratios, and what it lies between."""
    ordered, count = sorted(ratios), len(ratios)
    below = max(0, int(binom.ppf((1 - CONFIDENCE) / 2, count, 0.5)) - 1)
    return {"median": median(ratios), "low": ordered[below], "high": ordered[count - 1 - below]}


def note_us() -> float:
    """Microseconds of processor time that a note of a sample takes, more than none takes."""
    sys.path.insert(0, str(ROOT))
    from dedupkit.guard.recorder import keep_notes, looking

    def least() -> float:
        taken = []
        for _ in range(TRIES):
            began = time.process_time()
            for _ in range(NOTES):
                with looking(60.0):
                    pass
            taken.append(time.process_time() - began)
        return min(taken) / NOTES * 1e6

    without = least()
    with tempfile.TemporaryDirectory() as folder:
        keep_notes(Path(folder))
        return least() - without


def samples_in(source: str) -> int:
    """How many samples a source has."""
    from dedupkit.sources import open_source

    opened = open_source(source)
    return sum(1 for shard in opened.shards() for _ in opened.read(shard))


def main() -> None:
    """Run in turns and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds):
        order = (True, False) if number % 2 else (False, True)
        taken = {guarded: run(options.source, options.preset, guarded) for guarded in order}
        rounds.append(
            {f"{name}_{unit}": getattr(taken[guarded], unit) for guarded, name in ((True, "guarded"), (False, "plain"))
             for unit in ("cpu_s", "wall_s")}
        )  # fmt: skip
        print(json.dumps(rounds[-1]), flush=True)
    ratios = {
        unit: interval([each[f"guarded_{unit}"] / each[f"plain_{unit}"] for each in rounds])
        for unit in ("cpu_s", "wall_s")
    }
    note, sample = note_us(), min(each["plain_cpu_s"] for each in rounds) / samples_in(options.source) * 1e6
    result = {
        "environment": environment(("pillow", "numpy")),
        "preset": options.preset,
        "note_us": note,
        "sample_us": sample,
        "ratios": ratios,
        "rounds": rounds,
    }
    (RESULTS / "guard_cost.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(ratios, indent=1))


if __name__ == "__main__":
    main()
