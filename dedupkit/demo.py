"""The demonstration: LAION-style shards with known copies and broken files, cleaned, and compared with the truth."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError
from dedupkit.planting import EDITS, FAULTS, DemoTruth, Planted, build_demo
from dedupkit.sample import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from dedupkit.parts import Observer

__all__ = ["DemoResult", "DemoTruth", "build_demo", "compare", "example_images", "run_demo"]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What was found, against what was planted.

    Attributes
    ----------
    truth : DemoTruth
        What was planted.
    found : mapping of str to int
        For each edit, how many copies stand in one group with their original.
    named : mapping of str to Counter
        For each fault, the reasons (or notes) given for its samples.
    lost : tuple of str
        Keys of originals of which no copy was kept: pictures lost to a wrong match.
    summary : mapping
        The run's own summary.
    report : Path
        The page to look at.
    """

    truth: DemoTruth
    found: Mapping[str, int]
    named: Mapping[str, Counter[str]]
    lost: tuple[str, ...]
    summary: Mapping[str, Any]
    report: Path

    @property
    def planted(self) -> Counter[str]:
        """How many whole copies of each edit were planted."""
        return Counter(sample.edit for sample in self.truth.samples if sample.edit in EDITS and not sample.fault)

    @property
    def planted_faults(self) -> Counter[str]:
        """How many samples of each fault were planted."""
        return Counter(sample.fault for sample in self.truth.samples if sample.fault)

    @property
    def faults_named(self) -> Mapping[str, int]:
        """For each fault, how many of its samples got a fitting reason or note."""
        return {fault: sum(self.named[fault][name] for name in names) for fault, names in FAULTS.items()}

    def text(self) -> str:
        """Tables to print: copies by edit, faults by reason, pictures lost, and where the report is."""
        from rich.console import Console
        from rich.table import Table

        copies = Table("copies", "planted", "found")
        for edit in EDITS:
            copies.add_row(edit, f"{self.planted[edit]}", f"{self.found[edit]}")
        faults = Table("faults", "planted", "named", "as")
        for fault, count in self.planted_faults.items():
            faults.add_row(fault, f"{count}", f"{self.faults_named[fault]}", ", ".join(sorted(self.named[fault])))
        pictures = len({sample.group for sample in self.truth.samples})
        console = Console(file=io.StringIO(), width=100)
        with console.capture() as capture:
            console.print(copies, faults)
            console.print(f"{pictures} different pictures, {len(self.lost)} lost {', '.join(self.lost)}".rstrip())
            console.print(f"report: {self.report}", soft_wrap=True)
        return capture.get()


def example_images() -> Path:
    """Folder of the 64 captioned images that come with dedupkit: an image folder with ``metadata.jsonl``.

    Raises
    ------
    UsageError
        Where this installation has none.
    """
    package = Path(__file__).resolve().parent
    for folder in (package.parent / "examples" / "data", package / "_demo_data"):
        if (folder / "metadata.jsonl").is_file():
            return folder
    raise UsageError("this installation has no demo data; give a folder of images and metadata.jsonl with --data")


def run_demo(
    directory: Path, *, data: Path | None = None, seed: int = 1, progress: Observer | None = None
) -> DemoResult:
    """Build the shards, clean them, and compare what was found with what was planted.

    Parameters
    ----------
    directory : Path
        Gets ``shards/``, ``truth.csv`` and ``clean/``, the output of `dedupkit.clean`.
    data : Path or None
        Captioned images to build from; those that come with dedupkit if None.
    seed : int
        Which images are copied, and how.
    progress : callable or None
        Told of progress with a `dedupkit.parts.Progress`.

    Returns
    -------
    DemoResult

    Raises
    ------
    UsageError
        If there is no demo data, or `directory` holds what dedupkit did not write.
    """
    import dedupkit

    truth = build_demo(data or example_images(), directory, seed)
    out = directory / "clean"
    result = dedupkit.clean(truth.shards, out, progress=progress)
    return compare(truth, result.decisions(), result.summary, out / "report.html")


def compare(truth: DemoTruth, decisions: pa.Table, summary: Mapping[str, Any], report: Path) -> DemoResult:
    """Hold decisions (in the schema of `dedupkit.sample.DECISIONS`) against the truth."""
    rows = {row["key"]: row for row in decisions.to_pylist()}
    originals = {sample.group: sample for sample in truth.samples if sample.edit == "original"}
    found: Counter[str] = Counter()
    named: dict[str, Counter[str]] = {fault: Counter() for fault in FAULTS}
    kept: set[int] = set()
    for sample in truth.samples:
        row = _row_of(sample, rows)
        if sample.fault:
            named[sample.fault].update(_names_given(row))
        elif sample.edit in EDITS:
            original = _row_of(originals[sample.group], rows)
            found[sample.edit] += row["group"] is not None and row["group"] == original["group"]
        if row["action"] == "keep":
            kept.add(sample.group)
    lost = tuple(sample.key for group, sample in originals.items() if group not in kept)
    return DemoResult(truth, found, named, lost, summary, report)


_ABSENT: Mapping[str, Any] = {"action": "absent", "reason": "absent", "group": None, "notes": ["absent"]}


def _row_of(sample: Planted, rows: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    if sample.fault != "damaged_shard":
        return rows.get(sample.key, _ABSENT)
    return next((row for row in rows.values() if row["reason"] == Reason.DAMAGED_SHARD), _ABSENT)


def _names_given(row: Mapping[str, Any]) -> list[str]:
    return [row["reason"]] if row["action"] == "quarantine" else list(row["notes"] or ["nothing"])
