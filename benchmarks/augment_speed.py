"""How many images a second are augmented and encoded anew on two cores, and what does each encoding leave of the noise?

    python benchmarks/augment_speed.py FOLDER [--images 200] [--threads 2] [--rounds 5]

Photos of a folder, resized to the area of 400 x 400 pixels and encoded as JPEG of quality 90, go through
`Augmenter.materialised` with the preset "paper", in threads.  Decoding, augmentation and encoding are also timed one by
one, on one thread, in its processor time.  The noise is measured on levels between 50 and 205, which it does not move
out of range, in the pixels themselves and after each encoding.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from measure import RESULTS, environment
from PIL import Image

from dedupkit.mitigation.augment import Augmenter
from dedupkit.mitigation.encoding import encoded, opened
from dedupkit.recipe import Augment, Limits
from dedupkit.sinks.base import KeptSample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
PIXELS = 400 * 400
SIGMA = 10.0
ENCODINGS = (("png", 95), ("jpeg", 98), ("jpeg", 95), ("jpeg", 85), ("webp", 95))


def photo(path: Path) -> KeptSample:
    """The photo of a file at the size that is timed."""
    image = Image.open(path).convert("RGB")
    scale = (PIXELS / (image.width * image.height)) ** 0.5
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=90)
    return KeptSample(path.name, buffer.getvalue(), "jpeg", None, image.width, image.height, 1, {})


def whole(augmenter: Augmenter, samples: Sequence[KeptSample], threads: int) -> tuple[float, float]:
    """Images a second by the clock, and processor time an image in milliseconds, all threads together."""
    with ThreadPoolExecutor(threads) as pool:
        started, used = time.perf_counter(), time.process_time()
        list(pool.map(augmenter.materialised, samples))
        used = time.process_time() - used
        return len(samples) / (time.perf_counter() - started), used / len(samples) * 1e3


def stages_ms(augmenter: Augmenter, samples: Sequence[KeptSample]) -> dict[str, float]:
    """Processor time an image of each step on one thread."""

    def timed(step: Callable[[Any], Any], items: Sequence[Any]) -> tuple[list[Any], float]:
        started = time.thread_time()
        done = [step(item) for item in items]
        return done, (time.thread_time() - started) / len(items) * 1e3

    sources, decode_ms = timed(lambda sample: opened(sample.image, Limits(), sample.key), samples)
    changed, augment_ms = timed(lambda source: augmenter.pixels(source.pixels, "a"), sources)
    found = {"decode_ms": decode_ms, "augment_ms": augment_ms}
    for kind in ("jpeg", "png", "webp"):
        found[f"encode_{kind}_ms"] = timed(lambda pixels, kind=kind: encoded(pixels, kind, 95), changed)[1]
    return found


def noise_found(samples: Sequence[KeptSample]) -> list[dict[str, Any]]:
    """Standard deviation of the change where 10 levels were asked: the median and the farthest of the photos."""
    augmenter, found = Augmenter(Augment(noise_sigma=SIGMA), seed=0), []
    originals = [opened(sample.image, Limits(), sample.key).pixels for sample in samples]
    noisy = [augmenter.pixels(pixels, sample.key) for pixels, sample in zip(originals, samples, strict=True)]
    for kind, quality in (("none", 0), *ENCODINGS):
        spreads, sizes = [], []
        for before, after in zip(originals, noisy, strict=True):
            data = b"" if kind == "none" else encoded(after, kind, quality)[0]
            shown = opened(data, Limits(), kind).pixels if data else after
            inside = (before >= 5 * SIGMA) & (before <= 255 - 5 * SIGMA)
            if inside.sum() >= PIXELS // 2:
                spreads.append(float((shown.astype(float) - before)[inside].std()))
                sizes.append(len(data))
        found.append(
            {
                "encoding": kind,
                "quality": quality or None,
                "photos": len(spreads),
                "sigma": round(statistics.median(spreads), 3),
                "farthest": round(max(spreads, key=lambda each: abs(each - SIGMA)), 3),
                "kib": round(statistics.mean(sizes) / 1024, 1),
            }
        )
    return found


def main() -> None:
    """Time, measure, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "augment_speed.json")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    load = os.getloadavg()[0]  # others on the machine slow the clock's figure, not the processor's
    files = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = np.random.default_rng(0).permutation(len(files))[: arguments.images]
    samples = [photo(files[each]) for each in chosen]
    augmenter = Augmenter(Augment(preset="paper"), seed=0)
    augmenter.materialised(samples[0])  # imports, and makes the table of noise
    rounds = [whole(augmenter, samples, arguments.threads) for _ in range(arguments.rounds)]
    rates, used_ms = zip(*rounds, strict=True)
    stages = [stages_ms(augmenter, samples) for _ in range(arguments.rounds)]
    result = {
        "question": "How many images a second are augmented on two cores, and what does each encoding leave of it?",
        "environment": environment(("albumentations", "numpy", "opencv-python-headless", "pillow", "simplejpeg")),
        "images": len(samples),
        "pixels": PIXELS,
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "load_before": round(load, 2),
        "images_per_s": {"median": round(statistics.median(rates), 1), "best": round(max(rates), 1)},
        "processor_ms": round(statistics.median(used_ms), 3),
        "stages": {name: round(statistics.median(each[name] for each in stages), 3) for name in stages[0]},
        "source_kib": round(statistics.mean(len(sample.image) for sample in samples) / 1024, 1),
        "noise_asked": SIGMA,
        "noise": noise_found(samples),
    }
    shown = ("load_before", "images_per_s", "processor_ms", "stages", "source_kib", "noise")
    print(json.dumps({name: result[name] for name in shown}, indent=1))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
