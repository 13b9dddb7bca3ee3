"""Calibrations, plans, audits and twins, as a notebook and a terminal show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedupkit.notebook.fragment import Fragment, Table
from dedupkit.planning.words import bytes_text, count_text, interval_text, time_text
from dedupkit.report.words import REASONS
from dedupkit.sample import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.calibration.result import Calibration
    from dedupkit.index.asking import Twin
    from dedupkit.planning.result import Plan


def of_calibration(found: Calibration) -> Fragment:
    """Recall by edit, precision, and the limits that are proposed."""
    missed, precision = found.missed, found.precision
    return Fragment(
        title="Calibration",
        facts=[
            (f"{100 * (1 - missed.share):.1f} %", "of the planted copies found"),
            (f"{precision.share:.4f}", "precision of pairs"),
            (f"{found.samples:,}", "pictures"),
        ],
        tables=(_recall(found), _limits(found)),
        notes=_skipped(found),
        hints=[("print(calibration.text())", "all of it"), ("print(calibration.toml)", _advice(found))],
    )


def _skipped(found: Calibration) -> list[str]:
    low, high = (100 * (1 - end) for end in (found.missed.high, found.missed.low))
    notes = [f"95 % intervals: found {low:.1f} to {high:.1f} %, precision from {found.precision.low:.4f}"]
    if found.skipped:
        counted = ", ".join(f"{count} {REASONS[Reason(name)][0].lower()}" for name, count in found.skipped.items())
        notes.append(f"skipped: {counted}")
    return notes


def _advice(found: Calibration) -> str:
    if found.proposed is None:
        return f"empty: no limits that were tried reach precision {found.wanted_precision:g}"
    return f"the limits that find most at precision {found.wanted_precision:g}, as part of a recipe"


def _recall(found: Calibration) -> Table:
    rows = tuple(
        (row["edit"], f"{row['found']} of {row['planted']}", float(row["recall"] or 0.0), f"{row['false_pairs']}")
        for row in found.recall.to_pylist()
    )
    return Table(("edit", "found", "recall", "false pairs"), rows, "What is found of each edit")


def _limits(found: Calibration) -> Table:
    table = found.thresholds
    names = [name for name in table.column_names[:3] if not table[name].null_count]
    rows = []
    for row in table.to_pylist():
        marks = [name for name in ("recipe", "proposed") if row[name]]
        shares = ["-" if row[name] is None else f"{row[name]:.4f}" for name in ("recall", "precision")]
        limits = [f"{row[name]:g}" for name in names]
        rows.append((*limits, *shares, f"{row['false_pairs']}", ", ".join(marks)))
    return Table((*names, "recall", "precision", "false pairs", "which"), tuple(rows), "Limits that were tried")


def of_plan(plan: Plan) -> Fragment:
    """Time, memory and disk, and each stage."""
    facts = [
        (interval_text(plan.wall_s, time_text), "by the clock"),
        (interval_text(plan.memory, bytes_text), "memory"),
        (interval_text(plan.disk, bytes_text), "disk at most"),
    ]
    if plan.cost is not None:
        facts.append((interval_text(plan.cost, lambda amount: f"{amount:,.2f}"), "cost"))
    stages = tuple(
        (
            stage.name + (" (limits)" if stage is plan.limit else ""),
            interval_text(stage.cpu_s, time_text),
            interval_text(stage.wall_s, time_text),
            interval_text(stage.stored, bytes_text),
            stage.where,
        )
        for stage in plan.stages
    )
    samples = interval_text(plan.count.samples, count_text)
    machines = f"{plan.machines} machines of " if plan.machines > 1 else ""
    where = f"on {machines}{plan.machine.cores} cores, {bytes_text(plan.machine.memory_bytes)} memory"
    return Fragment(
        title="Plan",
        facts=facts,
        tables=(Table(("stage", "processor time", "time", "stored", "where"), stages),),
        notes=[
            f"{samples} samples ({plan.count.by}), {interval_text(plan.source_bytes, bytes_text)}, {where}",
            *(f"warning: {line}" for line in plan.warnings),
        ],
        hints=[
            ("print(plan.text())", "all of it, and what a sample cannot tell"),
            ('plan.again(machine="cores=64,memory=256GiB")', "on another machine, without measuring again"),
        ],
    )


def of_twins(twins: Sequence[Twin]) -> Fragment:
    """Each twin with where it comes from and what speaks for it."""
    rows = tuple((twin.key, twin.source, words(twin)) for twin in twins)
    direct = sum(twin.tier is not None for twin in twins)
    return Fragment(
        title="Twins" if twins else "No twins: nothing in the index shows this picture",
        facts=[(f"{direct:,}", "compared"), (f"{len(twins) - direct:,}", "more of their groups")] if twins else (),
        tables=(Table(("key", "where", "why"), rows),) if rows else (),
    )


def words(twin: Twin) -> str:
    """What speaks for a twin, such as "perceptual, 12 bits differ, cosine 0.91"."""
    said = [(twin.tier or "in the group of a twin").replace("_", " ")]
    if "hamming_bits" in twin.evidence:
        said.append(f"{twin.evidence['hamming_bits']} bits differ")
    said += [f"{name} {twin.evidence[name]:.2f}" for name in ("cosine", "score") if name in twin.evidence]
    return ", ".join(said)
