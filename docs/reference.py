"""Writes the pages of docs/reference/ out of the code; `make docs` runs it before the site is built.

    python docs/reference.py

The pages are made anew each time and not kept: names and docstrings are read as text by mkdocstrings, commands are
what typer says of them, reasons and columns are those of the package.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from dedupkit import recipe, sample
from dedupkit.report.words import NOTES, REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
OUT = Path(__file__).resolve().parent / "reference"

_PYTHON = {
    "api.md": (
        "dedupkit",
        "What `import dedupkit` has. Names are imported when they are first used, so that the import itself costs next "
        "to nothing.",
    ),
    "api_audit.md": ("dedupkit.audit", "What a trained model gives away; see [auditing a model](../audit.md)."),
    "api_canaries.md": ("dedupkit.canaries", "Canaries by themselves; see [canaries](../canaries.md)."),
}
_TABLES = {
    "DECISIONS": (
        "`OUT/decisions.parquet`",
        "One row for every sample that came in, in the source's order. "
        "`evidence` is a struct of the measures of [pairs](#pairs).",
    ),
    "PAIRS": ("Pairs", "What `dedupkit.find_duplicates(…).pairs` and `OUT/.dedupkit/pairs/` hold."),
    "FINGERPRINTS": ("Fingerprints", "What `OUT/.dedupkit/fingerprints/` holds: one row for every sample."),
}


def public_names(module: str) -> dict[str, str]:
    """Each public name of a package that imports lazily, and the module it is written in."""
    text = (ROOT / module.replace(".", "/") / "__init__.py").read_text(encoding="utf-8")
    found = next(
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_PUBLIC"
    )
    places: dict[str, str] = ast.literal_eval(found)
    return {name: place if place.startswith(module) else f"{module}.{place}" for name, place in places.items()}


def python_page(module: str, about: str) -> str:
    """Functions first, then classes, then the small ones that are listed with them."""
    names = public_names(module)
    order = sorted(names, key=lambda name: (name[0].isupper(), name.lower()))
    parts = [f"# {module}", about]
    for kind, wanted in (("Functions", str.islower), ("Classes", str.isupper)):
        chosen = [name for name in order if wanted(name[0])]
        parts += [f"## {kind}", *(f"::: {_written_in(names[name], name)}.{name}" for name in chosen)]
    return "\n\n".join(parts) + "\n"


def recipe_page() -> str:
    """The models that make up a recipe."""
    about = "The same options as in [the recipe](../recipe.md), for recipes that are built in Python."
    classes = (name for name in recipe.__all__ if name[0].isupper() and name != "Recipe")
    blocks = (f"::: {getattr(recipe, name).__module__}.{name}" for name in classes)
    return "\n\n".join(["# The recipe's parts", about, *blocks]) + "\n"


def cli_page() -> str:
    """Every command as typer describes it, with whole sentences in the lists of commands, and links."""
    asked = [sys.executable, "-m", "typer", "dedupkit.cli", "utils", "docs", "--name", "dedupkit"]
    text = subprocess.run(asked, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout
    said = dict(re.findall(r"^#+ `dedupkit ([\w -]+)`\n\n(.+?)\n\n", text, re.M))
    lines, inside = [], ""
    for line in text.splitlines():
        if heading := re.match(r"#+ `dedupkit ?([\w -]*)`", line):
            inside = heading[1]
        command = re.match(r"\* `([\w-]+)`: ", line)
        name = f"{inside} {command[1]}".strip() if command else ""
        anchor = f"#dedupkit-{name.replace(' ', '-')}"
        lines.append(f"* [`{name}`]({anchor}): {said[name]}" if name in said else line)
    exits = "Exit codes: 0 done, 1 the run failed and can be begun again, 2 wrong usage or recipe."
    whole = re.sub(r"^# `dedupkit`\n", f"# Command line\n\n{exits}\n", "\n".join(lines), count=1)
    return whole.replace("```console\n$ ", "```text\n")


def reasons_page() -> str:
    """Every reason and note, in words."""
    parts = [
        "# Reasons and notes",
        "Every sample that comes in gets one decision with one reason out of this closed list, in `decisions.parquet` "
        "and in the report. In = kept + dropped + quarantined.",
    ]
    for action, words in (("keep", "Kept"), ("drop", "Dropped"), ("quarantine", "Quarantined")):
        rows = [(f"`{each}`", *REASONS[each]) for each in sample.Reason if each.action == action]
        parts += [f"## {words}", _table(("reason", "in the report", "what it means"), rows)]
    about = "A note says something about a sample and never costs it."
    rows = [(f"`{note}`", f"samples that {words}") for note, words in NOTES.items()]
    return "\n\n".join([*parts, "## Notes", about, _table(("note", "is counted for"), rows)]) + "\n"


def tables_page() -> str:
    """The columns of the tables that a run leaves, with the comments of the code."""
    parts = [
        "# Tables",
        "What a run leaves is Parquet, and any reader of it can look: `OUT/decisions.parquet`, and the tables between "
        "the stages below `OUT/.dedupkit/`. What `dataset/` holds is in [training](../training.md).",
    ]
    comments = dict(_comments())
    for name, (title, about) in _TABLES.items():
        schema: pa.Schema = getattr(sample, name)
        rows = [(f"`{field.name}`", _type(field.type), comments.get((name, field.name), "")) for field in schema]
        parts += [f"## {title}", about, _table(("column", "type", "what it is"), rows)]
    return "\n\n".join(parts) + "\n"


def _comments() -> Iterator[tuple[tuple[str, str], str]]:
    """Comments beside the columns in dedupkit/sample.py."""
    table = ""
    for line in Path(sample.__file__).read_text(encoding="utf-8").splitlines():
        if begun := re.match(r"([A-Z]+) = pa\.", line):
            table = begun[1]
        if column := re.match(r'\s+"(\w+)": .*?#\s(.*)$', line):
            yield (table, column[1]), column[2]


def _type(kind: pa.DataType) -> str:
    return "struct" if pa.types.is_struct(kind) else f"`{str(kind).split('<struct')[0]}`"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _written_in(module: str, name: str) -> str:
    """Where a name is defined, if the package it is taken from only hands it on."""
    path = ROOT / module.replace(".", "/") / "__init__.py"
    if not path.is_file():
        return module
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and name in {each.name for each in node.names}:
            return str(node.module)
    return module


def pages() -> dict[str, str]:
    """All pages, by file name."""
    made = {file: python_page(module, about) for file, (module, about) in _PYTHON.items()}
    made |= {"api_recipe.md": recipe_page(), "cli.md": cli_page()}
    return made | {"reasons.md": reasons_page(), "tables.md": tables_page()}


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for file, text in pages().items():
        (OUT / file).write_text(text, encoding="utf-8")
