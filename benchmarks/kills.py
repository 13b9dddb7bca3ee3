"""Does a run that is killed again and again end at the bytes of an undisturbed one?

    python benchmarks/kills.py SOURCE [--out s3://bucket/kills | FOLDER] [--kills 100] [--seed 0] [-- OPTIONS OF CLEAN]

A run of `dedupkit clean` is killed (SIGKILL) after a random share of the time that an undisturbed one takes, and begun
again, until so many kills have hit; where a run ends before its kill, its output is compared and removed, and the next
begins anew.  All files of OUT have to be the same, those of the work folder too, but for the lock.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import fsspec
import numpy as np
from measure import DEDUPKIT, RESULTS, environment

_LOCK = ".dedupkit/lock"


def digests(out: str) -> dict[str, str]:
    """Digest of each file below an output folder, by its path there."""
    filesystem, root = fsspec.core.url_to_fs(out, skip_instance_cache=True, use_listings_cache=False)
    names = {path[len(root) :].lstrip("/"): path for path in filesystem.find(root)}
    return {
        name: hashlib.sha256(filesystem.cat_file(path)).hexdigest() for name, path in names.items() if name != _LOCK
    }


def removed(out: str) -> None:
    """Remove an output folder."""
    filesystem, root = fsspec.core.url_to_fs(out, skip_instance_cache=True, use_listings_cache=False)
    if filesystem.exists(root):
        filesystem.rm(root, recursive=True)


def start(
    source: str, out: str, options: list[str], said: IO[bytes] | int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Begin a run."""
    command = [*DEDUPKIT, "clean", source, out, *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)


def finished(source: str, out: str, options: list[str]) -> tuple[dict[str, str], float]:
    """What a run leaves that nobody disturbs, and how many seconds it takes."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        if (code := start(source, out, options, said).wait()) != 0:
            said.seek(0)
            words = said.read().decode(errors="replace")
            raise SystemExit(f"dedupkit clean {source} {out} failed with code {code}:\n{words}")
    return digests(out), time.monotonic() - began


def killed(source: str, out: str, options: list[str], after_s: float) -> bool:
    """Whether a run was killed before it had ended."""
    run = start(source, out, options)
    try:
        run.wait(after_s)
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()
        return True
    return False


def measured(source: str, out: str, kills: int, seed: int, options: list[str]) -> dict[str, Any]:
    """Kill runs, and compare what they end at."""
    rng = np.random.default_rng(seed)
    whole, seconds = finished(source, f"{out}/undisturbed", options)
    hit, compared, different, moments = 0, 0, list[str](), list[float]()
    place, largest = f"{out}/killed", int(rng.integers(1, 6))
    removed(place)
    in_a_row = 0
    while hit < kills:
        moment = float(rng.uniform(0.05, 1))
        if in_a_row < largest and killed(source, place, options, seconds * moment):
            hit, in_a_row = hit + 1, in_a_row + 1
            moments.append(round(moment, 3))
            if hit < kills:
                continue
        left, _ = finished(source, place, options)
        different += sorted(name for name in whole.keys() | left.keys() if whole.get(name) != left.get(name))
        compared, in_a_row, largest = compared + 1, 0, int(rng.integers(1, 6))
        removed(place)
    return {
        "kills": hit,
        "compared_runs": compared,
        "different_files": sorted(set(different)),
        "files": len(whole),
        "undisturbed_s": round(seconds, 2),
        "moments_of_an_undisturbed_run": moments,
    }


def main() -> None:
    """Read the options, measure, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--out", help="folder or URL below which outputs are made and removed")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--result", default="kills.json", help="name of the result")
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    chosen, options = parser.parse_args(sys.argv[1:end]), sys.argv[end + 1 :]
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        out = (chosen.out or scratch).rstrip("/")
        found = measured(chosen.source, out, chosen.kills, chosen.seed, options)
    where = out.partition("://")[0] if "://" in out else "local"
    found = {"where": where, "options": options, "seed": chosen.seed, **found}
    Path(RESULTS, chosen.result).write_text(json.dumps({**environment(), **found}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    raise SystemExit(bool(found["different_files"]))


if __name__ == "__main__":
    main()
