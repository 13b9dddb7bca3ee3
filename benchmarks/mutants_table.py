"""The table of mutants: how many changes of each module the tests noticed, and which change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markdown_tables import footing, table

if TYPE_CHECKING:
    from collections.abc import Mapping

EQUIVALENT = Path(__file__).resolve().parent / "equivalent_mutants.json"
_COUNTS = ("mutants", "tried", "killed", "equivalent", "survived")


def mutants_table(result: Mapping[str, Any]) -> str:
    """Modules by how many changes of them the tests noticed, and the survivors that change nothing."""
    found = result["modules"]
    whole = {"module": "**all**"} | {name: sum(each[name] for each in found) for name in found[0] if name in _COUNTS}
    rows = [
        (
            each["module"].removeprefix("dedupkit."),
            *(f"{each[name]:,}" for name in _COUNTS),
            f"{_score(each):.2f}",
            _interval(each) if each is not whole else "",
        )
        for each in (*found, whole)
    ]
    head = ("module", "mutants", "tried", "killed", "equivalent", "survived", "score", "95 %")
    about = f"Up to {result['most']} of a module, seed {result['seed']}. {footing(result)}."
    reasons = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    same = [
        (f"`{each['function'].removeprefix('dedupkit.')}`", _code(each["out"]), _code(each["in"]), each["why"])
        for each in reasons
    ]
    equal = f"Survivors that change nothing that can be seen:\n\n{table(('in', 'instead of', 'stood', 'why'), same)}"
    return f"{table(head, rows)}\n\n{about}" + (f"\n\n{equal}" if same else "")


def _score(each: Mapping[str, Any]) -> float:
    return float(each["killed"] / max(1, each["tried"] - each["equivalent"]))


def _interval(each: Mapping[str, Any]) -> str:
    """Of the score after Clopper and Pearson; none where all mutants were tried."""
    if each["tried"] == each["mutants"]:
        return ""
    from dedupkit.audit.statistics import Share

    low, high = Share(each["killed"], each["tried"] - each["equivalent"]).interval
    return f"{low:.2f} to {high:.2f}"


def _code(text: str) -> str:
    return f"`` {text.replace('|', chr(92) + '|')} ``" if text else "nothing"
