"""What the documentation says is what the code does."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

import dedupkit
from dedupkit import audit, canaries
from dedupkit.sample import DECISIONS, FINGERPRINTS, PAIRS, Note, Reason
from tests.docs_pages import ADDRESS

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
REFERENCE = (
    "api.md", "api_audit.md", "api_canaries.md", "api_recipe.md", "cli.md", "reasons.md", "tables.md",
)  # fmt: skip


@pytest.mark.parametrize(
    "script",
    ["docs/hostile_table.py", "docs/recipe_table.py", "benchmarks/tables.py", "examples/memorisation/results.py"],
)
def test_generated_tables_are_up_to_date(script: str) -> None:
    command, env = [sys.executable, script, "--check"], os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [page.parent / target for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text)]
    targets += [ROOT / target for target in re.findall(rf"\]\({re.escape(ADDRESS)}([^)#]+)\)", text)]
    made = {ROOT / "docs" / "reference" / name for name in REFERENCE}  # by `make docs`
    assert [target for target in targets if target not in made and not target.exists()] == []


def test_every_page_stands_in_the_navigation_once() -> None:
    named = re.findall(r"[ :-] ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    pages = [page.name for page in ROOT.glob("docs/*.md")] + [f"reference/{name}" for name in REFERENCE]
    assert sorted(named) == sorted(pages)


@pytest.fixture(scope="module")
def reference() -> Mapping[str, str]:
    """The pages that are made out of the code."""
    return cast("Mapping[str, str]", runpy.run_path(str(ROOT / "docs/reference.py"))["pages"]())


def test_the_reference_has_every_public_name(reference: Mapping[str, str]) -> None:
    assert set(reference) == set(REFERENCE)
    for page, module in {"api.md": dedupkit, "api_audit.md": audit, "api_canaries.md": canaries}.items():
        documented = set(re.findall(r"^::: dedupkit\.\S+\.(\w+)$", reference[page], re.M))
        assert documented == set(module.__all__) - {"__version__"}


def test_the_reference_names_what_exists(reference: Mapping[str, str]) -> None:
    for place in re.findall(r"^::: (\S+)$", "\n".join(reference.values()), re.M):
        module, _, name = place.rpartition(".")
        assert getattr(import_module(module), name).__module__ == module


def test_the_reference_has_every_command_reason_note_and_column(reference: Mapping[str, str]) -> None:
    for command in ("clean", "find", "audit", "recipe init", "canaries prove", "index compact"):
        assert re.search(rf"^#+ `dedupkit {command}`$", reference["cli.md"], re.M)
        assert f"](#dedupkit-{command.replace(' ', '-')})" in reference["cli.md"]
    assert "..." not in re.sub(r"\[ARGS\]\.\.\.|\w\.\.\.", "", reference["cli.md"].split("## ")[0])
    assert [each for each in (*Reason, *Note) if f"| `{each}` |" not in reference["reasons.md"]] == []
    columns = [*DECISIONS.names, *PAIRS.names, *FINGERPRINTS.names]
    assert [each for each in columns if f"| `{each}` |" not in reference["tables.md"]] == []


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {re.split(r"[\[<>=!~ ]", each)[0] for each in wanted}
    explained = set(re.findall(r"^\| ([\w.-]+) \|", (ROOT / "docs/dependencies.md").read_text(encoding="utf-8"), re.M))
    assert names - explained == set()
