"""Is a stream's memory flat, how fast is it, and does it go on from a state as if nothing had happened?

    python benchmarks/streaming.py train.parquet [--samples 200000] [--preset fast] [--max-entries 20000]

Small images out of a Parquet file, one after the other and again from the first, each time with fresh noise, and every
fifth a plain copy of one of the last thousand.  Memory is this process's, read every two thousand samples; the stream
is made by the same process, and its cost is measured alone first.  In the middle a state is taken; a second stream
goes on from it and has to give out the same samples.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import time
from collections import deque
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from measure import RESULTS, environment
from PIL import Image

from dedupkit import Recipe, StreamingDeduplicator

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDE, NOISE = 96, 24.0
COPIED = 5  # one in so many samples
EVERY = 2000


def stream(pictures: list[np.ndarray[Any, Any]], samples: int, start: int = 0) -> Iterator[dict[str, Any]]:
    """Samples from a number on; each depends on its number alone, but for copies, which depend on those before."""
    last: deque[bytes] = deque(maxlen=1000)
    for number in range(max(0, start - 1000 * COPIED), samples):
        rng = np.random.default_rng([7, number])
        if number % COPIED == COPIED - 1 and last:
            data = last[-1 - int(rng.integers(0, min(len(last), 500)))]
        else:
            # another arrangement of four pictures each time: noise alone would leave the hash as it is
            parts = [pictures[place] for place in rng.integers(0, len(pictures), 4)]
            rows = np.vstack([np.hstack(parts[:2]), np.hstack(parts[2:])])
            noisy = np.clip(rows + rng.normal(0, NOISE, rows.shape), 0, 255).astype(np.uint8)
            target = io.BytesIO()
            Image.fromarray(noisy).resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(target, "JPEG", quality=90)
            data = target.getvalue()
            last.append(data)
        if number >= start:
            yield {"key": str(number), "image": data}


def resident_mib() -> float:
    """Memory of this process, Linux."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Pass the stream, go on from its middle, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parquet", type=Path)
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--max-entries", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=RESULTS / "streaming.json")
    options = parser.parse_args()
    rows = itertools.islice(pq.ParquetFile(options.parquet).iter_batches(1000, columns=["image"]), 5)
    encoded = [row["bytes"] for batch in rows for row in batch["image"].to_pylist()]
    pictures = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in encoded]
    begun = time.perf_counter()
    alone = sum(1 for _ in stream(pictures, min(5000, options.samples)))
    making_s = (time.perf_counter() - begun) / alone
    recipe = Recipe.of({"preset": options.preset}, name="benchmark")
    settings: dict[str, Any] = {"recipe": recipe, "max_entries": options.max_entries}
    with TemporaryDirectory(prefix="dedupkit-") as scratch:
        dedup = StreamingDeduplicator(**settings, state=Path(scratch, "state"))
        kept, memory, state, begun = [], [], dedup.state_dict(), time.perf_counter()
        for sample in dedup(stream(pictures, options.samples)):
            kept.append(int(sample["key"]))
            if dedup.seen // EVERY > len(memory):
                memory.append({"samples": dedup.seen, "mib": round(resident_mib(), 1),
                               "s": round(time.perf_counter() - begun, 1)})  # fmt: skip
            if not state["seen"] and dedup.seen >= options.samples // 2:
                state = dedup.state_dict()
        wall_s = time.perf_counter() - begun
        disk_mib = sum(path.stat().st_size for path in Path(scratch, "state").iterdir()) / 2**20
        restored = StreamingDeduplicator(**settings, state=Path(scratch, "state"))
        restored.load_state_dict(state)
        after = [int(sample["key"]) for sample in restored(stream(pictures, options.samples, restored.seen))]
        same = after == [number for number in kept if number >= state["seen"]]
    result = {
        "preset": options.preset,
        "samples": options.samples,
        "max_entries": options.max_entries,
        "kept": dedup.kept,
        "dropped": dict(dedup.dropped),
        "wall_s": round(wall_s, 1),
        "ms_a_sample": round(1000 * wall_s / options.samples, 3),
        "ms_to_make_a_sample": round(1000 * making_s, 3),
        "disk_mib": round(disk_mib, 1),
        "memory": memory,
        "same_after_restoring": same,
    }
    print(json.dumps(result | {"memory": memory[:: max(1, len(memory) // 5)]}))
    written = {"environment": environment(["dedupkit", "numpy", "pillow"]), **result}
    options.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
