"""Do 64 processes that ask one index get right answers while somebody adds to it?

    python benchmarks/readers.py [--readers 64] [--minutes 5] [--samples 5000] [--preset fast]

Half of a set of small pictures, as `benchmarks/soak.py` makes it, is built into an index, and the rest is added in
parts while readers ask: each opens the index, asks for pictures drawn by chance, and sees what is new after every
twentieth question.  After each addition the index is copied; when all is over, the right answers to all questions are
found in each copy by one process that nobody disturbs, and every answer that a reader got is held against that of the
state it saw.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import RESULTS, environment
from soak import pictures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.synchronize import Barrier

ASKED, REFRESH_EVERY, ADDITIONS = 100, 20, 8


def answer(index: Any, image: bytes) -> list[tuple[str, str | None]]:
    """What an index says of a picture."""
    return sorted((twin.key, twin.tier) for twin in index.query(image))


def read(place: str, images: Sequence[bytes], seed: int, ready: Barrier, until: Any, told: Path) -> None:
    """Ask until the time is over; what was answered, how long it took, and what went wrong."""
    from dedupkit import Index

    rng, index = np.random.default_rng(seed), Index.open(place)
    answers: dict[str, list[Any]] = {}
    took, errors, changed = list[float](), list[str](), 0
    ready.wait()  # until all have opened it
    ready.wait()  # until the time is set
    while time.time() < until.value:
        number, began = int(rng.integers(len(images))), time.perf_counter()
        asked = f"{index.snapshot.state.generation} {number}"
        try:
            found = answer(index, images[number])
            took.append(time.perf_counter() - began)
            changed += answers.setdefault(asked, found) != found
            if len(took) % REFRESH_EVERY == 0:
                index.refresh()
        except Exception as error:  # noqa: BLE001 - each is counted, none is expected
            errors.append(f"{type(error).__name__}: {error}")
    text = json.dumps({"answers": answers, "took": took, "errors": errors, "changed": changed})
    told.write_text(text, encoding="utf-8")


def measured(scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Build, let them read, add, and compare."""
    from dedupkit import Index, Recipe

    made = list(pictures(options.samples))
    samples = [{"key": f"{number:06d}", "image": data, "caption": ""} for number, data in enumerate(made)]
    half = len(samples) // 2
    place, copies = scratch / "index", scratch / "copies"
    index = Index.build(place, samples[:half], recipe=Recipe.of({"preset": options.preset}, name="readers"), name="set")
    images = [made[int(each)] for each in np.random.default_rng(3).choice(len(made), ASKED, replace=False)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dedupkit.index.kept", "dedupkit.fingerprints.stage", "dedupkit.matching.suspects"])
    ready, until = context.Barrier(options.readers + 1), context.Value("d", 0.0)
    files = [scratch / f"reader-{number}.json" for number in range(options.readers)]
    readers = [
        context.Process(target=read, args=(str(place), images, seed, ready, until, file))
        for seed, file in enumerate(files)
    ]
    for reader in readers:
        reader.start()
    shutil.copytree(place, copies / str(index.snapshot.state.generation), ignore=shutil.ignore_patterns("lock"))
    ready.wait()
    until.value = time.time() + options.minutes * 60
    ready.wait()
    for part in np.array_split(np.arange(half, len(samples)), ADDITIONS):
        index.add([samples[number] for number in part], name="set")
        shutil.copytree(place, copies / str(index.snapshot.state.generation), ignore=shutil.ignore_patterns("lock"))
        time.sleep(max(0, (until.value - time.time()) / (2 * ADDITIONS)))
    for reader in readers:
        reader.join()
    told = [json.loads(file.read_text()) if file.exists() else None for file in files]
    return judged(told, copies, images)


def judged(told: Sequence[dict[str, Any] | None], copies: Path, images: Sequence[bytes]) -> dict[str, Any]:
    """Hold what readers were told against the copies."""
    from dedupkit import Index

    whole = [each for each in told if each is not None]
    right = {f"{copy.name} {number}": answer(Index.open(copy), image)
             for copy in copies.iterdir() for number, image in enumerate(images)}  # fmt: skip
    wrong = sum([tuple(pair) for pair in found] != right.get(asked)
                for each in whole for asked, found in each["answers"].items())  # fmt: skip
    took = 1000 * np.concatenate([each["took"] for each in whole])
    seen = {int(asked.partition(" ")[0]) for each in whole for asked in each["answers"]}
    return {
        "readers_that_ended_well": len(whole),
        "queries": len(took),
        "states_seen": len(seen),
        "wrong_answers": int(wrong) + sum(each["changed"] for each in whole),
        "errors": [error for each in whole for error in each["errors"]][:20],
        "ms": {f"p{share}": round(float(np.percentile(took, share)), 1) for share in (50, 90, 99, 100)},
    }


def main() -> None:
    """Read the options, measure, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--out", type=Path, default=RESULTS / "readers.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="readers-") as scratch:
        found = measured(Path(scratch), options)
    chosen = {"readers": options.readers, "samples": options.samples, "preset": options.preset}
    result = {"environment": environment(("numpy", "pyarrow", "faiss-cpu")), **chosen, **found}
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    raise SystemExit(
        bool(found["errors"] or found["wrong_answers"] or found["readers_that_ended_well"] < options.readers)
    )


if __name__ == "__main__":
    main()
