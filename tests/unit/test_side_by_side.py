"""What docs/side_by_side.md says of other tools names its source, and its words fit the numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "side_by_side.md").read_text(encoding="utf-8")
UNPROVEN = {"not found", "not found for images", "not stated", "none", "chooses none", "not looked at", ""}


def tables() -> list[list[list[str]]]:
    """Cells of the tables that are not generated, row by row, without the lines below the heads."""
    written = re.sub(r"<!-- bench:(\w+) -->.*?<!-- /bench:\1 -->", "", PAGE, flags=re.S)
    blocks = re.findall(r"(?:^\|.*\|\n)+", written, re.M)
    return [
        [
            [cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in block.splitlines()
            if "---" not in line
        ]
        for block in blocks
    ]


def results(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def tools(name: str) -> dict[str, Any]:
    return {tool["name"]: tool for tool in results(name)["tools"]}


def test_every_row_has_a_cell_for_every_tool() -> None:
    assert len(tables()) == 7
    for head, *rows in tables():
        assert [row for row in rows if len(row) != len(head)] == []


def test_every_claim_about_another_tool_names_its_source() -> None:
    claims = [
        f"{row[0]}, {tool}: {cell}"
        for head, *rows in tables()[1:]
        for row in rows
        for tool, cell in zip(head[2:], row[2:], strict=True)
        if "[^" not in cell and cell not in UNPROVEN
    ]
    assert claims == []


def test_every_note_is_defined_once_and_used() -> None:
    defined = re.findall(r"^\[\^([\w-]+)\]: ", PAGE, re.M)
    used = re.findall(r"\[\^([\w-]+)\](?!: )", PAGE)
    assert len(defined) == len(set(defined))
    assert set(defined) == set(used)


def test_notes_begin_with_the_tool_that_their_letter_stands_for() -> None:
    tool_of = {"i": "imagededup", "f": "fastdup", "c": "CleanVision", "m": "Immaculate", "n": "NeMo Curator"}
    notes = re.findall(r"^\[\^(\w)-[\w-]+\]: (.+?):", PAGE, re.M)
    assert [note for note in notes if tool_of[note[0]] != note[1]] == []


def test_the_versions_are_those_that_were_measured() -> None:
    looked_at = {re.sub(r"\[|\].*", "", row[0]).lower(): row[1].split(",")[0] for row in tables()[0][1:]}
    for name in ("speed", "thorough"):
        for tool in results(name)["tools"]:
            known = looked_at.get(tool["name"].split()[0])
            assert known in (None, tool["version"])


def test_the_words_fit_the_numbers() -> None:
    for name in ("speed", "thorough", "laion", "unseen"):  # "takes the least memory of all that was measured"
        memory = {tool: each["peak_tree_mib"] for tool, each in tools(name).items()}
        assert min(memory, key=lambda tool: memory[tool]) == "immaculate"
    fast = tools("speed")
    ours, hashes = fast["dedupkit find"], fast["imagededup"]
    for edit in ("crop", "overlay"):  # "its hashes find more crops and overlays than dedupkit's, at some wrong pairs"
        assert hashes["families"][edit] > ours["families"][edit]
    assert hashes["precision"] < 1
    assert fast["immaculate"]["wall_s"] <= 1.05 * ours["wall_s"]  # "no slower than dedupkit"


def test_the_largest_sets_are_those_of_the_results() -> None:
    by_hashes = max(run["images"] for name in ("scale", "scale_small_images") for run in results(name)["runs"])
    runs = results("search_scale")["runs"]
    searched = [max(run["rows"] for run in runs if run["kind"] == kind) for kind in ("hashes", "descriptors")]
    sizes = (by_hashes, results("hidden")["data"]["images"], *searched)
    said = "{:,} pictures by hashes and {:,} by all it has; searches alone were run on {:,} hashes and {:,} descriptors"
    assert said.format(*sizes) in PAGE
