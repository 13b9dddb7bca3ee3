"""Make a table of very many small real pictures, all of different bytes, for benchmarks of scale.

    python benchmarks/small_images.py small.parquet --parquet cifar10/train.parquet --tiles photos clothing more.parquet

Pictures of the tables after `--parquet` are taken as they are; those of the folders and tables after `--tiles` are cut
into squares of 56 pixels, which do not overlap and are encoded as JPEG.  All are shuffled.  The table has the columns
key, image{bytes, path} and caption; `benchmarks/scale.py --parquet` takes it.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    Row = tuple[str, bytes, str]

SIDE, QUALITY = 56, 90
_KINDS = {".jpg", ".jpeg", ".png"}


def stored(table: Path) -> Iterator[tuple[str, bytes]]:
    """Key and bytes of the images of a table."""
    for batch in pq.ParquetFile(table).iter_batches(1000, columns=["key", "image"]):
        for row in batch.to_pylist():
            yield row["key"], row["image"]["bytes"]


def of_place(place: Path) -> Iterator[tuple[str, bytes]]:
    """Key and bytes of the images of a folder or table."""
    if place.is_file():
        yield from stored(place)
        return
    for path in sorted(place.rglob("*")):
        if path.suffix.lower() in _KINDS:
            yield f"{place.name}/{path.stem}", path.read_bytes()


def tiles(key: str, data: bytes) -> Iterator[Row]:
    """Squares out of a picture."""
    try:
        image = Image.open(io.BytesIO(data)).convert("RGB")
    except OSError:
        return
    for top in range(0, image.height - SIDE + 1, SIDE):
        for left in range(0, image.width - SIDE + 1, SIDE):
            buffer = io.BytesIO()
            image.crop((left, top, left + SIDE, top + SIDE)).save(buffer, "JPEG", quality=QUALITY)
            yield f"{key}/{left}-{top}", buffer.getvalue(), f"a part of {key}"


def rows(tables: list[Path], cut: list[Path]) -> Iterator[Row]:
    """All pictures."""
    for table in tables:
        yield from ((f"{table.stem}/{key}", data, f"picture {key}") for key, data in stored(table))
    for place in cut:
        for key, data in of_place(place):
            yield from tiles(key, data)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--parquet", type=Path, nargs="*", default=[])
    parser.add_argument("--tiles", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    found = list(
        {data: (key, data, caption) for key, data, caption in rows(arguments.parquet, arguments.tiles)}.values()
    )
    order = np.random.default_rng(0).permutation(len(found)).tolist()
    key, data, caption = zip(*(found[place] for place in order), strict=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": each, "path": None} for each in data], kind)
    pq.write_table(pa.table({"key": key, "image": images, "caption": caption}), arguments.out, row_group_size=1000)
    print(f"{len(found)} pictures")


if __name__ == "__main__":
    main()
