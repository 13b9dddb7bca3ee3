"""Hand dedupkit broken files for a while.

    python -m fuzz [--seconds 120] [--seed N] [--kind SORT] [--images N --shards N --small N] [--json FILE]

What must not happen is printed as it is found, the file that does it is kept in tests/corpus, and the exit code is 1.
The same seed makes the same files.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from fuzz import corpus
from fuzz.campaign import SORTS, Tally, campaign

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOREVER = 1 << 40


def main() -> None:
    """Read what is asked for, do it, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, help="no round is begun later; 120, or without end where numbers are given"
    )
    parser.add_argument("--seed", type=int, help="left out, from the clock")
    parser.add_argument("--kind", action="append", choices=sorted(SORTS), help="only this sort; may be repeated")
    for sort in SORTS:
        parser.add_argument(f"--{sort}", type=int, help=f"how many mutated {sort}")
    parser.add_argument("--json", type=Path, help="where the counts are written")
    parser.add_argument("--examples", action="store_true", help="keep the smallest of each kind and outcome as corpus")
    asked = parser.parse_args()
    numbers = {sort: getattr(asked, sort) for sort in SORTS if getattr(asked, sort) is not None}
    seed = asked.seed if asked.seed is not None else time.time_ns() % 1_000_000_000
    print(f"seed {seed}", flush=True)
    wanted = numbers or dict.fromkeys(asked.kind or SORTS, _FOREVER)
    seconds = asked.seconds if asked.seconds is not None else _FOREVER if numbers else 120.0
    began = time.monotonic()
    tally = campaign(seed, seconds, wanted)
    print(text(tally, time.monotonic() - began))
    if asked.examples:
        corpus.keep_examples(tally.examples)
    if asked.json:
        _write(asked.json, tally, time.monotonic() - began)
    sys.exit(bool(tally.found))


def text(tally: Tally, seconds: float) -> str:
    """What was tried and what came of it."""
    lines = [f"seed {tally.seed}, {seconds:.0f} s: " + ", ".join(f"{tally.count(sort):,} {sort}" for sort in SORTS)]
    for sort in SORTS:
        lines += [f"  {sort} {kind}: {_listed(counted)}" for kind, counted in sorted(getattr(tally, sort).items())]
    lines += [f"  left out by the guard: {each}" for each in tally.guarded]
    lines += [f"{len(tally.found)} found"]
    return "\n".join(lines)


def _listed(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counted.items(), key=lambda each: -each[1]))


def _write(place: Path, tally: Tally, seconds: float) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
    environment = import_module("measure").environment(["pillow", "pyarrow", "simplejpeg"])
    about = {"environment": environment, "seconds": round(seconds)}
    place.write_text(json.dumps(about | tally.to_json(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
