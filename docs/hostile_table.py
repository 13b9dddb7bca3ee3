"""Writes the tables of docs/hostile_input.md out of the cases that the tests hand to the command line.

python docs/hostile_table.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.hostile_cases import PICTURES, SHARDS, TABLES  # noqa: E402
from tests.hostile_tricks import LINKS, NAMES, PATHS  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile_cases import Case, Group

PAGE = Path(__file__).resolve().parent / "hostile_input.md"
FULL = ROOT / "benchmarks" / "results" / "hostile_sets.json"
GROUPS = (PICTURES, SHARDS, TABLES, NAMES, LINKS, PATHS)


def cases_text() -> str:
    """One table a group, each row a case."""
    return "\n\n".join(f"### {group.title}\n\n{_table(group)}" for group in GROUPS)


def _table(group: Group) -> str:
    lines = ["| what was done | what the user is told | what others lose |", "| --- | --- | --- |"]
    lines += [_row(case.done, _told(case), case.lost) for case in group.cases]
    return "\n".join(lines)


def _told(case: Case) -> str:
    """The last decision, and its detail or note."""
    reason = list(case.reasons.values())[-1] if case.reasons else "nothing is there"
    said = reason.replace("_", " ")
    return f"{said}: `{case.told}`" if case.told else said


def full_text() -> str:
    """One row for each set of full size."""
    lines = [
        "| what was done | processor time | memory of all processes | what the user is told |",
        "| --- | --- | --- | --- |",
    ]
    for each in json.loads(FULL.read_text(encoding="utf-8"))["sets"]:
        lines.append(_row(each["done"], f"{each['cpu_seconds']:.0f} s", f"{each['peak_mib']:.0f} MiB", each["told"]))
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _parts() -> Iterator[tuple[str, str]]:
    yield "cases", cases_text()
    if FULL.exists():
        yield "full size", full_text()


def filled(page: str) -> str:
    """The page with its tables made anew."""
    for name, text in _parts():
        opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = page.partition(opening)
        page = f"{before}{opening}\n{text}\n{closing}{rest.partition(closing)[2]}"
    return page


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is out of date")
    check = parser.parse_args().check
    page = PAGE.read_text(encoding="utf-8")
    if filled(page) != page:
        if check:
            sys.exit("docs/hostile_input.md is out of date: run python docs/hostile_table.py")
        PAGE.write_text(filled(page), encoding="utf-8")


if __name__ == "__main__":
    main()
