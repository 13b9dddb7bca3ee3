"""What do the checks of pictures, stripping and caption cleaning add to `clean --preset fast`?

    python benchmarks/hygiene_cost.py SOURCE [--rounds 5]

Whole runs in processes of their own, in turns: all on; and with one of the three, or all, taken out: measures that
measure nothing, images copied as they are, captions taken as they are.  The least processor time of all rounds
is compared, as what else the machine does can only add to it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import RESULTS, environment, measure

PARTS = ("measures", "strip", "captions")
RUNS = ((), *((part,) for part in PARTS), PARTS)


def take_out(parts: tuple[str, ...]) -> None:
    """Make some parts of this process do nothing."""
    import pyarrow as pa

    from dedupkit.fingerprints import stage as fingerprinting
    from dedupkit.hygiene import captions
    from dedupkit.hygiene.measures import Measures
    from dedupkit.sinks import stage as emitting

    if "measures" in parts:
        fingerprinting.measured = lambda gray: Measures(0, 255, 0.0)
    if "strip" in parts:
        emitting.without_metadata = lambda image: image
    if "captions" in parts:

        def as_they_are(_: Any, column: pa.ChunkedArray) -> pa.Table:
            empty = pa.array([[]] * len(column), captions.CLEANED.field("found").type)
            return pa.table([column, empty, pa.nulls(len(column), pa.string())], schema=captions.CLEANED)

        captions.CaptionCleaner.clean_all = as_they_are


def run(source: str, parts: tuple[str, ...]) -> float:
    """CPU seconds of a run without some parts."""
    with tempfile.TemporaryDirectory() as out:
        taken = measure([sys.executable, __file__, source, "--into", f"{out}/clean", "--without", ",".join(parts)])
    return taken.cpu_s


def main() -> None:
    """Run in turns and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "hygiene_cost.json")
    parser.add_argument("--into", help=argparse.SUPPRESS)
    parser.add_argument("--without", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.into:
        import dedupkit

        take_out(tuple(arguments.without.split(",")))
        result = dedupkit.clean(arguments.source, arguments.into, recipe=dedupkit.Recipe(preset="fast"), workers=1)
        print(json.dumps(result.summary["samples"]))
        return
    taken: dict[tuple[str, ...], list[float]] = {parts: [] for parts in RUNS}
    for _ in range(arguments.rounds):
        for parts, seconds in taken.items():
            seconds.append(run(arguments.source, parts))
    least = {parts: min(seconds) for parts, seconds in taken.items()}
    bare = least[PARTS]
    result = {
        "question": "What do checks, stripping and caption cleaning add to clean --preset fast?",
        "environment": environment(("numpy", "pillow", "pyarrow")),
        "rounds": arguments.rounds,
        "cpu_s": {"without " + " ".join(parts) if parts else "all": round(each, 2) for parts, each in least.items()},
        "adds": {part: round((least[()] - least[(part,)]) / bare, 4) for part in PARTS},
        "adds_in_all": round(least[()] / bare - 1, 4),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
