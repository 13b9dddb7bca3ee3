"""Does `dedupkit clean` hold its memory as the set grows?

    python benchmarks/scale.py --parquet train.parquet [--images 50000,200000] [--scratch FOLDER]

The table (columns key, image{bytes, path}, caption) is written again and again under new keys, as Parquet shards of
10,000 rows, until there are as many images as asked for; each set goes through the whole of `clean` in a process of
its own.  So the larger sets hold exact copies of the smallest, which is the hard case for grouping.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from measure import DEDUPKIT, RESULTS, environment, measure
from tables import scale_table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS_A_SHARD = 10_000


def rows(source: Path, images: int) -> Iterator[pa.Table]:
    """The source's rows over and over, each time under new keys, in batches that one shard takes whole."""
    wanted, turn = images, 0
    while wanted > 0:
        for batch in pq.ParquetFile(source).iter_batches(ROWS_A_SHARD, columns=["key", "image", "caption"]):
            part = pa.Table.from_batches([batch.slice(0, wanted)])
            keys = pa.array([f"{turn}/{key}" for key in part["key"].to_pylist()])
            yield part.set_column(0, "key", keys)
            wanted -= part.num_rows
            if wanted <= 0:
                return
        turn += 1


def build(source: Path, images: int, folder: Path) -> None:
    """Write the shards."""
    folder.mkdir()
    for index, part in enumerate(rows(source, images)):
        pq.write_table(part, folder / f"{index:05d}.parquet", row_group_size=1000)


def run(source: Path, images: int, scratch: Path, options: list[str]) -> dict[str, Any]:
    """One set through `clean`."""
    shards, out = scratch / f"shards-{images}", scratch / f"out-{images}"
    build(source, images, shards)
    taken = measure([*DEDUPKIT, "clean", str(shards), str(out), *options])
    summary = json.loads((out / "report.json").read_text())
    return {
        "images": images,
        "wall_s": round(taken.wall_s, 2),
        "images_per_s": round(images / taken.wall_s, 1),
        "cpu_s": round(taken.cpu_s, 2),
        "peak_tree_mib": taken.peak_tree_mib and round(taken.peak_tree_mib, 1),
        "peak_process_mib": round(taken.peak_process_mib, 1),
        "samples": summary["samples"],
    }


def main() -> None:
    """Run all sizes and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parquet", type=Path, required=True)
    parser.add_argument("--images", default="50000,200000", help="sizes, with commas")
    parser.add_argument("--scratch", type=Path, help="where shards and outputs may lie for the time of the run")
    parser.add_argument("--options", default="", help="more options of dedupkit clean, with spaces")
    parser.add_argument("--out", type=Path, default=RESULTS / "scale.json")
    arguments = parser.parse_args()
    runs = []
    for images in map(int, arguments.images.split(",")):
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
            runs.append(run(arguments.parquet, images, Path(scratch), arguments.options.split()))
        print(json.dumps(runs[-1]), flush=True)
    peaks = [entry["peak_tree_mib"] or entry["peak_process_mib"] for entry in runs]
    result = {
        "question": "Does dedupkit clean hold its memory as the set grows?",
        "environment": environment(("numpy", "pyarrow", "datasets", "pillow", "simplejpeg")),
        "options": arguments.options,
        "runs": runs,
        "peak_of_last_to_first": round(peaks[-1] / peaks[0], 3),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(scale_table(result))


if __name__ == "__main__":
    main()
