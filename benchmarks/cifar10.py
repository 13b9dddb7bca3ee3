"""How many of CIFAR-10's training images are copies of another, and where do imagededup and dedupkit differ?

    python benchmarks/cifar10.py train.parquet --rivals-python PATH [--images 20000] [--page differences.html]

Carlini et al. 2023 (arXiv:2301.13188) removed 5,275 of the 50,000, found by imagededup at a cosine of 0.85.  Here
imagededup runs with its CNN at 0.85 on EfficientNet-lite0, since the weights of its own network are not in any package;
with `--methods phash` its PHash at the default distance, whose search compares all pairs in Python and was stopped here
after 20 minutes.  The page shows pairs that one tool says and the other does not, as
many as there are or a sample drawn by chance, enlarged.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import tempfile
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from measure import DEDUPKIT, RESULTS, environment, measure, version_in

if TYPE_CHECKING:
    from collections.abc import Collection

RIVALS = Path(__file__).parent / "rivals"
PAPER = 5275
SHOWN = 150

Pairs = set[tuple[str, str]]


def unpack(parquet: Path, folder: Path, images: int) -> int:
    """Write the first images as files named by their keys."""
    folder.mkdir()
    count = 0
    for batch in pq.ParquetFile(parquet).iter_batches(5000, columns=["key", "image"]):
        for row in batch.slice(0, images - count).to_pylist():
            (folder / f"{row['key'].replace('/', '_')}.png").write_bytes(row["image"]["bytes"])
            count += 1
    return count


def of_dedupkit(folder: Path, scratch: Path, preset: str) -> tuple[dict[str, Any], Pairs]:
    """Groups, and all pairs inside them."""
    out = scratch / "ours.json"
    taken = measure([*DEDUPKIT, "find", folder, "--preset", preset, "--json", out])
    groups = [sorted(Path(name).name for name in group) for group in json.loads(out.read_text())["groups"]]
    pairs = {pair for group in groups for pair in combinations(group, 2)}
    said = {"groups": len(groups), "removed": sum(len(group) - 1 for group in groups), "pairs": len(pairs)}
    return {"name": f"dedupkit, {preset}", **said, **_cost(taken)}, pairs


def of_imagededup(folder: Path, scratch: Path, python: str, script: str, *options: str) -> tuple[dict[str, Any], Pairs]:
    """The pairs it says."""
    out = scratch / "theirs.json"
    taken = measure([python, RIVALS / script, folder, out, *options])
    said = json.loads(out.read_text())
    pairs = {(a, b) for a, b in said["pairs"]}
    removed = len(said["removed"]) if "removed" in said else None
    name = " ".join([f"imagededup {version_in(python, 'imagededup')}", Path(script).stem.split("_")[1], *options])
    return {"name": name, "groups": None, "removed": removed, "pairs": len(pairs), **_cost(taken)}, pairs


def _cost(taken: Any) -> dict[str, float | None]:
    return {
        "wall_s": round(taken.wall_s, 1),
        "cpu_s": round(taken.cpu_s, 1),
        "peak_tree_mib": taken.peak_tree_mib and round(taken.peak_tree_mib, 1),
    }


def page(folder: Path, sections: list[tuple[str, Collection[tuple[str, str]]]]) -> str:
    """Pairs side by side, a sample of each section."""
    rng, parts = np.random.default_rng(0), []
    for title, pairs in sections:
        ordered = sorted(pairs)
        chosen = sorted(rng.permutation(len(ordered))[:SHOWN].tolist())
        parts.append(f"<h2>{html.escape(title)}: {len(ordered):,}, {len(chosen)} shown</h2><div>")
        parts += [f"<span>{_picture(folder / a)}{_picture(folder / b)}</span>" for a, b in (ordered[n] for n in chosen)]
        parts.append("</div>")
    style = "img{width:64px;image-rendering:pixelated}span{display:inline-block;margin:3px;white-space:nowrap}"
    return f"<!doctype html><meta charset=utf-8><title>CIFAR-10</title><style>{style}</style>{''.join(parts)}"


def _picture(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img src="data:image/png;base64,{data}" title="{html.escape(path.name)}">'


def main() -> None:
    """Run all tools and write the JSON and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parquet", type=Path)
    parser.add_argument("--rivals-python", help="interpreter of an environment that has imagededup")
    parser.add_argument("--methods", default="cnn", help="cnn, phash: of imagededup, with commas")
    parser.add_argument("--images", type=int, default=50_000, help="how many, the first of the file")
    parser.add_argument("--page", type=Path, help="where to write the pairs in which they differ")
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS / "cifar10.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        scratch = Path(name)
        folder = scratch / "images"
        count = unpack(arguments.parquet, folder, arguments.images)
        found = [of_dedupkit(folder, scratch, preset) for preset in ("thorough", "fast")]
        if arguments.rivals_python:
            for method in arguments.methods.split(","):
                script, options = f"imagededup_{method}.py", ("lite0",) if method == "cnn" else ()
                found.append(of_imagededup(folder, scratch, arguments.rivals_python, script, *options))
        ours = found[0][1]
        tools = [{**said, "pairs_also_ours": len(pairs & ours)} for said, pairs in found]
        sections: list[tuple[str, Collection[tuple[str, str]]]] = []
        for said, pairs in found[2:]:
            sections += [
                (f"dedupkit, not {said['name']}", ours - pairs),
                (f"{said['name']}, not dedupkit", pairs - ours),
            ]
        if arguments.page:
            arguments.page.write_text(page(folder, sections or [("dedupkit", ours)]))
    result = {
        "question": "How many of CIFAR-10's training images are copies, by dedupkit and by imagededup?",
        "environment": environment(("numpy", "pillow", "onnxruntime", "faiss-cpu")),
        "images": count,
        "paper_removed": PAPER,
        "tools": tools,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["tools"], indent=1))


if __name__ == "__main__":
    main()
