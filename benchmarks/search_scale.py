"""Do the searches for near descriptors and near hashes hold time and memory as the set grows, and what do they find?

    python benchmarks/search_scale.py [--rows 100000,1000000,10000000] [--scratch FOLDER] [--threads 2]

Sets are drawn by chance, with planted pairs whose similarity is known.  Descriptors: 256 numbers, float16, in clusters
of some thousand rows of very different sizes, with a spectrum that falls as a power (58 effective dimensions, so that
unrelated ones are at cosines around 0 with a deviation of 0.13); one in ten rows belongs to a planted pair at a cosine
between 0.5 and 0.95 in a direction of the same spectrum.  Hashes: 256 fair bits; one in ten belongs to a planted pair
at 1 to 31 bits in any of the eight turns, one in a hundred equals another, one in a thousand stands in a single crowd
of hashes within a few bits of each other.  A set is written in one process and searched in another, whose memory is
measured; its time is that of the search alone.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import RESULTS, environment, measure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

NUMBERS = 256
EFFECTIVE = 58
IN_CLUSTER = 0.25  # mean cosine of two rows of one cluster
COSINES = (0.5, 0.95)
MAX_HAMMING_BITS = 31
BLOCK = 1 << 16


def blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def spectrum() -> NDArray[np.float32]:
    """Deviations that fall as a power, chosen so that the participation ratio is `EFFECTIVE`."""
    flat, steep = 0.0, 3.0
    for _ in range(50):
        power = (flat + steep) / 2
        variances = np.arange(1, NUMBERS + 1) ** -power
        enough = variances.sum() ** 2 / (variances**2).sum() > EFFECTIVE
        flat, steep = (power, steep) if enough else (flat, power)
    return np.sqrt(variances).astype(np.float32)


def write_descriptors(rows: int, folder: Path) -> None:
    """The descriptors, and the planted pairs: the partner of a row stands among the last rows."""
    rng = np.random.default_rng(rows)
    deviations, planted = spectrum(), rows // 20
    background = rows - planted

    def drawn(count: int) -> NDArray[np.float32]:
        return unit(rng.standard_normal((count, NUMBERS), dtype=np.float32) * deviations)

    out = np.lib.format.open_memmap(folder / "descriptors.npy", "w+", np.float16, (rows, NUMBERS))
    centres = drawn(max(10, rows // 1000))
    weights = np.arange(1, len(centres) + 1) ** -0.5
    for block in blocks(background):
        count = block.stop - block.start
        chosen = centres[rng.choice(len(centres), count, p=weights / weights.sum())]
        out[block] = unit(IN_CLUSTER**0.5 * chosen + (1 - IN_CLUSTER) ** 0.5 * drawn(count))
    a = np.sort(rng.choice(background, planted, replace=False))
    cosine = np.empty(planted, dtype=np.float32)
    for block in blocks(planted):
        origin = unit(out[a[block]].astype(np.float32))
        wanted = rng.uniform(*COSINES, len(origin)).astype(np.float32)[:, None]
        aside = drawn(len(origin))
        aside = unit(aside - (aside * origin).sum(axis=1, keepdims=True) * origin)
        partner = (wanted * origin + np.sqrt(1 - wanted**2) * aside).astype(np.float16)
        out[background + block.start : background + block.stop] = partner
        cosine[block] = (out[a[block]].astype(np.float32) * partner).sum(axis=1)
    np.savez(folder / "planted.npz", a=a, b=background + np.arange(planted), likeness=cosine)


def write_hashes(rows: int, folder: Path) -> None:
    """The hashes, and the planted pairs: the partner of a row stands among the last rows."""
    rng = np.random.default_rng(rows)
    codes = rng.integers(0, 256, (rows, 32), dtype=np.uint8)
    planted, copies, crowd = rows // 20, rows // 100, rows // 1000
    distance = rng.integers(1, MAX_HAMMING_BITS + 1, planted)
    background = rows - planted
    for block in blocks(planted):
        turned = turned_at_random(codes[block], rng)
        codes[background + block.start : background + block.stop] = changed(turned, distance[block], rng)
    codes[planted : planted + copies] = codes[planted + copies : planted + 2 * copies]
    members = slice(planted + 2 * copies, planted + 2 * copies + crowd)
    codes[members] = changed(np.repeat(codes[members][:1], crowd, axis=0), rng.integers(1, 7, crowd), rng)
    np.save(folder / "hashes.npy", codes)
    np.savez(folder / "planted.npz", a=np.arange(planted), b=background + np.arange(planted), likeness=distance)


def turned_at_random(codes: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Hashes of the images flipped and turned: odd frequencies change sign, transposing transposes."""
    grid = np.unpackbits(codes, axis=1)[:, ::-1].reshape(-1, 16, 16)
    across, down, transposed = rng.integers(0, 2, (3, len(codes)), dtype=np.uint8)
    odd = np.arange(1, 17, dtype=np.uint8) % 2
    grid = np.where(transposed[:, None, None] == 1, grid.transpose(0, 2, 1), grid)
    grid = grid ^ (across[:, None, None] * odd[None, None, :]) ^ (down[:, None, None] * odd[None, :, None])
    return np.packbits(grid.reshape(-1, 256)[:, ::-1], axis=1)


def changed(codes: NDArray[np.uint8], bits: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each code with so many of its bits turned round."""
    order = rng.random((len(codes), 256), dtype=np.float32).argsort(axis=1).argsort(axis=1)
    return np.packbits(np.unpackbits(codes, axis=1) ^ (order < bits[:, None]), axis=1)


def search_descriptors(folder: Path, threads: int, min_cosine: float) -> dict[str, Any]:
    """Search, and score by the planted pairs."""
    from dedupkit.matching.neighbours import neighbour_pairs

    descriptors = np.load(folder / "descriptors.npy", mmap_mode="r")
    started, cpu = time.perf_counter(), time.process_time()
    found = neighbour_pairs(descriptors, min_cosine, threads=threads, work=folder / "work")
    taken = {"search_s": time.perf_counter() - started, "search_cpu_s": time.process_time() - cpu}
    truth = np.load(folder / "planted.npz")
    steps = sorted({min_cosine, 0.6, 0.7, 0.8, 0.9, 1.01})
    bins = [(low, high) for low, high in pairwise(steps) if low >= min_cosine]
    return {
        **taken,
        "pairs": len(found.a),
        "capped": len(found.capped),
        "measured_recall": found.recall,
        "planted_recall": planted_recall(found.a, found.b, truth, bins),
    }


def search_hashes(folder: Path, threads: int) -> dict[str, Any]:
    """Search, and score by the planted pairs."""
    from dedupkit.matching.bit_sampling import expected_recall
    from dedupkit.matching.hamming import hamming_pairs
    from dedupkit.matching.turns import PDQ

    codes = np.load(folder / "hashes.npy")
    started, cpu = time.perf_counter(), time.process_time()
    found = hamming_pairs(codes, PDQ, MAX_HAMMING_BITS, threads=threads)
    taken = {"search_s": time.perf_counter() - started, "search_cpu_s": time.process_time() - cpu}
    bins = [(1, 9), (9, 17), (17, 25), (25, 30), (30, 32)]
    truth = np.load(folder / "planted.npz")
    return {
        **taken,
        "pairs": len(found.a),
        "expected_recall_of_sampling": {str(bits): expected_recall(len(codes), PDQ, bits) for bits in (16, 24, 31)},
        "planted_recall": planted_recall(found.a, found.b, truth, bins),
    }


def planted_recall(
    a: NDArray[np.int64], b: NDArray[np.int64], truth: Any, bins: list[tuple[float, float]]
) -> dict[str, float]:
    """Share of the planted pairs that was found, by cosine or bits, from (included) to (excluded)."""
    partner = a << 32 | b
    wanted = truth["a"].astype(np.int64) << 32 | truth["b"]
    found = np.isin(wanted, partner[b >= truth["b"][0]])
    likeness = truth["likeness"]
    every = {f"{low:g}-{high:g}": found[(likeness >= low) & (likeness < high)] for low, high in bins}
    return {name: round(float(each.mean()), 4) for name, each in every.items() if len(each)}


def run(kind: str, rows: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Write one set and search it, in a process each."""
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        folder = Path(name)
        command = [sys.executable, __file__, "--folder", folder, "--kind", kind, "--rows", str(rows)]
        command += ["--threads", str(arguments.threads), "--min-cosine", str(arguments.min_cosine), "--step"]
        measure([*command, "write"], sample_memory=False)
        taken = measure([*command, "search"], stdout=folder / "said.json", sample_memory=False)
        said = json.loads((folder / "said.json").read_text())
    rounded = {name: round(said.pop(name), 2) for name in ("search_s", "search_cpu_s")}
    return {"kind": kind, "rows": rows, **rounded, "peak_rss_mib": round(taken.peak_process_mib, 1), **said}


def growth(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Exponents of time, by the clock and of the processors, between one size and the next of each kind."""
    return [
        {
            "kind": small["kind"],
            "rows": [small["rows"], large["rows"]],
            "exponent": _exponent(small, large, "search_s"),
            "cpu_exponent": _exponent(small, large, "search_cpu_s"),
        }
        for small, large in pairwise(runs)
        if small["kind"] == large["kind"]
    ]


def _exponent(small: dict[str, Any], large: dict[str, Any], of: str) -> float:
    return round(math.log(large[of] / small[of]) / math.log(large["rows"] / small["rows"]), 3)


def step(arguments: argparse.Namespace) -> None:
    """What a process of its own does."""
    if arguments.step == "write":
        write = write_descriptors if arguments.kind == "descriptors" else write_hashes
        write(int(arguments.rows), arguments.folder)
    elif arguments.kind == "descriptors":
        print(json.dumps(search_descriptors(arguments.folder, arguments.threads, arguments.min_cosine)))
    else:
        print(json.dumps(search_hashes(arguments.folder, arguments.threads)))


def main() -> None:
    """Run all sizes and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="100000,1000000,10000000", help="sizes, with commas")
    parser.add_argument("--kind", default="descriptors,hashes", help="which searches, with commas")
    parser.add_argument("--scratch", type=Path, help="where sets may lie for the time of the run: 2.5 KB a row")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--min-cosine", type=float, default=0.6)
    parser.add_argument("--out", type=Path, default=RESULTS / "search_scale.json")
    parser.add_argument("--step", choices=("write", "search"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step(arguments)
        return
    runs = []
    for kind in arguments.kind.split(","):
        for rows in map(int, arguments.rows.split(",")):
            runs.append(run(kind, rows, arguments))
            print(json.dumps(runs[-1]), flush=True)
    result = {
        "question": "Do the searches for near descriptors and hashes hold time and memory as the set grows?",
        "environment": environment(("numpy", "faiss-cpu")),
        "threads": arguments.threads,
        "min_cosine": arguments.min_cosine,
        "max_hamming_bits": MAX_HAMMING_BITS,
        "runs": runs,
        "growth": growth(runs),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["growth"]))


if __name__ == "__main__":
    main()
