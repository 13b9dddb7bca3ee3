"""Training pictures: decoded once, shorter side reduced, side by side in one memory-mapped file.

python training/pictures.py data.toml OUT --root DIR [--held-out]
"""

from __future__ import annotations

import argparse
import io
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dedupkit.sources.opening import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTER_SIDE = 192
MAX_ASPECT = 3.0


class Pictures:
    """RGB pictures of different sizes in one file; `pictures[i]` is uint8 of shape (height, width, 3)."""

    def __init__(self, folder: Path) -> None:
        index = np.load(folder / "index.npz")
        self.shapes, self.starts, self.keys = index["shapes"], index["starts"], index["keys"]
        self._pixels = np.memmap(folder / "pixels.bin", np.uint8, "r")

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> np.ndarray:
        height, width = self.shapes[number]
        start = self.starts[number]
        return self._pixels[start : start + height * width * 3].reshape(height, width, 3)


def gather(sources: list[dict[str, Any]], root: Path, out: Path, *, held_out: bool) -> int:
    """Write the pictures that are for training, or those that are held out of it."""
    out.mkdir(parents=True, exist_ok=True)
    shapes, starts, keys, at = [], [], [], 0
    with (out / "pixels.bin").open("wb") as pixels:
        for entry in sources:
            taken = 0
            for number, (key, data) in enumerate(samples(root / entry["path"])):
                every = entry.get("held_out_of", 0)
                if (every > 0 and number % every == 0) != held_out or data is None or taken == entry.get("limit", -1):
                    continue
                picture = reduced(data)
                if picture is None:
                    continue
                taken += 1
                shapes.append(picture.shape[:2])
                starts.append(at)
                keys.append(f"{entry['path']}/{key}")
                pixels.write(picture.tobytes())
                at += picture.size
            print(entry["path"], taken, flush=True)
    np.savez(out / "index.npz", shapes=np.array(shapes), starts=np.array(starts), keys=np.array(keys))
    return len(starts)


def samples(path: Path) -> Iterator[tuple[str, bytes | None]]:
    source = open_source(str(path))
    for shard in source.shards():
        for sample in source.read(shard):
            yield sample.key, sample.image


def reduced(data: bytes) -> np.ndarray | None:
    """RGB on white, shorter side 192 at most; None for what is broken, tiny or a strip."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (2 * SHORTER_SIDE, 2 * SHORTER_SIDE))
            if image.mode not in ("RGB", "L"):
                layer = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            image = image.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    if min(image.size) < 24 or max(image.size) > MAX_ASPECT * min(image.size):
        return None
    scale = SHORTER_SIDE / min(image.size)
    if scale < 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BOX)
    return np.asarray(image)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--held-out", action="store_true")
    arguments = parser.parse_args()
    table = tomllib.loads(arguments.sources.read_text())
    print(gather(table["source"], arguments.root, arguments.out, held_out=arguments.held_out), "pictures")
