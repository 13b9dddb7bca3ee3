"""What is not imported: by `import dedupkit`, and before a command has anything to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HEAVY = {
    "PIL", "albumentations", "cv2", "datasets", "duckdb", "faiss", "fsspec", "jinja2", "loky", "numpy", "onnxruntime",
    "pandas", "phonenumbers", "psutil", "pyarrow", "ray", "scipy", "simplejpeg", "torch", "transformers",
}  # fmt: skip


def loaded(code: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has imported after some code."""
    told = (
        "import atexit, sys, json; atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", told + code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


def test_importing_dedupkit_imports_nothing_but_the_standard_library() -> None:
    assert loaded("import dedupkit") - set(sys.stdlib_module_names) <= {"dedupkit", *startup()}


@pytest.mark.parametrize("line", ["", "--help", "--version", "find --help", "clean --help", "recipe --help"])
def test_help_imports_none_of_what_a_run_needs(line: str) -> None:
    code = f"import sys; sys.argv = ['dedupkit', *{line.split()!r}]; from dedupkit.cli import main; main()"
    assert loaded(code) & HEAVY == set()


def test_all_but_a_few_core_packages_count_as_heavy() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    core = re.findall(r'^    "([\w-]+)', text.partition("dependencies = [")[2].partition("]")[0], re.M)
    modules = {"faiss-cpu": "faiss", "opencv-python-headless": "cv2", "pillow": "PIL"}
    light = {"filelock", "ftfy", "pydantic", "rich", "tenacity", "threadpoolctl", "tomli-w", "typer"}
    assert {modules.get(name, name) for name in core} - HEAVY == light


def startup() -> set[str]:
    """What an interpreter here has imported before it runs anything: path hooks of installed packages, coverage."""
    return loaded("pass")
