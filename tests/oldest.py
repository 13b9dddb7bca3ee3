"""Writes tests/oldest.txt: the oldest versions of what dedupkit asks for, as uv finds them, for `make test-oldest`.

    python tests/oldest.py

The core and the extras that are light; of what these bring in turn, the newest that goes together with them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("audit", "canaries", "check", "webdataset")


def main() -> None:
    extras = [word for name in EXTRAS for word in ("--extra", name)]
    choices = ["--resolution", "lowest-direct", "--python-version", "3.11", "--no-annotate", "--no-header", "--quiet"]
    out = ["--upgrade", "--output-file", "tests/oldest.txt"]
    command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "pyproject.toml", *extras, *choices, *out]
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
