"""Does anything grow in a process that cleans and streams the same set for half an hour, once it has warmed up?

    python benchmarks/soak.py [--minutes 45] [--samples 20000] [--preset fast] [--ways clean stream]

A set of small pictures is made out of the package's examples, a tenth of them copies, in tars of 1,000.  One process
then goes over it again and again, once with `dedupkit.clean` into a new output and once through a
`StreamingDeduplicator` that remembers a quarter of it, until the time is over.  Once a second another process looks at
it: resident memory, that of its worker processes, open files, threads, and files in the folder for temporary ones.  A
round is one pass of each; of each round the mean counts, and what stands after it.  The first third of the rounds is
left out: allocators and caches fill, which for glibc takes a quarter of an hour.  What came out has to be the same each
time.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from flatness import slope
from measure import RESULTS, ROOT, environment
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIDE, SHARD, COPIED, SECONDS = 72, 1000, 10, 1.0
MEASURES = ("rss_mib", "fds", "threads", "temporary_files", "workers_rss_mib")


def pictures(count: int) -> Iterator[bytes]:
    """Encoded pictures that differ, each tenth a copy of an earlier one in another quality."""
    from dedupkit.demo import example_images

    photos = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(example_images().rglob("photo-*.jpg"))]
    rng, last = np.random.default_rng(11), Image.new("RGB", (SIDE, SIDE))
    for number in range(count):
        if number % COPIED:
            tiles = [_tile(photos[int(rng.integers(len(photos)))], rng) for _ in range(4)]
            last = Image.fromarray(np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])]))
        target = io.BytesIO()
        last.save(target, "JPEG", quality=90 if number % COPIED else 75)
        yield target.getvalue()


def _tile(photo: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    half = SIDE // 2
    top, left = (int(rng.integers(0, side - half)) for side in photo.shape[:2])
    return photo[top : top + half, left : left + half]


def write_source(folder: Path, count: int, in_a_shard: int = SHARD) -> Path:
    """Tars of so many samples each."""
    folder.mkdir()
    made = enumerate(pictures(count))
    for shard in range(-(-count // in_a_shard)):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for number, data in islice(made, in_a_shard):
                for ending, content in (("jpg", data), ("txt", f"picture {number}".encode())):
                    member = tarfile.TarInfo(f"{number:08d}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return folder


def work(source: Path, out: Path, preset: str, ways: Sequence[str]) -> None:
    """Go over the set again and again; a line on stdout after each pass: what was done, and what came out."""
    import dedupkit
    from dedupkit import Recipe, StreamingDeduplicator
    from dedupkit.sources import open_source

    recipe, opened = Recipe.of({"preset": preset}, name="soak"), open_source(source)
    total = sum(1 for shard in opened.shards() for _ in opened.read(shard))
    while True:
        for way in ways:
            if way == "clean":
                result = dedupkit.clean(source, out, recipe=recipe, overwrite=True)
                found = repr(result.decisions().select(["key", "action", "kept_key"]).to_pydict())
            else:
                samples = (sample for shard in opened.shards() for sample in opened.read(shard))
                stream = StreamingDeduplicator(recipe=recipe, max_entries=max(1000, total // 4))
                found = repr([sample.key for sample in stream(samples)])
            print(json.dumps({"way": way, "found": hashlib.sha256(found.encode()).hexdigest()[:16]}), flush=True)
            del found
        gc.collect()
        print(json.dumps({"round": True}), flush=True)
        time.sleep(2 * SECONDS)  # looked at while at rest


class Looking(threading.Thread):
    """Looks at a process and all that it started, once a second."""

    def __init__(self, process: psutil.Process, temporary: Path) -> None:
        super().__init__(daemon=True)
        self.seen: list[dict[str, float]] = []
        self._process, self._temporary, self._ended = process, temporary, threading.Event()
        self._began = time.monotonic()

    def run(self) -> None:
        """Look until it is told to stop."""
        while not self._ended.wait(SECONDS):
            self.seen.append({"s": round(time.monotonic() - self._began, 1), **self._look()})

    def _look(self) -> dict[str, float]:
        found = dict.fromkeys(MEASURES, 0.0)
        with suppress(psutil.Error), self._process.oneshot():
            found["rss_mib"] = self._process.memory_info().rss / 2**20
            found["fds"], found["threads"] = self._process.num_fds(), self._process.num_threads()
        for each in self._process.children(recursive=True):
            with suppress(psutil.Error):  # it has ended in the meantime
                found["workers_rss_mib"] += each.memory_info().rss / 2**20
        found["temporary_files"] = sum(len(files) for _, _, files in os.walk(self._temporary))
        return {name: round(value, 1) for name, value in found.items()}

    def stop(self) -> None:
        """End looking."""
        self._ended.set()
        self.join()


def soaked(source: Path, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Let the process work for a while; what was seen."""
    temporary = scratch / "tmp"
    temporary.mkdir()
    command = [sys.executable, __file__, "--work", str(source), str(scratch / "out"), "--preset", options.preset]
    env = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, "--ways", *options.ways], stdout=subprocess.PIPE, text=True, env=env, start_new_session=True
    )
    looking = Looking(psutil.Process(process.pid), temporary)
    looking.start()
    timer = threading.Timer(options.minutes * 60, os.killpg, (process.pid, signal.SIGTERM))
    timer.start()
    ends, found, began = [0.0], dict[str, list[str]](), time.monotonic()
    for line in process.stdout or ():
        told = json.loads(line)
        if "round" in told:
            ends.append(time.monotonic() - began)
            print(f"round {len(ends) - 1}: {ends[-1]:.0f} s, {looking.seen[-1:]}", flush=True)
        else:
            found.setdefault(told["way"], []).append(told["found"])
    timer.cancel()
    looking.stop()
    if process.wait() not in (0, -15):
        raise SystemExit("the process that was looked at failed")
    return {"passes": {way: len(each) for way, each in found.items()},
            "different_results": {way: len(set(each)) for way, each in found.items()},
            **judged(looking.seen, ends)}  # fmt: skip


def judged(seen: list[dict[str, float]], ends: list[float]) -> dict[str, Any]:
    """Slopes of what was seen, by round."""
    first = max(2, len(ends) // 3)
    last = max(look["s"] for look in seen)
    spans = [span for span in zip(ends[first:-1], ends[first + 1 :], strict=True) if span[1] < last]
    if len(spans) < 3:
        raise SystemExit(f"only {len(spans)} rounds were whole after the first {first}; give it more time")
    middles, slopes = [(start + stop) / 2 for start, stop in spans], {}
    for name in MEASURES:
        looks = [[look[name] for look in seen if start < look["s"] <= stop] for start, stop in spans]
        if name == "workers_rss_mib":  # they end when they idle for a minute
            most = max(map(max, looks))
            looks = [[value for value in each if value > most / 2] or [most] for each in looks]
        slopes[name] = {"in_rounds": slope(middles, [float(np.mean(each)) for each in looks])}
        if name != "workers_rss_mib":
            rests = [next(look[name] for look in seen if look["s"] > stop) for _, stop in spans]
            slopes[name]["at_rest"] = slope([stop for _, stop in spans], rests)
    return {"rounds": len(ends) - 1, "rounds_left_out": first, "slopes": slopes, "seen": seen}


def main() -> None:
    """Read the options, soak, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--ways", nargs="+", choices=["clean", "stream"], default=["clean", "stream"])
    parser.add_argument("--out", type=Path, default=RESULTS / "soak.json")
    parser.add_argument("--work", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work, options.preset, options.ways)
        return
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        source = write_source(Path(scratch, "source"), options.samples)
        found = soaked(source, Path(scratch), options)
    chosen = {"minutes": options.minutes, "samples": options.samples, "preset": options.preset}
    result = {"environment": environment(("numpy", "pyarrow", "scipy")), **chosen, **found}
    options.out.write_text(json.dumps(result) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in result.items() if name != "seen"}, indent=1))


if __name__ == "__main__":
    main()
