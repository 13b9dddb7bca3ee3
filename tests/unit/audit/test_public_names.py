"""The public names, whatever was imported before."""

from __future__ import annotations

import subprocess
import sys


def test_no_module_stands_under_a_public_name() -> None:
    import dedupkit.audit.run  # which imports most rooms

    assert dedupkit.audit.run
    for name in dedupkit.audit.__all__:
        value = getattr(dedupkit.audit, name)
        assert callable(value), name
        assert value.__module__.startswith("dedupkit.audit.")


def test_importing_the_audit_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'diffusers', 'matplotlib', 'networkx', 'scipy', 'datasets', 'cv2'}"
    code = f"import sys, dedupkit.audit, dedupkit.audit.commands; print(sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
