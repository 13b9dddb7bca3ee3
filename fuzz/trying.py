"""Small files tried one after the other in a process that may die: it says which before it tries it.

    python -m fuzz.trying SEED FIRST COUNT

A line of JSON a step on stdout: ``{"at": 7}`` before, ``{"at": 7, "kind": "recipe", "said": "refused"}`` after.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

from dedupkit.errors import DedupkitError
from fuzz import small


def outcome(kind: str, files: dict[str, bytes]) -> str:
    """``loaded`` or ``refused``; else the traceback of what must not be raised."""
    with TemporaryDirectory(prefix="dedupkit-fuzz-") as scratch:
        try:
            small.load(kind, files, Path(scratch))
        except DedupkitError as error:
            text = str(error)
            return "refused" if "\n" not in text and ";" in text else f"not one line with a remedy: {text!r}"
        except Exception:  # noqa: BLE001 - this is what is looked for
            return traceback.format_exc()
    return "loaded"


def main() -> None:
    """Try so many from a number on."""
    seed, first, count = map(int, sys.argv[1:4])
    logging.getLogger("dedupkit").setLevel(logging.ERROR)
    told = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for number in range(first, first + count):
        print(json.dumps({"at": number}), file=told)
        kind, files = small.made(seed, number)
        print(json.dumps({"at": number, "kind": kind, "said": outcome(kind, files)}), file=told)


if __name__ == "__main__":
    main()
