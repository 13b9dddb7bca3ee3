"""Recall by edit out of a file that ``dedupkit calibrate --json`` wrote, checked before it is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    import os


@dataclass(frozen=True, slots=True)
class EditRecall:
    """How many planted copies of one edit were found; the ends of the 95 % interval are None without copies."""

    edit: str
    planted: int
    found: int
    recall: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What is shown of a calibration: pictures drawn, recall by edit, the share missed and the precision."""

    samples: int
    recall: tuple[EditRecall, ...]
    missed: float | None
    precision: float | None


def read_calibration(path: str | os.PathLike[str]) -> Calibrated:
    """What a file of a calibration says.

    Raises
    ------
    UsageError
        It cannot be read, or is no such file.
    """
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
        return calibrated(told)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}; name what `dedupkit calibrate --json` wrote"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"{path} is no result of a calibration; name what `dedupkit calibrate --json` wrote"
        ) from error


def calibrated(told: dict[str, Any]) -> Calibrated:
    """The same out of what `dedupkit.calibration.result.Calibration.to_json` gives."""
    names = ("recall", "low", "high")
    rows = [
        EditRecall(
            str(row["edit"]),
            int(row["planted"]),
            int(row["found"]),
            *(_fraction(row[name]) for name in names),
        )
        for row in told["recall"]
    ]
    missed, precision = (_fraction(told[name]["share"]) for name in ("missed", "precision"))
    return Calibrated(int(told["samples"]), tuple(rows), missed, precision)


def _fraction(value: Any) -> float | None:
    return None if value is None else min(1.0, max(0.0, float(value)))
