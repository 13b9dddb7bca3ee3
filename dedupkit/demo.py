"""The demonstration: LAION-style shards with known copies and broken files, cleaned, and compared with the truth."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError, error_text
from dedupkit.planting import EDITS, FAULTS, DemoTruth, Planted, build_demo
from dedupkit.sample import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from dedupkit.parts import Observer

__all__ = ["DemoResult", "DemoTruth", "build_demo", "compare", "example_images", "run_demo"]


_MADE = ("shards", "truth.csv", "clean")


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What was found, against what was planted.

    Attributes
    ----------
    truth : DemoTruth
        What was planted.
    found : mapping of str to int
        For each edit, how many copies stand in one group with their original.
    missed : tuple of Planted
        The copies that do not.
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
    missed: tuple[Planted, ...]
    named: Mapping[str, Counter[str]]
    lost: tuple[str, ...]
    summary: Mapping[str, Any]
    report: Path

    @property
    def planted(self) -> Counter[str]:
        """How many whole copies of each edit were planted."""
        return Counter(sample.edit for sample in self.truth.samples if sample.edit in EDITS)

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
            console.print(copies)
            if self.missed:
                missed = ", ".join(f"{sample.key} ({sample.edit})" for sample in self.missed)
                console.print(f"not found: {missed}; docs/fingerprints.md says what hashes miss")
            console.print(faults)
            console.print(f"{pictures} different pictures, {len(self.lost)} lost {', '.join(self.lost)}".rstrip())
            console.print(f"report: {self.report}", soft_wrap=True)
        return capture.get().rstrip("\n")


def example_images() -> Path:
    """Folder of the 64 captioned images that come with dedupkit: an image folder with ``metadata.jsonl``.

    Raises
    ------
    UsageError
        Where this installation has none.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "_demo_data", package.parent / "examples" / "data"):  # a wheel, a checkout
        if (folder / "metadata.jsonl").is_file():
            return folder
    raise UsageError("this installation has no demo data; install dedupkit again from a wheel or a whole checkout")


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

    _check_ours(directory)
    truth = build_demo(data or example_images(), directory, seed)
    out = directory / "clean"
    result = dedupkit.clean(truth.shards, out, progress=progress)
    return compare(truth, result.decisions(), result.summary, out / "report.html")


def _check_ours(directory: Path) -> None:
    """Refuse a folder that holds anything but an earlier demonstration."""
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file; name a new folder for the demonstration")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        others = sorted(entry.name for entry in directory.iterdir() if entry.name not in _MADE)
    except OSError as error:
        raise UsageError(f"{directory} cannot be written: {error_text(error)}; name another folder") from error
    if others:
        raise UsageError(f"{directory} holds other files ({others[0]}); name a new folder for the demonstration")


def compare(truth: DemoTruth, decisions: pa.Table, summary: Mapping[str, Any], report: Path) -> DemoResult:
    """Hold decisions (in the schema of `dedupkit.sample.DECISIONS`) against the truth."""
    rows = {row["key"]: row for row in decisions.to_pylist()}
    originals = {sample.group: sample for sample in truth.samples if sample.edit == "original"}
    copies = [sample for sample in truth.samples if sample.edit in EDITS]
    missed = tuple(sample for sample in copies if not _share_a_group(sample, originals[sample.group], rows))
    found = Counter(sample.edit for sample in copies) - Counter(sample.edit for sample in missed)
    named: dict[str, Counter[str]] = {fault: Counter() for fault in FAULTS}
    kept = {sample.group for sample in truth.samples if _row_of(sample, rows)["action"] == "keep"}
    for sample in truth.samples:
        if sample.fault:
            named[sample.fault].update(_names_given(_row_of(sample, rows)))
    lost = tuple(sample.key for group, sample in originals.items() if group not in kept)
    return DemoResult(truth, found, missed, named, lost, summary, report)


_ABSENT: Mapping[str, Any] = {"action": "absent", "reason": "absent", "group": None, "notes": ["absent"]}


def _share_a_group(copy: Planted, original: Planted, rows: Mapping[str, Mapping[str, Any]]) -> bool:
    group = _row_of(copy, rows)["group"]
    return group is not None and group == _row_of(original, rows)["group"]


def _row_of(sample: Planted, rows: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    if sample.fault != "damaged_shard":
        return rows.get(sample.key, _ABSENT)
    return next((row for row in rows.values() if row["reason"] == Reason.DAMAGED_SHARD), _ABSENT)


def _names_given(row: Mapping[str, Any]) -> list[str]:
    return [row["reason"]] if row["action"] == "quarantine" else list(row["notes"] or ["nothing"])
