"""Sets with pictures to take down: several versions of each, other pictures, and other versions as examples."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image, ImageEnhance, ImageOps

from dedupkit.demo import example_images
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PHOTOS = 6


@dataclass
class TakedownSet:
    """A folder of images, what has to go of it, and what is given as example."""

    folder: Path
    examples: Path
    wanted: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)


def cropped(image: Image.Image, left: float = 0.0, share: float = 0.2) -> Image.Image:
    """A fifth of the area cut away, at the right and below, or at the left and above."""
    side = (1 - share) ** 0.5
    width, height = round(image.width * side), round(image.height * side)
    x, y = round((image.width - width) * left), round((image.height - height) * left)
    return image.crop((x, y, x + width, y + height))


def recoloured(image: Image.Image) -> Image.Image:
    """Less colour, more contrast, other hues."""
    red, green, blue = ImageEnhance.Color(image).enhance(0.4).split()
    warmer = Image.merge("RGB", (red.point(lambda level: min(255, round(level * 1.15))), green, blue))
    return ImageEnhance.Contrast(warmer).enhance(1.2)


VERSIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "original": lambda image: image,
    "cropped": cropped,
    "recoloured": recoloured,
    "mirrored": ImageOps.mirror,
    "reencoded": lambda image: image.resize((image.width * 3 // 4, image.height * 3 // 4)),
}


def write_takedown_set(folder: Path, drawn: int = 4, others: int = 20) -> TakedownSet:
    """Ten pictures in five versions each, photos first, among others of which some stand twice."""
    photos = sorted(example_images().rglob("*.jpg"))
    taken = [Image.open(path).convert("RGB") for path in photos[:PHOTOS]]
    taken += [draw_picture(9000 + number) for number in range(drawn)]
    stay = [Image.open(path).convert("RGB") for path in photos[PHOTOS:]]
    stay += [draw_picture(100 + number) for number in range(others)]
    stay += [recoloured(image) for image in stay[:5]]
    found = TakedownSet(folder / "set", folder / "examples")
    for path in (found.folder, found.examples):
        path.mkdir(parents=True)
    for number, image in enumerate(taken):
        for name, version in VERSIONS.items():
            key = f"bad{number}-{name}"
            quality, kind = (60, "webp") if name == "reencoded" else (92, "jpg")
            save(version(image), found.folder / f"{key}.{kind}", quality)
            found.wanted.add(key)
        example = recoloured(cropped(image, left=1.0)) if number % 2 else cropped(recoloured(image), left=0.5)
        save(example, found.examples / f"example{number}.jpg", 85)
    for number, image in enumerate(stay):
        save(image, found.folder / f"good{number}.jpg", 92)
        found.others.add(f"good{number}")
    for path in found.folder.iterdir():
        path.with_suffix(".txt").write_text(f"caption of {path.stem}")
    return found


def save(image: Image.Image, path: Path, quality: int) -> None:
    """Write an image file."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP" if path.suffix == ".webp" else "JPEG", quality=quality)
    path.write_bytes(buffer.getvalue())
