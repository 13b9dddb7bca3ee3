"""A folder of distractors: pictures that are no copies of a benchmark's, to hide it among.

    python benchmarks/distractors.py OUT SOURCE... [--count 100000] [--tiles FOLDER]

Each SOURCE is anything that dedupkit reads; its images are written as they stand.  What is missing to the count is cut
out of the large pictures of the folder of --tiles, 224 pixels a side, at random places.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

from dedupkit.sources import open_source

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
TILE = 224


def copied(out: Path, sources: list[str], count: int) -> int:
    """Write the images of all sources; how many there were."""
    written = 0
    for number, name in enumerate(sources):
        folder = out / f"{number:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        source = open_source(name)
        for shard in source.shards():
            for sample in source.read(shard):
                if sample.image is None or written == count:
                    continue
                (folder / f"{written:06d}{_suffix(sample.image)}").write_bytes(sample.image)
                written += 1
        print(name, written, flush=True)
    return written


def _suffix(image: bytes) -> str:
    return ".png" if image.startswith(b"\x89PNG") else ".jpg" if image.startswith(b"\xff\xd8") else ".webp"


def tiles(out: Path, folder: Path, count: int) -> None:
    """Cut tiles, as many of each picture."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    out.mkdir(parents=True, exist_ok=True)
    rng, written = np.random.default_rng(0), 0
    for number, path in enumerate(files):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        if min(image.size) < 4 * TILE:
            continue
        for _ in range(-(-(count - written) // (len(files) - number))):
            x, y = (int(rng.integers(0, side - TILE)) for side in image.size)
            buffer = io.BytesIO()
            image.crop((x, y, x + TILE, y + TILE)).save(buffer, "JPEG", quality=85)
            (out / f"tile{written:06d}.jpg").write_bytes(buffer.getvalue())
            written += 1
    print("tiles", written)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("sources", nargs="*")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--tiles", type=Path)
    arguments = parser.parse_args()
    there = copied(arguments.out, arguments.sources, arguments.count)
    if arguments.tiles and there < arguments.count:
        tiles(arguments.out / "tiles", arguments.tiles, arguments.count - there)
