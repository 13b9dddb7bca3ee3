"""How fast from start to JSON, against the rivals, on the same folder in the same run?

    python benchmarks/speed.py FOLDER --truth groups.csv [--preset fast] [--immaculate-python PATH]
        [--rivals-python PATH] [--fastdup-python PATH] [--runs 5]

Each tool runs as a whole process, start of the interpreter included, with its default settings; the tools take turns
(A B C A B C), so that what else the machine does meets all of them; memory is sampled in a turn of its own.  All files
are read once before, so that they come out of memory.  Wall time is the median; a tool is scored on what it says: on
all pairs inside its groups, or, where it gives pairs (imagededup), on those.  Rivals live in environments of their own:
immaculate needs Python >= 3.12, imagededup, imagehash and cleanvision go together into another, and fastdup wants older
releases of what they share.  What is not given is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import DEDUPKIT, RESULTS, ROOT, Measured, environment, measure, version_in
from scoring import read_truth, score
from tables import speed_table

if TYPE_CHECKING:
    from collections.abc import Sequence

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that looks for duplicates in a folder.

    Attributes
    ----------
    name, version, settings : str
        As the table shows them.
    command : tuple of str
        Program and arguments; OUT stands for the JSON file.
    prints : bool
        Whether it prints its JSON instead of writing it to OUT.
    """

    name: str
    version: str
    settings: str
    command: tuple[str, ...]
    prints: bool = False


def tools(
    folder: Path, preset: str, immaculate: str | None = None, rivals: str | None = None, fastdup: str | None = None
) -> list[Tool]:
    """The tools that there are interpreters for: with the preset fast those that hash, else those that embed.

    fastdup embeds only; it stands among the first with what it does by default, which is quick.
    """
    found = [
        Tool(
            "dedupkit find",
            environment()["versions"]["dedupkit"],
            f"--preset {preset}",
            (*DEDUPKIT, "find", str(folder), "--preset", preset, "--json", "OUT"),
        )
    ]
    if immaculate:
        program = str(Path(immaculate).parent / "immaculate")
        method = "pdq" if preset == "fast" else "sscd_distilled"
        command = (program, "--json", "--method", method, str(folder))
        settings = f"--method {method}"
        found.append(Tool("immaculate", version_in(immaculate, "immaculate"), settings, command, prints=True))
    for interpreter, name, script, options, settings in _scripts(rivals, fastdup)[preset]:
        if interpreter:
            command = (interpreter, str(ROOT / "benchmarks" / "rivals" / script), str(folder), "OUT", *options)
            found.append(Tool(name, version_in(interpreter, name), settings, command))
    return found


def _scripts(
    rivals: str | None, fastdup: str | None
) -> dict[str, list[tuple[str | None, str, str, tuple[str, ...], str]]]:
    """Of each preset: interpreter, package, script, options after FOLDER and OUT, and the settings as a table shows."""
    lite0 = "CNN, EfficientNet-lite0, cosine 0.9 (default)"  # its own network is in no package: see imagededup_cnn.py
    return {
        "fast": [
            (rivals, "imagededup", "imagededup_phash.py", (), "PHash, distance 10 (default)"),
            (rivals, "imagehash", "imagehash_phash.py", (), "phash, equal"),
            (rivals, "cleanvision", "cleanvision_duplicates.py", (), "exact and near duplicates"),
            (fastdup, "fastdup", "fastdup_components.py", ("default",), "run and connected_components, defaults"),
        ],
        "thorough": [
            (fastdup, "fastdup", "fastdup_components.py", ("accurate",), "high_accuracy=True"),
            (rivals, "imagededup", "imagededup_cnn.py", ("lite0", "0.9"), lite0),
        ],
    }


def run_once(tool: Tool, scratch: Path, *, sample_memory: bool) -> tuple[Measured, dict[str, Any]]:
    """Run a tool; what it took, and what it said."""
    out = scratch / "out.json"
    out.unlink(missing_ok=True)
    command = [str(out) if part == "OUT" else part for part in tool.command]
    measured = measure(command, stdout=out if tool.prints else None, sample_memory=sample_memory)
    return measured, _as_groups(json.loads(out.read_text()))


def _as_groups(said: dict[str, Any]) -> dict[str, Any]:
    if "exact" in said:  # immaculate
        return {"groups": [*said["exact"], *said["near"]]}
    return said


def warm(folder: Path) -> tuple[int, int]:
    """Read all images once; how many there are, and their bytes."""
    sizes = [len(path.read_bytes()) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
    return len(sizes), sum(sizes)


def summarise(
    tool: Tool, runs: Sequence[Measured], sampled: Sequence[Measured], images: int, quality: dict[str, Any]
) -> dict[str, Any]:
    """One tool's entry in the JSON."""
    wall = statistics.median(run.wall_s for run in runs)
    trees = [run.peak_tree_mib for run in sampled if run.peak_tree_mib is not None]
    return {
        "name": tool.name,
        "version": tool.version,
        "settings": tool.settings,
        "wall_s": round(wall, 3),
        "wall_s_runs": [round(run.wall_s, 3) for run in runs],
        "images_per_s": round(images / wall, 1),
        "cpu_s": round(statistics.median(run.cpu_s for run in runs), 3),
        "peak_tree_mib": round(max(trees), 1) if trees else None,
        "peak_process_mib": round(max(run.peak_process_mib for run in runs), 1),
        **quality,
    }


def main() -> None:
    """Run all tools in turns and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of images")
    parser.add_argument("--truth", type=Path, required=True, help="CSV with columns file, group, family")
    parser.add_argument("--immaculate-python", help="interpreter of an environment with immaculate")
    parser.add_argument("--rivals-python", help="interpreter of one with imagededup, imagehash and cleanvision")
    parser.add_argument("--fastdup-python", help="interpreter of one with fastdup")
    parser.add_argument("--preset", choices=("fast", "thorough"), default="fast")
    parser.add_argument("--runs", type=int, default=5, help="timed ones; with 0 the one that samples memory counts")
    parser.add_argument("--said", type=Path, help="folder to keep what each tool said in")
    parser.add_argument("--out", type=Path, help="JSON; left out, speed.json or thorough.json")
    arguments = parser.parse_args()
    out = arguments.out or RESULTS / ("speed.json" if arguments.preset == "fast" else "thorough.json")
    folder = arguments.folder.resolve()
    truth = read_truth(arguments.truth)
    images, total_bytes = warm(folder)
    measured: dict[str, list[Measured]] = defaultdict(list)
    sampled: dict[str, list[Measured]] = defaultdict(list)
    quality: dict[str, dict[str, Any]] = {}
    chosen = tools(
        folder, arguments.preset, arguments.immaculate_python, arguments.rivals_python, arguments.fastdup_python
    )
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(arguments.runs + 1):  # the first for memory, which cannot be sampled without cost in time
            for tool in chosen:
                taken, said = run_once(tool, Path(scratch), sample_memory=turn == 0)
                (measured if turn else sampled)[tool.name].append(taken)
                quality.setdefault(tool.name, score(truth, said))
                if arguments.said:
                    arguments.said.mkdir(parents=True, exist_ok=True)
                    (arguments.said / f"{tool.name}.json").write_text(json.dumps(said))
                print(f"run {turn}: {tool.name} {taken.wall_s:.2f} s", flush=True)
    result = {
        "question": "How fast from start to JSON, against the rivals, on the same folder in the same run?",
        "environment": environment(("numpy", "pillow", "simplejpeg", "scipy", "pyarrow", "onnxruntime", "faiss-cpu")),
        "data": {
            "images": images,
            "bytes": total_bytes,
            "groups": len({row["group"] for row in truth}),
            "families": len({row["family"] for row in truth}),
        },
        "runs": max(1, arguments.runs),
        "tools": [
            summarise(tool, measured[tool.name] or sampled[tool.name], sampled[tool.name], images, quality[tool.name])
            for tool in chosen
        ],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(speed_table(result))


if __name__ == "__main__":
    main()
