"""How well are placeholder pictures known: false alarms over real pictures, recall over other forms of their own.

    python training/placeholder_measure.py PICTURES DATA [--cifar10 10000] [--out measured.json]

PICTURES is what placeholder_hashes.py laid out; DATA a folder with photos/, captioned/ and clothing/ of pictures, and
training/train.parquet and cifar10/train.parquet with a column ``image`` of bytes.  Writes JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageOps

from dedupkit.fingerprints.stage import fingerprint_batch
from dedupkit.hygiene.placeholders import Placeholders, shipped
from dedupkit.recipe import Recipe
from dedupkit.sample import FINGERPRINTS, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FOLDERS = ("photos", "captioned", "clothing")
RECIPE = Recipe(preset="fast")
Item = TypeVar("Item")


def in_parts(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    rest = iter(items)
    return iter(lambda: list(islice(rest, most)), [])


def pictures_of(data: Path, cifar10: int) -> Iterator[tuple[str, str, bytes]]:
    """Set, name and bytes of every real picture."""
    for folder in FOLDERS:
        for path in sorted((data / folder).iterdir()):
            if path.suffix in (".jpg", ".png"):
                yield folder, path.name, path.read_bytes()
    for name, most in (("training", None), ("cifar10", cifar10)):
        rows = 0
        for batch in pq.ParquetFile(data / name / "train.parquet").iter_batches(1000, columns=["key", "image"]):
            for row in batch.to_pylist():
                if most is None or rows < most:
                    yield name, row["key"], row["image"]["bytes"]
                rows += 1


def found_in(samples: list[Sample]) -> list[str | None]:
    """What is said of each picture; None where it is no placeholder."""
    rows = [
        dict(zip(FINGERPRINTS.names[3:], values, strict=True)) | {"descriptor": None}
        for part in in_parts(samples, 64)
        for values in fingerprint_batch(part, RECIPE)
    ]
    return Placeholders().find(pa.Table.from_pylist(rows, schema=FINGERPRINTS)).details.to_pylist()


def jpeg(image: Image.Image, quality: int) -> bytes:
    return encoded(image, "JPEG", quality=quality)


def encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((max(16, round(image.width * factor)), max(16, round(image.height * factor))))


def captioned(image: Image.Image) -> Image.Image:
    """A strip with a line of text below, a tenth of the height."""
    canvas = Image.new("RGB", (image.width, image.height + max(12, image.height // 10)), "white")
    canvas.paste(image)
    ImageDraw.Draw(canvas).text((4, image.height), "No. 4711", fill="black")
    return canvas


FORMS: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG at quality 85": lambda image: jpeg(image, 85),
    "JPEG at quality 50": lambda image: jpeg(image, 50),
    "WebP at quality 75": lambda image: encoded(image, "WEBP", quality=75),
    "GIF": lambda image: encoded(image.quantize(64), "GIF"),
    "half size, JPEG 85": lambda image: jpeg(scaled(image, 0.5), 85),
    "one and a half times the size, JPEG 85": lambda image: jpeg(scaled(image, 1.5), 85),
    "squeezed to a square, JPEG 85": lambda image: jpeg(image.resize((200, 200)), 85),
    "grey": lambda image: encoded(image.convert("L"), "PNG"),
    "white border, JPEG 85": lambda image: jpeg(ImageOps.expand(image, image.width // 8, "white"), 85),
    "black border, JPEG 85": lambda image: jpeg(ImageOps.expand(image, image.width // 8, "black"), 85),
    "a line of text below, JPEG 85": lambda image: jpeg(captioned(image), 85),
}


def opened(path: Path) -> Image.Image:
    """The first frame on white, as browsers and converters show it."""
    with Image.open(path) as image:
        shown = image.convert("RGBA")
    canvas = Image.new("RGBA", shown.size, "white")
    canvas.alpha_composite(shown)
    return canvas.convert("RGB")


def recall(pictures: Path) -> dict[str, dict[str, float]]:
    hashed = {each.sha256.hex() for each in shipped() if each.pdq and each.sha256}
    found = {}
    for form, change in FORMS.items():
        paths = sorted(pictures.iterdir())
        details = found_in([Sample(path.stem, change(opened(path))) for path in paths])
        hits = {path.stem for path, detail in zip(paths, details, strict=True) if detail}
        found[form] = {
            "of all": round(len(hits) / len(paths), 3),
            "of those with a hash": round(len(hits & hashed) / len(hashed), 3),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cifar10", type=int, default=10_000, help="how many of its pictures are looked at")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    looked_at: Counter[str] = Counter()
    alarms = []
    for part in in_parts(pictures_of(options.data, options.cifar10), 512):
        looked_at.update(folder for folder, _, _ in part)
        details = found_in([Sample(name, data) for _, name, data in part])
        alarms += [f"{where}/{name} {said}" for (where, name, _), said in zip(part, details, strict=True) if said]
    result = {
        "entries": len(shipped()),
        "with a hash": sum(bool(each.pdq) for each in shipped()),
        "pictures": dict(looked_at),
        "false alarms": alarms,
        "recall": recall(options.pictures),
    }
    text = json.dumps(result, indent=1)
    (options.out.write_text(text + "\n") if options.out else sys.stdout.write(text + "\n"))


if __name__ == "__main__":
    main()
