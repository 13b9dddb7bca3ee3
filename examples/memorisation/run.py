"""Does cleaning keep a model from learning pictures by heart?  Small diffusion models, trained and audited on a CPU.

    python examples/memorisation/run.py OUT [--small] [--seeds 3] [--data digits] [--side 8]
        [--max-l2 0.05] [--conditional]

For each seed the same real pictures are trained on in three ways: some of them standing up to 64 times ("repeated"),
that set cleaned by dedupkit ("cleaned"), and cleaned with noise and brightness added and canaries planted
("changed").  Then each model is audited.  OUT gets the sets, the models, an audit.html of each, result.json,
tables.md and extracted.svg.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from asking import SETS, Size, train_and_audit
from results import figure, tables
from sets import DIGITS, Pictures, Plan, draw_sets, load, write_set

import dedupkit
from dedupkit._version import __version__
from dedupkit.canaries import make
from dedupkit.errors import UsageError
from dedupkit.recipe import Augment, Canaries, Fingerprints, Hygiene, Matching, Recipe

# Pictures of some 8 to 32 pixels are sharp or blurred as they are, a turned 6 is a 9, and of a PDQ of 256 bits most say
# nothing; 4 of pHash's 64 bits find copies that were encoded anew.
RECIPE = Recipe(
    preset="fast",
    fingerprints=Fingerprints(draft=False),
    hygiene=Hygiene(min_side=1, max_blur=1.0, min_contrast=0, min_brightest=0, max_darkest=255),
    matching=Matching(hash="phash", max_hamming_bits=4, turned=False, min_pdq_quality=0, min_luminance_entropy=0),
)
REPETITIONS = (1, 2, 4, 16, 64)


SIZES = {
    "tiny": Size(
        plan=Plan(pictures=200, controls=60, canaries=10, repetitions=(64,), each=10),
        width=256,
        steps=800,
        generations=256,
        asked=60,
        inpainted=6,
    ),
    "small": Size(
        plan=Plan(pictures=1000, controls=300, canaries=80),
        width=512,
        steps=1800,
        generations=2048,
        asked=300,
        inpainted=60,
    ),
    "full": Size(
        plan=Plan(pictures=1000, controls=300, canaries=80),
        width=512,
        steps=6000,
        generations=16384,
        asked=300,
        inpainted=60,
    ),
}


def main() -> None:
    """Make sets, train, audit, tell."""
    asked = _arguments()
    begun, out, size = time.time(), Path(asked.out), replace(SIZES[asked.size], max_l2=asked.max_l2)
    out.mkdir(parents=True, exist_ok=True)
    pictures = load(asked.data, asked.side, 2 * size.plan.pictures + 2000)
    for seed in range(asked.seeds):
        make_sets(pictures, size.plan, out / f"seed{seed}", seed)
    jobs = [(seed, name) for seed in range(asked.seeds) for name in SETS]
    one = partial(train_and_audit, out=out, size=size, side=asked.side, conditional=asked.conditional, recipe=RECIPE)
    with ProcessPoolExecutor(asked.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        runs = []
        for run in pool.map(one, *zip(*jobs, strict=True)):
            print(f"seed {run['seed']}, {run['set']}: {run['answers']['extraction']}", flush=True)
            runs.append(run)
    result = {
        "asked": {"data": asked.data, "side": asked.side, "conditional": asked.conditional, "size": asked.size},
        "how": asdict(size),
        "machine": _machine(asked.jobs),
        "minutes": (time.time() - begun) / 60,
        "runs": runs,
    }
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "tables.md").write_text(tables(result))
    figure(result, out / "extracted.svg")
    print(f"\n{tables(result)}\nin {result['minutes']:.1f} minutes; {out}/result.json, {out}/extracted.svg")


def make_sets(pictures: Pictures, plan: Plan, folder: Path, seed: int) -> None:
    """The three sets of a seed, and controls."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    members, controls, held_out = draw_sets(pictures, plan, seed)
    source, manifest = str(folder / "repeated.parquet"), str(folder / "changed.canaries.private.json")
    write_set(members, folder / "repeated.parquet", seed, plan.counts())
    write_set(controls, folder / "controls.parquet", seed)
    write_set(held_out, folder / "held_out.parquet", seed)
    dedupkit.clean(source, folder / "cleaned", recipe=RECIPE)
    planted = Canaries(planted=plan.canaries, controls=plan.canaries, kinds=("natural",), repetitions=REPETITIONS)
    make(source, manifest, planted, held_out=str(folder / "held_out.parquet"), recipe=RECIPE)
    changed = RECIPE.model_copy(
        update={
            "seed": seed,
            "augment": Augment(preset="paper"),
            "canaries": planted.model_copy(update={"manifest": manifest}),
        }
    )
    dedupkit.clean(source, folder / "changed", recipe=changed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="folder for all that is made")
    sizes = parser.add_mutually_exclusive_group()
    for name, words in (("tiny", "half a minute, too small to tell much"), ("small", "some 10 minutes on 2 cores")):
        sizes.add_argument(f"--{name}", dest="size", action="store_const", const=name, default="full", help=words)
    parser.add_argument("--seeds", type=int, default=3, help="how often all of it is done, each time anew")
    parser.add_argument("--data", default=DIGITS, help="digits, or anything that dedupkit clean takes")
    parser.add_argument("--side", type=int, help="pixels a side; 8 for digits, else 12")
    parser.add_argument("--max-l2", type=float, default=0.05, help="largest distance of a copy, in (0, 1]")
    parser.add_argument("--conditional", action="store_true", help="the models are told captions, and asked by them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="models trained at a time, one core each")
    asked = parser.parse_args()
    asked.side = asked.side or (8 if asked.data == DIGITS else 12)
    return asked


def _machine(jobs: int) -> dict[str, Any]:
    import torch

    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "jobs": jobs,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "dedupkit": __version__,
    }


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        raise SystemExit(str(error)) from error
