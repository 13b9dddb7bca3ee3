"""Ten edits that no line of the code was tuned to, made of every photo of a folder, one group a photo.

    python benchmarks/unseen_edits.py SRC OUT --others FOLDER [--limit N] [--seed 7]

A collage shows a second photo, out of FOLDER.

Writes OUT/<group>__<edit>.jpg and OUT/groups.csv (file, group, family), which the other benchmarks score against.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

if TYPE_CHECKING:
    from collections.abc import Callable

    Edit = Callable[[Image.Image, random.Random, Image.Image], Image.Image]

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def half_area(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """A crop of half the area."""
    width, height = (round(side * 0.5**0.5) for side in image.size)
    x, y = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((x, y, x + width, y + height))


def quarter_turn(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """Turned by 90 degrees, mirrored half of the time."""
    turned = image.transpose(Image.Transpose.ROTATE_90)
    return ImageOps.mirror(turned) if rng.random() < 0.5 else turned


def tilted(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """Turned by up to 15 degrees either way and cropped so that no corner shows."""
    angle = rng.choice((-1, 1)) * rng.uniform(5, 15)
    turned = image.rotate(angle, Image.Resampling.BICUBIC)
    margin_x, margin_y = round(image.width * 0.14), round(image.height * 0.14)
    return turned.crop((margin_x, margin_y, image.width - margin_x, image.height - margin_y))


def meme(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """White letters with black edges at the top and at the bottom."""
    image = image.copy()
    draw, size = ImageDraw.Draw(image), image.height // 8
    font = ImageFont.load_default(size)
    for words, y in ((_words(rng, 2), 4), (_words(rng, 3), image.height - 2 * size)):
        draw.text((image.width // 12, y), words, "white", font, stroke_width=max(1, size // 12), stroke_fill="black")
    return image


def screenshot(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """On a page with a bar and lines of text, as on a telephone."""
    page = Image.new("RGB", (image.width + 40, image.height + 260), (250, 250, 252))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(16)
    draw.rectangle((0, 0, page.width, 54), fill=(rng.randint(0, 90), rng.randint(40, 120), rng.randint(90, 200)))
    draw.text((16, 16), _words(rng, 2), "white", font)
    page.paste(image, (20, 84))
    for line in range(5):
        draw.text((24, image.height + 104 + 26 * line), _words(rng, 5), (40, 40, 40), font)
    return page


def collage(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """Beside another photo of the same height."""
    beside = other.resize((round(other.width * image.height / other.height * 0.7), image.height))
    page = Image.new("RGB", (image.width + beside.width, image.height))
    first = rng.random() < 0.5
    page.paste(image, (0 if first else beside.width, 0))
    page.paste(beside, (image.width if first else 0, 0))
    return page


def perspective(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """Photographed from the side: corners moved by up to an eighth."""
    width, height = image.size
    corners = ((0, 0), (0, height), (width, height), (width, 0))
    moved = [(x + rng.uniform(-0.12, 0.12) * width, y + rng.uniform(-0.12, 0.12) * height) for x, y in corners]
    return image.transform(image.size, Image.Transform.QUAD, [value for corner in moved for value in corner])


def watermark(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """Half transparent letters all over."""
    layer = Image.new("RGBA", image.size)
    draw, font, words = ImageDraw.Draw(layer), ImageFont.load_default(max(12, image.width // 14)), _words(rng, 2)
    for y in range(0, image.height, max(20, image.height // 6)):
        draw.text((rng.randint(-60, 20), y), f"{words}   {words}   {words}", (255, 255, 255, 130), font)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def filtered(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """A photo app: sepia, contrast, darker corners, soft."""
    grey = ImageOps.grayscale(ImageEnhance.Contrast(image).enhance(1.4))
    toned = ImageOps.colorize(grey, (30, 15, 5), (255, 240, 200))
    y, x = np.mgrid[-1 : 1 : image.height * 1j, -1 : 1 : image.width * 1j]
    shade = Image.fromarray((255 * np.clip(1.25 - 0.55 * (x * x + y * y), 0, 1)).astype(np.uint8))
    return ImageChops.multiply(toned, Image.merge("RGB", (shade,) * 3)).filter(ImageFilter.GaussianBlur(1))


def resaved(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """Passed on many times: small, large, compressed, cropped a little, lighter; mirrored at the end."""
    for _ in range(3):
        small = image.resize((image.width * 2 // 5, image.height * 2 // 5))
        image = small.resize(image.size, Image.Resampling.BICUBIC)
        image = image.crop((4, 4, image.width - 6, image.height - 3))
        image = ImageEnhance.Color(image).enhance(0.8)
    return ImageOps.mirror(image)


EDITS: dict[str, Edit] = {
    "original": lambda image, rng, other: image,
    "half_area": half_area,
    "quarter_turn": quarter_turn,
    "tilted": tilted,
    "meme": meme,
    "screenshot": screenshot,
    "collage": collage,
    "perspective": perspective,
    "watermark": watermark,
    "filtered": filtered,
    "resaved": resaved,
}


def _words(rng: random.Random, count: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ("".join(rng.choice(letters) for _ in range(rng.randint(3, 8))) for _ in range(count))
    return " ".join(words).upper()


def pictures(folder: Path) -> list[Path]:
    """Images of a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def main() -> None:
    """Make the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--others", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    files = pictures(arguments.source)[: arguments.limit]
    others = pictures(arguments.others)
    with (arguments.out / "groups.csv").open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(("file", "group", "family"))
        for group, path in enumerate(files):
            image, other = (Image.open(each).convert("RGB") for each in (path, others[group % len(others)]))
            for name, edit in EDITS.items():
                file = f"{group:05d}__{name}.jpg"
                edited = edit(image, random.Random(f"{arguments.seed}/{group}/{name}"), other)
                edited.save(arguments.out / file, quality=88)
                rows.writerow((file, group, name))


if __name__ == "__main__":
    main()
