"""The tables of what was measured under load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markdown_tables import footing, table

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = {
    "rss_mib": "resident memory, MiB",
    "fds": "open files",
    "threads": "threads",
    "temporary_files": "temporary files",
    "workers_rss_mib": "resident memory of its workers, MiB",
}


def soak_table(result: Mapping[str, Any]) -> str:
    """What grew, and whether it is told from nothing."""
    rows = [
        (
            f"{_NAMES[name]}, {'mean of a round' if kind == 'in_rounds' else 'after a round'}",
            f"{slope['mean']:,.1f}",
            f"{slope['per_hour']:+,.2f}",
            f"{slope['low']:+,.2f} to {slope['high']:+,.2f}",
            "yes" if slope["holds_zero"] else "no",
        )
        for name, kinds in result["slopes"].items()
        for kind, slope in kinds.items()
    ]
    passes = ", ".join(f"{count} of `{way}`" for way, count in result["passes"].items())
    different = sum(result["different_results"].values()) - len(result["different_results"])
    about = (
        f"Preset {result['preset']}, {result['samples']:,} samples, {result['minutes']:.0f} minutes: "
        f"{result['rounds']} rounds, the first {result['rounds_left_out']} left out; passes: {passes}, all with "
        f"{'the same result' if not different else f'{different} DIFFERENT results'}. {footing(result)}."
    )
    return f"{table(('', 'mean', 'slope an hour', '95 %', 'holds 0'), rows)}\n\n{about}"


def readers_table(result: Mapping[str, Any]) -> str:
    """How readers fared."""
    row = (
        f"{result['readers']}",
        f"{result['queries']:,}",
        f"{result['states_seen']}",
        f"{result['wrong_answers']}",
        f"{len(result['errors'])}",
        *(f"{result['ms'][share]:,.0f} ms" for share in ("p50", "p99", "p100")),
    )
    head = ("readers", "queries", "states seen", "wrong answers", "errors", "median", "99 %", "slowest")
    about = f"Preset {result['preset']}, {result['samples']:,} samples. {footing(result)}."
    return f"{table(head, [row])}\n\n{about}"


def ray_kills_table(result: Mapping[str, Any]) -> str:
    """What became of runs whose workers were killed."""
    seconds = sorted(run["s"] for run in result["each_run"])
    row = (
        f"{result['runs']}",
        f"{result['kills']}",
        f"{result['files']}",
        f"{len(result['different_files'])}",
        f"{seconds[len(seconds) // 2]:.0f} s",
    )
    head = ("runs", "workers killed", "files of an output", "different files", "median run")
    about = (
        f"Preset {result['preset']}, {result['samples']:,} samples; the end of a part costs a worker its life with a "
        f"probability of {result['share']:g}. "
        f"{footing(result)}."
    )
    return f"{table(head, [row])}\n\n{about}"


def guard_cost_table(result: Mapping[str, Any]) -> str:
    """What it costs to be watched."""
    rows = [
        (name, *(f"{100 * (result['ratios'][unit][which] - 1):+.1f} %" for which in ("median", "low", "high")))
        for unit, name in (("cpu_s", "processor time"), ("wall_s", "by the clock"))
    ]
    note, sample = result["note_us"], result["sample_us"]
    about = (
        f"Preset {result['preset']}, {len(result['rounds'])} rounds in turns. The note of a sample takes {note:.1f} "
        f"microseconds, {100 * note / sample:.2f} % of the {sample / 1000:.1f} ms of processor time that it takes. "
        f"{footing(result)}."
    )
    return f"{table(('', 'median', '95 %, from', 'to'), rows)}\n\n{about}"
