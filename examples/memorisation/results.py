"""What a run says, pooled over its seeds: tables in Markdown, and the curve of extraction against repetition.

python examples/memorisation/results.py result.json [extracted.svg]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.canary_exposure import median_interval
from dedupkit.audit.statistics import Share, mean_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).resolve().parent / "results" / "small.json"
PAGES = (ROOT / "docs/memorisation.md", ROOT / "examples/memorisation/README.md")
_COLOURS = {"repeated": "#c0392b", "cleaned": "#2471a3", "changed": "#1e8449"}
_WORDS = {"repeated": "repeated", "cleaned": "cleaned", "changed": "cleaned, changed, canaries"}


def tables(result: dict[str, Any]) -> str:
    """All tables of a result in Markdown."""
    return "\n\n".join(render(result) for render in _TABLES.values()) + "\n"


def curve(result: dict[str, Any], name: str) -> dict[int, Share]:
    """For each number of times that pictures stood in the set "repeated", the share that a set's models gave back."""
    found: dict[int, Share] = {}
    for run in _runs(result, name):
        for each in run["extraction"]["by_repetitions"]:
            before = found.get(each["repetitions"], Share(0, 0))
            found[each["repetitions"]] = Share(before.successes + each["extracted"], before.trials + each["tried"])
    return dict(sorted(found.items()))


def figure(result: dict[str, Any], path: Path) -> None:
    """Draw the curves with their intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    with mpl.rc_context({"svg.hashsalt": "dedupkit", "font.size": 10}):
        drawn, axes = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
        for number, (name, colour) in enumerate(_COLOURS.items()):
            points = {count: share for count, share in curve(result, name).items() if share.trials}
            middle = [100 * share.value for share in points.values()]
            ends = [[100 * bound for bound in share.interval] for share in points.values()]
            away = [[value - low, high - value] for value, (low, high) in zip(middle, ends, strict=True)]
            places = [count * 1.06 ** (number - 1) for count in points]
            axes.errorbar(places, middle, np.transpose(away), color=colour, label=_WORDS[name], marker="o", capsize=3)
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(curve(result, "repeated")), [str(each) for each in curve(result, "repeated")])
        axes.set_xlabel("times that a picture stood in the set before cleaning")
        axes.set_ylabel("pictures extracted, %")
        axes.set_ylim(-2, 102)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        drawn.savefig(path, metadata={"Date": None})
        pyplot.close(drawn)


def _runs(result: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [run for run in result["runs"] if run["set"] == name]


def _before_and_after(result: dict[str, Any]) -> str:
    rows = []
    for name, words in _WORDS.items():
        runs = _runs(result, name)
        false = Share(
            *(sum(run["extraction"]["false_matches"][key] for run in runs) for key in ("successes", "trials"))
        )
        rows.append(
            [
                words,
                _range([run["samples"] for run in runs]),
                _range([run["pictures"] for run in runs]),
                _range([run["copies"] for run in runs]),
                ", ".join(str(run["extraction"]["extracted"]) for run in runs),
                _mean([run["extraction"]["extracted"] for run in runs]),
                f"{false.successes} of {false.trials}",
            ]
        )
    extraction = result["runs"][0]["extraction"]
    head = ["trained on", "samples", "pictures", "copies beside", "extracted, by seed", "mean", "controls as near"]
    return _table(
        f"Training pictures that came out, among {extraction['generations']:,} drawn by each model, within "
        f"{extraction['max_l2']:g}:",
        head,
        rows,
    )


def _by_repetitions(result: dict[str, Any]) -> str:
    curves = {name: curve(result, name) for name in _WORDS}
    rows = [[str(count), *(_share(curves[name].get(count)) for name in _WORDS)] for count in curves["repeated"]]
    seeds = len(_runs(result, "repeated"))
    return _table(
        f"By how often a picture stood before cleaning, {seeds} seeds together, with exact 95 % intervals:",
        ["times", *_WORDS.values()],
        rows,
    )


def _often_and_once(result: dict[str, Any]) -> str:
    rows = []
    for name, words in _WORDS.items():
        for often in ("often", "once"):
            asked = [run["by_repetition"][often] for run in _runs(result, name)]
            found = [each["membership"] for each in asked]
            hits = [Share(each["at"]["true_positive_rate"]["successes"], each["members"]) for each in found]
            pooled = Share(sum(each.successes for each in hits), sum(each.trials for each in hits))
            rows.append(
                [
                    words,
                    often,
                    _mean([each["auc"] for each in found], 2),
                    _share(pooled),
                    _mean([each["inpainting"]["difference"] for each in asked], 3),
                    ", ".join(f"{each['inpainting']['p_value']:.1g}" for each in asked),
                ]
            )
    return _table(
        "Membership (loss threshold) and inpainting, of pictures that stood 16 times or more before cleaning and of "
        "those that stood once, against controls; means over seeds with 95 % intervals (Student's t):",
        ["trained on", "pictures", "AUC", "found at 1 % false", "inpainting error below controls'", "p by seed"],
        rows,
    )


def _exposures(result: dict[str, Any]) -> str:
    runs = [run["exposure"] for run in _runs(result, "changed")]
    rows = []
    for count in sorted({int(each) for run in runs for each in run["bits"]}):
        bits = np.concatenate([run["bits"].get(str(count), []) for run in runs])
        most = runs[0]["controls"]
        low, high = median_interval(bits, (float(np.log2(most / (most + 1))), float(np.log2(most))))
        came = [run["extracted"][str(count)] for run in runs if str(count) in run["extracted"]]
        pooled = Share(*(sum(each[key] for each in came) for key in ("successes", "trials")))
        values = [run["p_values"][str(count)] for run in runs if str(count) in run["p_values"]]
        rows.append(
            [
                str(count),
                str(len(bits)),
                f"{np.median(bits):.1f} ({low:.1f} to {high:.1f})",
                ", ".join(f"{each:.1g}" for each in values),
                _share(pooled),
            ]
        )
    false = Share(*(sum(run["false_hits"][key] for run in runs) for key in ("successes", "trials")))
    return _table(
        f"Canaries in the third set against {runs[0]['controls']} controls a seed; the most that exposure can be is "
        f"{runs[0]['ceiling_bits']:.1f} bits, and 1 bit is what chance gives. Drawn means within 0.15 in every tile, "
        f"which {false.successes} of {false.trials} controls were too:",
        ["times planted", "canaries", "median exposure, bits", "p by seed (Holm)", "drawn by the model"],
        rows,
    )


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [title, "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _share(share: Share | None) -> str:
    if share is None or not share.trials:
        return "none tried"
    low, high = share.interval
    return f"{share.successes} of {share.trials}: {100 * share.value:.0f} % ({100 * low:.1f} to {100 * high:.1f})"


def _mean(values: Sequence[float], digits: int = 1) -> str:
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    low, high = mean_interval(np.asarray(values, np.float64))
    return f"{np.mean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _range(values: Sequence[int]) -> str:
    return f"{min(values):,}" if min(values) == max(values) else f"{min(values):,} to {max(values):,}"


def _cost(result: dict[str, Any]) -> str:
    machine, runs = result["machine"], result["runs"]
    training, asking = (sum(run[part]["cpu_s"] for run in runs) / len(runs) for part in ("training", "audit"))
    return (
        f"It took {result['minutes']:.0f} minutes with {machine['jobs']} models at a time on {machine['cores']} cores "
        f"({machine['cpu']}), which other work shared: {training:.0f} s of processor time to train each of {len(runs)} "
        f"models, {asking:.0f} s to audit it. Python {machine['python']}, torch {machine['torch']}, "
        f"numpy {machine['numpy']}."
    )


_TABLES = {
    "extracted": _before_and_after,
    "repetitions": _by_repetitions,
    "often": _often_and_once,
    "canaries": _exposures,
    "cost": _cost,
}


def filled(text: str, result: dict[str, Any]) -> str:
    """A page with the tables that it has marks for."""
    for name, render in _TABLES.items():
        opening, closing = f"<!-- memorisation:{name} -->", f"<!-- /memorisation:{name} -->"
        if opening in text:
            start, end = text.index(opening), text.index(closing)
            text = f"{text[:start]}{opening}\n{render(result)}\n{text[end:]}"
    return text


def main() -> None:
    """Print tables, or write or check those of the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", type=Path, help="print the tables of a result.json and nothing else")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a table is out of date")
    asked = parser.parse_args()
    if asked.print:
        print(tables(json.loads(asked.print.read_text())))
        return
    result = json.loads(KEPT.read_text())
    stale = [
        page for page in PAGES if filled(page.read_text(encoding="utf-8"), result) != page.read_text(encoding="utf-8")
    ]
    for page in stale:
        print(f"{'out of date' if asked.check else 'written'}: {page.relative_to(ROOT)}")
        if not asked.check:
            page.write_text(filled(page.read_text(encoding="utf-8"), result), encoding="utf-8")
    if not asked.check:
        figure(result, ROOT / "docs/images/extracted.svg")
    sys.exit(bool(asked.check and stale))


if __name__ == "__main__":
    main()
