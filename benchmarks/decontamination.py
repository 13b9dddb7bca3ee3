"""How many copies of evaluation images does `decontaminate` find in a training set, by edit, and how many false ones?

    python benchmarks/decontamination.py train.parquet [--train 50000] [--reference 10000] [--presets fast,thorough]

The reference set is drawn from the Parquet file and leaves the training set, which is the rest; then copies of some
reference images, one an edit, are planted into the training set.  A match of what is planted counts where it names its
own original.  A match of anything else is listed by what it was matched with: CIFAR-10 holds copies of its own, so
those that bytes or eyes confirm are no mistakes, and the number is an upper bound of the false ones.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import RESULTS, environment
from PIL import Image

from dedupkit import Recipe, decontaminate
from dedupkit.edits import EDITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS_A_SHARD = 5000


def read(parquet: Path, images: int) -> list[bytes]:
    """Encoded images of a file, from its first row on."""
    found: list[bytes] = []
    for batch in pq.ParquetFile(parquet).iter_batches(5000, columns=["image"]):
        found += [row["bytes"] for row in batch["image"].slice(0, images - len(found)).to_pylist()]
    return found


def write(folder: Path, rows: list[tuple[str, bytes]]) -> None:
    """Shards of keys and images."""
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, len(rows), ROWS_A_SHARD)):
        keys, images = zip(*rows[start : start + ROWS_A_SHARD], strict=True)
        pq.write_table(
            pa.table({"key": keys, "image": pa.array(images, pa.binary())}), folder / f"{number:05d}.parquet"
        )


def planted(images: list[bytes], numbers: NDArray[np.int64], copies: int) -> list[tuple[str, bytes]]:
    """Edited copies of reference images: their keys name edit and original."""
    rng, rows = np.random.default_rng(1), []
    for edit in EDITS.values():
        for number in rng.choice(numbers, min(copies, len(numbers)), replace=False).tolist():
            with Image.open(io.BytesIO(images[number])) as opened:
                picture = opened.convert("RGB")
            rows.append((f"planted-{edit.name}-{number}", edit.apply(picture, rng)))
    return rows


def scored(matches: list[dict[str, Any]], planted_keys: list[str]) -> dict[str, Any]:
    """Recall by edit, and what else was matched."""
    found, wrong, others = set(), 0, []
    for match in matches:
        if not match["train_key"].startswith("planted-"):
            others.append({"train": match["train_key"], "reference": match["key"], "tier": match["tier"]})
        elif match["train_key"].rsplit("-", 1)[1] == match["key"]:
            found.add(match["train_key"])
        else:
            wrong += 1
    edits = Counter(key.split("-")[1] for key in planted_keys)
    hits = Counter(key.split("-")[1] for key in found)
    return {
        "recall": {edit: round(hits[edit] / count, 4) for edit, count in edits.items()},
        "recall_all": round(len(found) / len(planted_keys), 4),
        "planted_matched_with_another": wrong,
        "not_planted_matched": len(others),
        "not_planted_by_tier": dict(Counter(other["tier"] for other in others)),
        "not_planted_examples": others[:50],
    }


def main() -> None:
    """Run each preset and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parquet", type=Path)
    parser.add_argument("--train", type=int, default=50_000, help="images that are read in all")
    parser.add_argument("--reference", type=int, default=10_000)
    parser.add_argument("--copies", type=int, default=100, help="planted of each edit")
    parser.add_argument("--presets", default="fast,thorough")
    parser.add_argument("--out", type=Path, default=RESULTS / "decontamination.json")
    options = parser.parse_args()
    images = read(options.parquet, options.train)
    drawn = np.random.default_rng(0).permutation(len(images))
    held, rest = drawn[: options.reference], np.sort(drawn[options.reference :])
    copies = planted(images, held, options.copies)
    results = []
    with TemporaryDirectory(prefix="dedupkit-") as scratch:
        write(Path(scratch, "reference"), [(str(number), images[number]) for number in held.tolist()])
        write(Path(scratch, "train"), [*((f"train-{number}", images[number]) for number in rest.tolist()), *copies])
        for preset in options.presets.split(","):
            begun = time.perf_counter()
            recipe = Recipe.of({"preset": preset}, name="benchmark")
            found = decontaminate(
                Path(scratch, "train"), {"reference": Path(scratch, "reference")}, Path(scratch, preset), recipe=recipe
            )
            wall_s = round(time.perf_counter() - begun, 1)
            score = scored(found.matches.to_pylist(), [key for key, _ in copies])
            results.append({"preset": preset, "wall_s": wall_s, "train": found.samples, "reference": len(held)} | score)
            print(json.dumps(results[-1]["recall"]), wall_s, "s", score["recall_all"], score["not_planted_matched"])
    written = {"environment": environment(["dedupkit", "faiss-cpu", "numpy"]), "results": results}
    options.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
