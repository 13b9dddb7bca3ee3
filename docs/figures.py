"""Makes the pictures of the documentation out of the demo's own pictures.

    python docs/figures.py [--chromium chromium]

Writes docs/images/*.webp.  Canaries are drawn by chance, so their picture is another one each time; the others are the
same again.  The picture of the report needs chromium (`apt-get install chromium`).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import dedupkit
from dedupkit.canaries import make
from dedupkit.demo import build_demo, example_images
from dedupkit.edits import EDITS
from dedupkit.mitigation.augment import Augmenter, before_and_after
from dedupkit.recipe import Augment, Canaries
from dedupkit.report.contact_sheet import contact_sheet
from dedupkit.sinks.base import KeptSample

IMAGES = Path(__file__).resolve().parent / "images"
COPIED = "chelsea"
COPIES = (
    "reencoded", "crop70", "turned25", "mirrored", "grey", "captioned", "framed", "slanted", "screenshot", "half_area",
)  # fmt: skip
PHOTOS = ("coffee", "chelsea", "motorcycle-left")


def copies() -> Image.Image:
    """A photo and edited copies of it, which have to be found as one group; below each, what was done to it."""
    rng = np.random.default_rng(7)
    with Image.open(example_images() / f"photo-{COPIED}.jpg") as photo:
        picture = photo.convert("RGB")
    made = {name: EDITS[name].apply(picture, rng) for name in COPIES}
    found = dedupkit.find_duplicates([{"key": name, "image": data} for name, data in made.items()])
    if [sorted(group) for group in found.groups] != [sorted(made)]:
        raise RuntimeError(f"not all copies are found, only {found.groups}: choose others to show")
    return contact_sheet(list(made.values()), [EDITS[name].words for name in made])


def canaries(folder: Path) -> Image.Image:
    """One canary of each kind that needs no pictures of one's own."""
    made = make(example_images(), folder / "private.json", Canaries(planted=3, controls=3, repetitions=(1,)))
    first = {each.kind: each for each in made.manifest.canaries}
    return contact_sheet(
        [each.data for each in first.values()], [f"{kind}: {each.caption}" for kind, each in first.items()]
    )


def changed() -> Image.Image:
    """Three photos before and after noise and brightness."""
    photos = [example_images() / f"photo-{name}.jpg" for name in PHOTOS]
    samples = [KeptSample(path.name, path.read_bytes(), "jpeg", None, *Image.open(path).size, 1, {}) for path in photos]
    return before_and_after(samples, Augmenter(Augment(preset="strong"), seed=7))


def report(page: Path, chromium: str, folder: Path) -> Image.Image:
    """The upper part of a report as a browser shows it."""
    shot = folder / "report.png"
    window = ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1280,1400")
    subprocess.run([chromium, *window, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True)
    return Image.open(io.BytesIO(shot.read_bytes()))


def trimmed(picture: Image.Image) -> Image.Image:
    """Without empty paper to the right and below, and no wider than a page."""
    box = ImageOps.invert(picture).getbbox() or (0, 0, *picture.size)
    cut = picture.crop((0, 0, min(picture.width, box[2] + 12), min(picture.height, box[3] + 12)))
    cut.thumbnail((1032, 1400))
    return cut


def main() -> None:
    """Make all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", default="chromium", help="the browser's command")
    chromium = parser.parse_args().chromium
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        build_demo(example_images(), folder / "demo", 1)
        with contextlib.chdir(folder):  # the report names its source as it was named
            dedupkit.clean("demo/shards", "clean")
        made = {
            "copies": copies(),
            "canaries": canaries(folder),
            "changed": changed(),
            "report": report(folder / "clean" / "report.html", chromium, folder),
        }
    for name, picture in made.items():
        trimmed(picture.convert("RGB")).save(IMAGES / f"{name}.webp", quality=78, method=6)


if __name__ == "__main__":
    main()
