"""Tables of what a run takes: by stage, and of sets that were not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markdown_tables import footing, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def stages_table(result: Mapping[str, Any]) -> str:
    """Images a processor second of every stage, by preset and cores."""
    runs = result["runs"]
    names = list(dict.fromkeys(each["stage"] for run in reversed(runs) for each in run["stages"]))
    taken = [{each["stage"]: each["cpu_s"] for each in run["stages"]} for run in runs]
    counts = [run["images"] for run in runs]
    rows = [
        (name, *(_rate(count, times.get(name)) for count, times in zip(counts, taken, strict=True))) for name in names
    ]
    rows.append(("the whole process", *(_rate(run["images"], run["cpu_s"]) for run in runs)))
    rows.append(("the whole process, a second by the clock", *(_rate(run["images"], run["wall_s"]) for run in runs)))
    head = (
        "images a processor second",
        *(f"{run['preset']}, {run['cores']} core{'s' * (run['cores'] > 1)}" for run in runs),
    )
    load = result["load"]
    about = (
        f"{counts[0]:,} images, the quickest of {result['rounds']}. Load of the machine, one minute's average: "
        f"{load['before']:.1f} before, {load['after']:.1f} after; above two, others were at work too, which lengthens "
        f"time by the clock most. {footing(result)}."
    )
    return f"{table(head, rows)}\n\n{about}"


def _rate(images: int, seconds: float | None) -> str:
    return "" if seconds is None else f"{images / max(seconds, 1e-3):,.0f}"


def scale_model_table(result: Mapping[str, Any]) -> str:
    """What large sets would take, by stage."""
    sizes = result["sizes"]
    names = [stage["stage"] for stage in next(iter(sizes.values()))["stages"]]
    by_name = {size: {stage["stage"]: stage for stage in each["stages"]} for size, each in sizes.items()}

    def row(name: str, of: str, unit: str) -> tuple[str, ...]:
        return (name, *(_interval(stages[name][of], unit) for stages in by_name.values()))

    head = ("", *(f"{name}, {size['samples'] / 1e9:.3g} billion" for name, size in sizes.items()))
    rows = [row(name, "core_h", "core h") for name in names if name != "start"]
    rows.append(("**the stage that limits**", *(size["limit"] for size in sizes.values())))
    rows.append(("**time by the clock**", *(_interval(size["wall_h"], "h") for size in sizes.values())))
    for name in names:
        if by_name[next(iter(sizes))][name]["where"] == "driver":
            rows.append((f"of it {name}, on the driver alone", *row(name, "wall_h", "h")[1:]))
    rows.append(
        ("memory of the driver, the least", *(f"{size['least_memory_gib']:,.0f} GiB" for size in sizes.values()))
    )
    for name in ("candidates", "pairs"):
        rows.append((f"scratch files of {name}, on the driver", *row(name, "temporary_tib", "TiB")[1:]))
    rows.append(("views, in OUT until pairs are made", *row("views", "temporary_tib", "TiB")[1:]))
    rows += [
        (f"{name}, stored", *row(name, "stored_tib", "TiB")[1:]) for name in ("fingerprints", "candidates", "arrow")
    ]
    rows.append(("read and written", *(_interval(size["network_tib"], "TiB") for size in sizes.values())))
    about = (
        f"`dedupkit.plan`, out of {result['samples']:,} samples, for {result['machines']} machines of "
        f"{result['machine']}. Load of the machine that measured: {result['load']:.0f}. {footing(result)}."
    )
    return f"{table(head, rows)}\n\n{about}"


def _interval(ends: Sequence[float], unit: str) -> str:
    value, low, high = (f"{each:,.2g}" if each < 10 else f"{each:,.0f}" for each in ends)
    return f"{value} {unit}" if low == high else f"{value} {unit} ({low} to {high})"
