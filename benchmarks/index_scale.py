"""How long does an index take to answer, and do many additions find what one build finds, as it grows?

    python benchmarks/index_scale.py [--rows 10000,100000,1000000] [--photos FOLDER]
    python benchmarks/index_scale.py --adds SOURCE [--parts 20] [--part-samples 5000] [--preset thorough]

Queries: an index of photos with three edited copies each, views and all, is filled up with entries that are drawn by
chance as `search_scale.py` draws them, hashes and descriptors, and written by the same writer.  Every photo is then
asked for by an edit that is not in the index, in one warm process; the time is that from encoded bytes to twins.
Recall of the lists is held against an exact search.

Additions: parts of a source, one after the other in one index, against one build of all of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from measure import RESULTS, environment
from PIL import Image
from search_scale import write_descriptors, write_hashes

from dedupkit import Index, Recipe, Sample
from dedupkit.edits import EDITS
from dedupkit.index.saving import Saving
from dedupkit.index.snapshot import ENTRIES, Snapshot
from dedupkit.index.state import AddedShard, write_state
from dedupkit.matching.seen import Stretch
from dedupkit.matching.signatures import Fingerprints, Hashes
from dedupkit.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

IN_INDEX, ASKED = ("jpeg60", "crop875", "mirrored"), ("half", "crop70", "flipped", "brighter", "framed")
BLOCK = 1 << 15


def photos_of(folder: Path, most: int) -> list[Path]:
    """Some images of a folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    return [path for path, _ in zip(found, range(most), strict=False)]


def family(path: Path) -> Iterator[Sample]:
    """A photo and its edited copies."""
    yield Sample(path.name, path.read_bytes())
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    for edit in IN_INDEX:
        yield Sample(f"{path.name} {edit}", EDITS[edit].apply(picture, np.random.default_rng(0)))


def fill(index: Index, folder: Path, rows: int, scratch: Path) -> None:
    """Write drawn entries into an index until it has so many, without comparing them."""
    write_descriptors(rows, scratch)
    rows_of = np.load(scratch / "descriptors.npy", mmap_mode="r")
    write_hashes(rows, scratch)
    codes = np.load(scratch / "hashes.npy", mmap_mode="r")
    snapshot = Snapshot.open(index._folder)
    seen, state, saving = snapshot.seen, snapshot.state, Saving(snapshot)
    while seen.count < rows:
        start, stop = seen.count, min(rows, seen.count + BLOCK, seen.next_training())
        prints = drawn_prints(np.arange(start, stop), codes[start:stop], rows_of[start:stop])
        seen.append(Stretch.of(prints, np.arange(stop - start), (start, stop), seen))
        if seen.count == seen.next_training():
            seen.train()
    start, count = state.entries, rows - state.entries
    columns = [
        [f"drawn {number}" for number in range(count)],
        np.full(count, len(state.shards)),
        np.arange(start, rows),
        [number.to_bytes(32, "little") for number in range(start, rows)],
        pa.nulls(count, pa.string()),
        pa.nulls(count, pa.string()),
    ]
    table = pa.table([pa.array(column, field.type) for column, field in zip(columns, ENTRIES, strict=True)], ENTRIES)
    write_state(index._folder, saving.finished([table], [], [AddedShard("drawn", "drawn", "", start, count)], iter(())))


def drawn_prints(entries: NDArray[np.int64], codes: NDArray[np.uint8], rows: NDArray[np.float16]) -> Fingerprints:
    """Fingerprints of pictures that were never drawn."""
    count = len(entries)
    digests = np.zeros((count, 4), np.uint64)
    digests[:, 0] = entries
    yes, no = np.ones(count, dtype=bool), np.zeros(count, dtype=bool)
    whole = Hashes(np.asarray(codes), yes, yes, np.full(count, 4, np.float32))
    framed = Hashes(np.zeros_like(codes), no, no, np.zeros(count, np.float32))
    return Fingerprints(entries.astype(np.uint64), digests, whole, framed, np.asarray(rows))


def ask(folder: Path, photos: list[Path], repeat: int) -> dict[str, Any]:
    """Ask for every photo by edits that are not in the index."""
    began = time.perf_counter()
    index = Index.open(folder)
    opened = time.perf_counter() - began
    index.query(photos[0])
    queries = []
    for path in photos:
        with Image.open(path) as picture:
            rgb = picture.convert("RGB")
        queries += [(path.name, EDITS[edit].apply(rgb, np.random.default_rng(1))) for edit in ASKED]
    index.query(queries[0][1])  # groups are made when they are first asked for
    times, processor, found = [], [], 0
    for key, data in queries * repeat:
        began, used = time.perf_counter(), time.process_time()
        twins = index.query(data)
        times.append(1000 * (time.perf_counter() - began))
        processor.append(1000 * (time.process_time() - used))
        found += any(twin.key.partition(" ")[0] == key for twin in twins)
    took = np.array(times)
    return {
        "open_s": round(opened, 3),
        "queries": len(times),
        "p50_ms": round(float(np.percentile(took, 50)), 1),
        "p99_ms": round(float(np.percentile(took, 99)), 1),
        "cpu_p50_ms": round(float(np.percentile(processor, 50)), 1),
        "cpu_p99_ms": round(float(np.percentile(processor, 99)), 1),
        "found": round(found / len(times), 4),
        "list_recall": index.info()["list_recall"],
        "bytes_an_entry": {name: round(size / len(index)) for name, size in index.info()["bytes"].items()},
    }


def queries(rows: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One size: make the index and ask it."""
    photos = photos_of(arguments.photos, arguments.most_photos)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        folder = Path(name, "index")
        samples = [sample for path in photos for sample in family(path)]
        index = Index.build(folder, samples, name="photos")
        began = time.perf_counter()
        fill(index, folder, rows, Path(name))
        filled = time.perf_counter() - began
        return {"rows": rows, "photos": len(photos), "fill_s": round(filled, 1), **ask(folder, photos, 1)}


def additions(arguments: argparse.Namespace) -> dict[str, Any]:
    """Many additions, and one build of the same samples."""
    source = open_source(arguments.adds)
    samples = (sample for shard in source.shards() for sample in source.read(shard))
    recipe = Recipe(preset=arguments.preset)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        times, everything = [], []
        for part in range(arguments.parts):
            some = [replace(each, fields={}) for each, _ in zip(samples, range(arguments.part_samples), strict=False)]
            everything += some
            began = time.perf_counter()
            if part == 0:
                grown = Index.build(Path(name, "grown"), some, recipe=recipe, name="0")
            else:
                grown.add(some, name=str(part))
            times.append(round(time.perf_counter() - began, 2))
            print(f"addition {part}: {times[-1]} s", flush=True)
        began = time.perf_counter()
        whole = Index.build(Path(name, "whole"), everything, recipe=recipe)
        taken = time.perf_counter() - began
        told = [_told(each) for each in (grown, whole)]
        shutil.rmtree(Path(name, "whole"))
        return {
            "samples": len(grown),
            "additions_s": times,
            "build_s": round(taken, 2),
            "groups": len(set(told[0][0]["group"].to_pylist())),
            "pairs": told[0][1].num_rows,
            "same_groups": told[0][0].equals(told[1][0]),
            "same_pairs": told[0][1].equals(told[1][1]),
            "files": grown.info()["files"],
        }


def _told(index: Index) -> tuple[pa.Table, pa.Table]:
    pairs = index.pairs()
    kept = [name for name in pairs.column_names if name != "transform"]  # NaN is not equal to itself
    return index.groups().select(["group", "entry", "key"]), pairs.select(kept)


def main() -> None:
    """Run what is asked for and write it into the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,100000,1000000", help="sizes, with commas")
    parser.add_argument("--photos", type=Path, default=Path(__file__).parents[1] / "examples" / "data")
    parser.add_argument("--most-photos", type=int, default=60)
    parser.add_argument("--adds", help="source whose parts are added")
    parser.add_argument("--parts", type=int, default=20)
    parser.add_argument("--part-samples", type=int, default=5000)
    parser.add_argument("--preset", default="thorough")
    parser.add_argument("--scratch", type=Path, help="where indexes may lie for the time of the run: 2.5 KB a row")
    parser.add_argument("--out", type=Path, default=RESULTS / "index_scale.json")
    arguments = parser.parse_args()
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    result["question"] = "How long does an index take to answer, and do many additions find what one build finds?"
    if arguments.adds:
        result["additions"] = {**additions(arguments), "environment": environment(("numpy", "faiss-cpu"))}
        print(json.dumps(result["additions"]))
    else:
        result["queries"] = []
        for rows in map(int, arguments.rows.split(",")):
            result["queries"].append(queries(rows, arguments))
            print(json.dumps(result["queries"][-1]), flush=True)
        result["environment"] = environment(("numpy", "faiss-cpu"))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
