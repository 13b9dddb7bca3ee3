"""Clean captioned image sets before training so that models memorise less, and audit the models after.

The main job is `clean`; `find_duplicates` only looks.  `Recipe` holds every choice.  Names are imported when they are
first used, so that ``import dedupkit`` costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dedupkit._version import __version__

if sys.version_info < (3, 11):  # noqa: UP036 - a checkout on the path of an older one, which pip never asked
    raise ImportError(
        f"dedupkit needs Python 3.11 or newer, this is {sys.version.split()[0]}: name one, as in python3.12"
    )

if TYPE_CHECKING:
    from dedupkit.calibration.result import Calibration
    from dedupkit.calibration.run import calibrate
    from dedupkit.checking.result import Check
    from dedupkit.checking.run import check
    from dedupkit.checkup.result import Checkup
    from dedupkit.checkup.run import doctor
    from dedupkit.cleaning import Result, clean
    from dedupkit.decontamination.run import Decontaminated, decontaminate
    from dedupkit.errors import DedupkitError, RunError, UsageError
    from dedupkit.found import Found, find_duplicates
    from dedupkit.index.adding import Added
    from dedupkit.index.asking import Twin
    from dedupkit.index.kept import Index
    from dedupkit.planning.machines import Machine
    from dedupkit.planning.result import Plan
    from dedupkit.planning.run import plan
    from dedupkit.recipe import Recipe
    from dedupkit.removing import Removed, remove
    from dedupkit.sample import Action, Reason, Sample
    from dedupkit.streaming.decisions import StreamDecision
    from dedupkit.streaming.deduplicator import StreamingDeduplicator

_PUBLIC = {
    "Action": "dedupkit.sample",
    "Added": "dedupkit.index.adding",
    "Calibration": "dedupkit.calibration.result",
    "Checkup": "dedupkit.checkup.result",
    "Decontaminated": "dedupkit.decontamination.run",
    "Check": "dedupkit.checking.result",
    "DedupkitError": "dedupkit.errors",
    "Found": "dedupkit.found",
    "Index": "dedupkit.index.kept",
    "Machine": "dedupkit.planning.machines",
    "Plan": "dedupkit.planning.result",
    "Reason": "dedupkit.sample",
    "Recipe": "dedupkit.recipe",
    "Removed": "dedupkit.removing",
    "Result": "dedupkit.cleaning",
    "RunError": "dedupkit.errors",
    "Sample": "dedupkit.sample",
    "StreamDecision": "dedupkit.streaming.decisions",
    "StreamingDeduplicator": "dedupkit.streaming.deduplicator",
    "Twin": "dedupkit.index.asking",
    "UsageError": "dedupkit.errors",
    "calibrate": "dedupkit.calibration.run",
    "check": "dedupkit.checking.run",
    "clean": "dedupkit.cleaning",
    "decontaminate": "dedupkit.decontamination.run",
    "doctor": "dedupkit.checkup.run",
    "find_duplicates": "dedupkit.found",
    "plan": "dedupkit.planning.run",
    "remove": "dedupkit.removing",
}

__all__ = [
    "Action",
    "Added",
    "Calibration",
    "Check",
    "Checkup",
    "Decontaminated",
    "DedupkitError",
    "Found",
    "Index",
    "Machine",
    "Plan",
    "Reason",
    "Recipe",
    "Removed",
    "Result",
    "RunError",
    "Sample",
    "StreamDecision",
    "StreamingDeduplicator",
    "Twin",
    "UsageError",
    "__version__",
    "calibrate",
    "check",
    "clean",
    "decontaminate",
    "doctor",
    "find_duplicates",
    "plan",
    "remove",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'dedupkit' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
