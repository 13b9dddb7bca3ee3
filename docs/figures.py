"""Makes the pictures of the documentation out of the demo's own pictures.

    python docs/figures.py [--chromium chromium]

Writes docs/images/*.webp.  Canaries are drawn by chance, so their picture is another one each time; the others are the
same again.  The picture of the report needs chromium (`apt-get install chromium`).
"""

from __future__ import annotations

import argparse
import io
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageOps

import dedupkit
from dedupkit.canaries import make
from dedupkit.demo import build_demo, example_images
from dedupkit.mitigation.augment import Augmenter, before_and_after
from dedupkit.recipe import Augment, Canaries
from dedupkit.report.contact_sheet import contact_sheet, plot_duplicates
from dedupkit.sinks.base import KeptSample

IMAGES = Path(__file__).resolve().parent / "images"
GROUP = "000020011"  # a member of the demo's largest group
PHOTOS = ("coffee", "chelsea", "motorcycle-left")


def copies(shards: Path) -> Image.Image:
    """The demo's largest group: one picture and what was made of it."""
    return plot_duplicates(shards, dedupkit.find_duplicates(shards), GROUP, max_pictures=10)


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
    samples = [
        KeptSample(path.name, path.read_bytes(), "jpeg", None, *Image.open(path).size, 8, {}) for path in photos
    ]
    return before_and_after(samples, Augmenter(Augment(preset="strong"), seed=7))


def report(page: Path, chromium: str, folder: Path) -> Image.Image:
    """The upper part of a report as a browser shows it."""
    shot = folder / "report.png"
    window = ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1280,1400")
    subprocess.run([chromium, *window, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True)
    return Image.open(io.BytesIO(shot.read_bytes()))


def main() -> None:
    """Make all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", default="chromium", help="the browser's command")
    chromium = parser.parse_args().chromium
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        truth = build_demo(example_images(), folder, 1)
        dedupkit.clean(truth.shards, folder / "clean")
        made = {
            "copies": copies(truth.shards),
            "canaries": canaries(folder),
            "changed": changed(),
            "report": report(folder / "clean" / "report.html", chromium, folder),
        }
    for name, picture in made.items():
        ImageOps.contain(picture.convert("RGB"), (1032, 1400)).save(IMAGES / f"{name}.webp", quality=78, method=6)


if __name__ == "__main__":
    main()
