"""Does `dedupkit clean` hold a million rows of embeddings, without any image, inside a limit of memory?

    python benchmarks/embedding_list.py [--rows 1000000] [--memory 1GiB] [--scratch FOLDER]

A list as one has it before anything is downloaded: key, URL, caption, hash and embedding, in Parquet files of ten
thousand rows.  Descriptors and hashes are those of `search_scale.py`, each with planted pairs, and of different rows,
so that the two agree on nothing.  The list without its copies comes out.  Memory is that of all processes together.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import DEDUPKIT, RESULTS, environment, measure
from search_scale import NUMBERS, write_descriptors, write_hashes
from tables import scale_table

_ROWS_A_FILE = 10_000
_WORDS = ("red", "blue", "old", "new", "house", "tree", "dog", "cat", "sea", "road", "hill", "bird", "of", "a", "the")


def write_list(rows: int, folder: Path, scratch: Path) -> None:
    """Write the Parquet files of a list."""
    write_descriptors(rows, scratch)
    descriptors = np.load(scratch / "descriptors.npy", mmap_mode="r")
    write_hashes(rows, scratch)
    hashes = np.load(scratch / "hashes.npy", mmap_mode="r")
    rng = np.random.default_rng(1)
    elsewhere = rng.permutation(rows)
    words = np.array(_WORDS)
    for number, start in enumerate(range(0, rows, _ROWS_A_FILE)):
        here = np.arange(start, min(start + _ROWS_A_FILE, rows))
        codes = pa.py_buffer(np.ascontiguousarray(hashes[elsewhere[here]]))
        embeddings = pa.array(np.ascontiguousarray(descriptors[here]).reshape(-1))
        table = {
            "key": [f"{row:09d}" for row in here],
            "url": [f"https://example.org/{row // 7}/{row}.jpg" for row in here],
            "caption": [" ".join(each) for each in words[rng.integers(len(words), size=(len(here), 9))]],
            "pdq": pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(here), [None, codes]),
            "embedding": pa.FixedSizeListArray.from_arrays(embeddings, NUMBERS),
        }
        pq.write_table(pa.table(table), folder / f"{number:05d}.parquet", compression=None)


def run(rows: int, memory: str, scratch: Path) -> dict[str, Any]:
    """Clean a list of so many rows."""
    source, raw = scratch / "list", scratch / "raw"
    for folder in (source, raw):
        folder.mkdir()
    write_list(rows, source, raw)
    options = ["--embedding-column", "embedding", "--format", "list", "--memory", memory]
    taken = measure([*DEDUPKIT, "clean", source, scratch / "out", *options])
    summary = json.loads((scratch / "out" / "report.json").read_text())
    return {
        "images": rows,
        "wall_s": round(taken.wall_s, 2),
        "images_per_s": round(rows / taken.wall_s, 1),
        "cpu_s": round(taken.cpu_s, 2),
        "peak_tree_mib": taken.peak_tree_mib and round(taken.peak_tree_mib, 1),
        "peak_process_mib": round(taken.peak_process_mib, 1),
        "samples": summary["samples"],
    }


def main() -> None:
    """Run it and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--memory", default="1GiB")
    parser.add_argument("--scratch", type=Path, help="where list and output may lie: 2 KB a row")
    parser.add_argument("--out", type=Path, default=RESULTS / "embedding_list.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        entry = run(arguments.rows, arguments.memory, Path(scratch))
    result = {
        "question": "Does dedupkit clean hold a list of embeddings inside a limit of memory?",
        "environment": environment(("numpy", "pyarrow", "faiss-cpu")),
        "memory": arguments.memory,
        "runs": [entry],
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(entry))
    print(scale_table(result))


if __name__ == "__main__":
    main()
