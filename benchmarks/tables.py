"""Writes the tables of the documentation out of the benchmarks' JSON.

    python benchmarks/tables.py [--check]

In README.md and docs/*.md, what stands between ``<!-- bench:NAME -->`` and ``<!-- /bench:NAME -->`` is replaced by the
table NAME.  A table whose JSON is not there stays as it is.  With --check nothing is written, and a table that differs
from its JSON is an error.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuzz_tables import fuzz_images_table, fuzz_shards_table, fuzz_small_table
from load_tables import guard_cost_table, ray_kills_table, readers_table, soak_table
from markdown_tables import footing, fraction, mib, table
from mutants_table import mutants_table
from scale_tables import scale_model_table, stages_table
from side_tables import behind_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def speed_table(result: Mapping[str, Any]) -> str:
    """Tools by wall time."""
    data = result["data"]
    rows = [
        (
            f"{tool['name']} {tool['version']} ({tool['settings']})",
            f"{tool['wall_s']:.1f} s",
            f"{tool['images_per_s']:,.0f}",
            f"{tool['cpu_s']:.1f} s",
            mib(tool["peak_tree_mib"] or tool["peak_process_mib"]),
            fraction(tool["precision"]),
            fraction(tool["recall"]),
        )
        for tool in sorted(result["tools"], key=lambda tool: tool["wall_s"])
    ]
    head = ("", "wall time", "images/s", "CPU time", "peak memory", "pair precision", "pair recall")
    about = (
        f"{data['images']:,} images ({data['bytes'] / 1e6:,.0f} MB) of {data['groups']:,} pictures, {data['families']} "
        f"kinds of edits. Whole processes from start to JSON, median of {result['runs']}, in turns. {footing(result)}."
    )
    return f"{table(head, rows)}\n\n{about}"


def families_table(result: Mapping[str, Any]) -> str:
    """Share of the copies of each edit that a tool joins with their original."""
    tools = result["tools"]
    rows = [(family, *(fraction(tool["families"][family]) for tool in tools)) for family in tools[0]["families"]]
    return table(("edit", *(tool["name"] for tool in tools)), rows)


def which_table(result: Mapping[str, Any]) -> str:
    """The presets side by side: recall by edit, then what they cost."""
    fast = json.loads((RESULTS / "speed.json").read_text())
    ours = [next(tool for tool in each["tools"] if tool["name"] == "dedupkit find") for each in (fast, result)]
    rows = [(family, *(fraction(tool["families"][family]) for tool in ours)) for family in ours[0]["families"]]
    rows += [
        ("**all pairs**", *(fraction(tool["recall"]) for tool in ours)),
        ("precision of pairs", *(fraction(tool["precision"]) for tool in ours)),
        ("images/s, 2 cores", *(f"{tool['images_per_s']:,.0f}" for tool in ours)),
        ("peak memory", *(mib(tool["peak_tree_mib"]) for tool in ours)),
    ]
    about = f"`fast`: {footing(fast)}. `thorough`: {footing(result)}."
    return f"{table(('edit', 'fast', 'thorough'), rows)}\n\n{about}"


def scale_table(result: Mapping[str, Any]) -> str:
    """Memory and time by number of images."""
    rows = [
        (f"{run['images']:,}", f"{run['wall_s']:.0f} s", f"{run['images_per_s']:,.0f}", mib(run["peak_tree_mib"]))
        for run in result["runs"]
    ]
    about = f"`dedupkit clean`, whole process. {footing(result)}."
    return f"{table(('images', 'wall time', 'images/s', 'peak memory'), rows)}\n\n{about}"


def fidelity_table(result: Mapping[str, Any]) -> str:
    """Bits between two ways to make a hash."""
    rows = [
        (
            comparison["name"],
            f"{comparison['images']:,}",
            f"{comparison['mean_bits']:.2f}",
            f"{comparison['p99_bits']:.0f}",
            f"{comparison['max_bits']}",
        )
        for comparison in result["comparisons"]
    ]
    return f"{table(('', 'images', 'mean bits', '99th percentile', 'largest'), rows)}\n\n{footing(result)}."


def search_table(result: Mapping[str, Any]) -> str:
    """Time and memory of the searches, and what they found of planted pairs."""
    rows = [
        (
            f"{run['kind']}, {run['rows']:,}",
            f"{run['search_s']:.0f} s",
            mib(run["peak_rss_mib"]),
            f"{run['pairs']:,}",
            ", ".join(f"{name}: {fraction(share)}" for name, share in run["planted_recall"].items()),
        )
        for run in result["runs"]
    ]
    head = ("", "time", "peak memory", "pairs", "found of the planted, by cosine or bits")
    exponents = "; ".join(
        f"{each['kind']} {each['rows'][0]:,} to {each['rows'][1]:,}: {each['exponent']:.2f}"
        + (f" ({each['cpu_exponent']:.2f} of processor time)" if "cpu_exponent" in each else "")
        for each in result["growth"]
    )
    about = f"{result['threads']} threads. Exponent of the growth of time: {exponents}. {footing(result)}."
    if "environment_of_hashes" in result:  # they were measured in another run
        about += f" Hashes: {footing({'environment': result['environment_of_hashes']})}."
    return f"{table(head, rows)}\n\n{about}"


def descriptor_table(result: Mapping[str, Any]) -> str:
    """Networks by images a second on one core."""
    rows = [
        (
            tool["name"],
            f"{tool['side']} px",
            f"{tool['images_per_s']:,.0f}",
            f"{tool['decode_ms']:.2f} ms",
            f"{tool['network_ms']:.2f} ms",
        )
        for tool in result["tools"]
    ]
    about = f"{result['images']:,} images, one thread, median of {result['rounds']} rounds in turns. {footing(result)}."
    return f"{table(('', 'input', 'images/s', 'decode and squeeze', 'network'), rows)}\n\n{about}"


def cifar10_table(result: Mapping[str, Any]) -> str:
    """What the tools would remove of CIFAR-10."""
    rows = [
        (
            tool["name"],
            "?" if tool["removed"] is None else f"{tool['removed']:,}",
            f"{tool['pairs']:,}",
            f"{tool['pairs_also_ours']:,}",
            f"{tool['wall_s']:.0f} s",
            mib(tool["peak_tree_mib"]),
        )
        for tool in result["tools"]
    ]
    head = ("", "removed", "pairs", "of them also of dedupkit, thorough", "wall time", "peak memory")
    about = f"{result['images']:,} images; the paper removed {result['paper_removed']:,}. {footing(result)}."
    return f"{table(head, rows)}\n\n{about}"


def ray_table(result: Mapping[str, Any]) -> str:
    """The same run on the same cores, local and on clusters."""
    rows = [
        (
            way["way"],
            f"{way['clean_s']:.1f} s",
            f"{way['empty_task_ms']:.2f} ms",
            f"{way['more_than_local_ms_a_task']:.1f} ms",
            f"{way['start_s']:.1f} s",
            f"{way['load']:.0f}",
        )
        for way in result["ways"]
    ]
    head = ("", "`clean`", "a task that does nothing", "a task of `clean`, more than local", "start", "load")
    images, tasks = result["shards"] * result["samples_a_shard"], result["ways"][0]["tasks"]
    about = (
        f"{images:,} images in {result['shards']} tars, {tasks:.0f} tasks. Two CPUs in all, whatever the nodes, all "
        "on one machine. Start: joining the cluster and the first worker of each CPU. "
        "Load: that of the machine at the end, one minute's average; above two, others were at work too. "
        f"Median of {result['repeats']}, in turns. {footing(result)}."
    )
    return f"{table(head, rows)}\n\n{about}"


def index_table(result: Mapping[str, Any]) -> str:
    """An index by its size: how long it takes to open, and a query."""
    rows = [
        (
            f"{run['rows']:,}",
            f"{run['open_s']:.2f} s",
            f"{run['p50_ms']:.0f} ms",
            f"{run['p99_ms']:.0f} ms",
            f"{run['cpu_p50_ms']:.0f} ms",
            f"{run['cpu_p99_ms']:.0f} ms",
            fraction(run["found"]),
            "all compared" if run["list_recall"] is None else fraction(run["list_recall"]),
        )
        for run in result["queries"]
    ]
    times = [f"{what}, {share}" for what in ("query", "its processor time") for share in ("median", "99 %")]
    head = ("entries", "opening", *times, "photos found", "near descriptors found")
    return f"{table(head, rows)}\n\n{footing(result)}."


def additions_table(result: Mapping[str, Any]) -> str:
    """Many additions beside one build."""
    found = result["additions"]
    parts, times = len(found["additions_s"]), found["additions_s"]
    rows = [
        (f"{parts} additions", f"{sum(times):,.0f} s", f"{times[0]:.1f} s", f"{times[-1]:.1f} s"),
        ("one build", f"{found['build_s']:,.0f} s", "", ""),
    ]
    same = "the same" if found["same_groups"] and found["same_pairs"] else "NOT the same"
    about = (
        f"{found['samples']:,} images: {same} {found['groups']:,} groups and {found['pairs']:,} pairs; "
        f"{found['files']} files after the last addition. {footing(found)}."
    )
    return f"{table(('', 'time', 'first', 'last'), rows)}\n\n{about}"


def decontamination_table(result: Mapping[str, Any]) -> str:
    """Planted copies that were found, by edit and preset."""
    runs = result["results"]
    rows = [(edit, *(f"{run['recall'][edit]:.2f}" for run in runs)) for edit in runs[0]["recall"]]
    rows += [("all", *(f"{run['recall_all']:.3f}" for run in runs))]
    rows += [
        ("a planted copy matched with another picture", *(f"{run['planted_matched_with_another']}" for run in runs))
    ]
    rows += [("others matched", *(f"{run['not_planted_matched']}" for run in runs))]
    rows += [("time", *(f"{run['wall_s']:,.0f} s" for run in runs))]
    about = f"{runs[0]['train']:,} training images, {runs[0]['reference']:,} in the reference set. {footing(result)}."
    return f"{table(('found, by edit', *(run['preset'] for run in runs)), rows)}\n\n{about}"


def streaming_table(result: Mapping[str, Any]) -> str:
    """Memory and time of a stream as it goes on."""
    steps = result["memory"]
    shown = [steps[at * (len(steps) - 1) // 4] for at in range(5)]
    rows = [(f"{step['samples']:,}", f"{step['mib']:,.0f} MiB", f"{step['s']:,.0f} s") for step in shown]
    same = "the same samples" if result["same_after_restoring"] else "OTHER samples"
    about = (
        f"Preset {result['preset']}, {result['max_entries']:,} remembered; {result['ms_a_sample']:.1f} ms a sample, of "
        f"which making it takes {result['ms_to_make_a_sample']:.1f}. From a state in the middle on {same} came out. "
        f"{footing(result)}."
    )
    return f"{table(('samples', 'memory of the process', 'time'), rows)}\n\n{about}"


TABLES: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "speed": ("speed.json", speed_table),
    "families": ("speed.json", families_table),
    "thorough": ("thorough.json", speed_table),
    "which": ("thorough.json", which_table),
    "thorough_families": ("thorough.json", families_table),
    "behind": ("speed.json", behind_table),
    "laion": ("laion.json", speed_table),
    "unseen": ("unseen.json", speed_table),
    "unseen_families": ("unseen.json", families_table),
    "hidden": ("hidden.json", speed_table),
    "hidden_families": ("hidden.json", families_table),
    "held_photos": ("held_photos.json", speed_table),
    "held_clothing": ("held_clothing.json", speed_table),
    "held_captioned": ("held_captioned.json", speed_table),
    "search": ("search_scale.json", search_table),
    "index": ("index_scale.json", index_table),
    "additions": ("index_scale.json", additions_table),
    "decontamination": ("decontamination.json", decontamination_table),
    "streaming": ("streaming.json", streaming_table),
    "descriptors": ("descriptor_speed.json", descriptor_table),
    "cifar10": ("cifar10.json", cifar10_table),
    "cifar10_10k": ("cifar10_10k.json", cifar10_table),
    "scale": ("scale.json", scale_table),
    "scale_small_images": ("scale_small_images.json", scale_table),
    "embedding_list": ("embedding_list.json", scale_table),
    "fidelity": ("hash_fidelity.json", fidelity_table),
    "stages": ("stages.json", stages_table),
    "scale_model": ("scale_model.json", scale_model_table),
    "mutants": ("mutants.json", mutants_table),
    "ray_overhead": ("ray_overhead.json", ray_table),
    "soak": ("soak.json", soak_table),
    "guard_cost": ("guard_cost.json", guard_cost_table),
    "readers": ("readers.json", readers_table),
    "ray_kills": ("ray_kills.json", ray_kills_table),
    "fuzz_images": ("fuzz.json", fuzz_images_table),
    "fuzz_shards": ("fuzz.json", fuzz_shards_table),
    "fuzz_small": ("fuzz.json", fuzz_small_table),
}


def filled(text: str) -> str:
    """The text with every table that there is JSON for."""
    for name, (file, render) in TABLES.items():
        source = RESULTS / file
        opening, closing = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
        if opening in text and source.is_file():
            body = f"{opening}\n{render(json.loads(source.read_text()))}\n{closing}"
            text = re.sub(f"{opening}.*?{closing}", lambda _: body, text, flags=re.DOTALL)  # noqa: B023
    return text


def main() -> None:
    """Fill the tables, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a table is out of date")
    check = parser.parse_args().check
    stale = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        new = filled(text)
        if new != text:
            stale.append(page.relative_to(ROOT))
            if not check:
                page.write_text(new, encoding="utf-8")
    for name in stale:
        print(f"{'out of date' if check else 'written'}: {name}")
    sys.exit(bool(check and stale))


if __name__ == "__main__":
    main()
