"""What docs/architecture.md says of rooms is true of their imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("albumentations", "datasets", "diffusers", "faiss", "matplotlib", "onnxruntime", "ray", "scipy", "torch")
_EVERY_ROOM = """
import importlib, pkgutil, sys
import dedupkit
own = {"dedupkit.audit.plots", "dedupkit.audit.adapters", "dedupkit.fingerprints.descriptors.torch_models"}
for each in pkgutil.walk_packages(dedupkit.__path__, "dedupkit.", onerror=lambda name: None):
    if not any(each.name == name or each.name.startswith(name + ".") for name in own | {"dedupkit.__main__"}):
        try:
            importlib.import_module(each.name)
        except ImportError as error:
            print("cannot import", each.name, error)
print(len([name for name in sys.modules if name.startswith("dedupkit.")]) > 200)
print(*sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1:])))
"""


def test_rooms_import_what_the_architecture_lets_them() -> None:
    lint = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    command = [sys.executable, "-c", lint]
    run = subprocess.run(command, cwd=ROOT, env=_here(), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_heavy_packages_are_imported_where_they_are_used() -> None:
    command = [sys.executable, "-c", _EVERY_ROOM, *HEAVY]
    run = subprocess.run(command, cwd=ROOT, env=_here(), capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True"]


def _here() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
