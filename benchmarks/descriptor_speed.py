"""How many images a second does one core describe, decode included, beside SSCD distilled?

    python benchmarks/descriptor_speed.py FOLDER [--other NAME=FILE.onnx?side=N ...] [--images 600] [--rounds 3]

Each network gets the images of a folder as the fingerprints stage hands them over: one decode to the scale that the
network needs, squeezed to its side, four pictures at a time, one thread.  The networks take turns.  Hashes are left
out, which both would need.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from measure import RESULTS, environment

from dedupkit.fingerprints.decode import Decoded, decode
from dedupkit.fingerprints.descriptors import open_describer
from dedupkit.fingerprints.descriptors.base import squeezed
from dedupkit.recipe import Limits

if TYPE_CHECKING:
    from dedupkit.fingerprints.descriptors.base import Describer

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
BATCH = 4


def timed(describer: Describer, images: list[bytes]) -> tuple[float, float]:
    """Seconds of decoding and squeezing, and of the network."""
    started, limits, squares = time.perf_counter(), Limits(), []
    for data in images:
        decoded = decode(data, limits, min_side=describer.side, colour=True)
        if isinstance(decoded, Decoded) and decoded.colour is not None:
            squares.append(squeezed(decoded.colour, describer.side))
    between = time.perf_counter()
    for start in range(0, len(squares), BATCH):
        describer.describe(np.stack(squares[start : start + BATCH]))
    return between - started, time.perf_counter() - between


def main() -> None:
    """Time all networks in turns and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--other", action="append", default=[], metavar="NAME=FILE", help="as a recipe names it")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "descriptor_speed.json")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    files = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = np.random.default_rng(0).permutation(len(files))[: arguments.images]
    images = [files[each].read_bytes() for each in chosen]
    named = {"dedupkit": "dedupkit", **dict(each.split("=", 1) for each in arguments.other)}
    describers = {name: open_describer(file) for name, file in named.items()}
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in describers}
    for _ in range(arguments.rounds):
        for name, describer in describers.items():
            rounds[name].append(timed(describer, images))
    tools: list[dict[str, Any]] = []
    for name, taken in rounds.items():
        decode_s, network_s = (statistics.median(each) for each in zip(*taken, strict=True))
        tools.append(
            {
                "name": name,
                "side": describers[name].side,
                "images_per_s": round(len(images) / (decode_s + network_s), 1),
                "decode_ms": round(decode_s / len(images) * 1e3, 3),
                "network_ms": round(network_s / len(images) * 1e3, 3),
            }
        )
        print(json.dumps(tools[-1]))
    result = {
        "question": "How many images a second does one core describe, decode included, beside SSCD distilled?",
        "environment": environment(("onnxruntime", "simplejpeg", "pillow", "opencv-python-headless")),
        "images": len(images),
        "bytes": sum(map(len, images)),
        "rounds": arguments.rounds,
        "tools": tools,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
