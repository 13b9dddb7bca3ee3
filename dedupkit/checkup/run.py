"""The way through: look at everything, and let nothing that goes wrong end it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from dedupkit._version import __version__
from dedupkit.checkup import packages, surroundings
from dedupkit.checkup.result import Checkup, Extra, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TRIAL_S = 180
_REINSTALL = "install dedupkit again into a new environment, python -m venv; if that does not help, report this line"


def doctor(out: str | os.PathLike[str] | None = None) -> Checkup:
    """Look whether this installation works and what it lacks; takes some seconds, changes nothing and never raises.

    Parameters
    ----------
    out : path or None
        Where output is to go: its disk is looked at.  None looks at the current folder's.

    Returns
    -------
    Checkup
        `Checkup.works` says whether the core does what it should.

    Examples
    --------
    >>> import dedupkit
    >>> dedupkit.doctor().works
    True
    """
    return Checkup(_versions(), tuple(_findings(os.fspath(out) if out is not None else None)), _extras())


def _findings(out: str | None) -> Iterator[Finding]:
    here = os.curdir if out is None else out
    temporary = tempfile.gettempdir
    looks: dict[str, Callable[[], Finding]] = {
        "Python": _python,
        "packages": packages.core_packages,
        "trial": _trial,
        "disk": lambda: surroundings.disk("disk", here, "as OUT"),
        "TMPDIR": lambda: surroundings.disk("TMPDIR", temporary(), "with TMPDIR"),
        "memory": surroundings.memory,
        "cores": surroundings.cores,
        "open files": surroundings.open_files,
        "GPU": surroundings.gpu,
        "file names": surroundings.file_names,
        "terminal": surroundings.terminal,
        "browser": surroundings.browser,
    }
    for name, look in looks.items():
        try:
            yield look()
        except Exception as error:  # noqa: BLE001 - a look that fails is a finding
            yield Finding(name, "note", f"could not be looked at: {type(error).__name__}: {error}")


def _python() -> Finding:
    bits = 64 if sys.maxsize > 1 << 32 else 32
    said = f"{platform.python_version()}, {bits} bits, {sys.executable}"
    if bits == 32:
        return Finding("Python", "wrong", said, "the packages need a Python of 64 bits")
    return Finding("Python", "ok", said)


def _trial() -> Finding:
    """What the core stands on, tried in a process of its own."""
    command = [sys.executable, "-m", "dedupkit.checkup.trial", *packages.core_modules()]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NO_ALBUMENTATIONS_UPDATE": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=_TRIAL_S, env=env, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding("trial", "wrong", f"not at its end after {_TRIAL_S} seconds", "try again when the disk is quiet")
    return _judged(done.stdout, done.returncode, done.stderr)


def _judged(printed: str, code: int, stderr: str) -> Finding:
    told: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    fault = next((each for each in told if "fault" in each), None)
    if fault is not None:
        return Finding("trial", "wrong", f"{fault['step']}: {fault['fault']}", _REINSTALL)
    if code != 0:
        step = told[-1]["step"] if told else "start"
        last = (stderr.strip().splitlines() or [""])[-1]
        return Finding("trial", "wrong", f"{step} ended the process, code {code} {last}".rstrip(), _REINSTALL)
    said = [each["said"] for each in told if "said" in each and not each["step"].startswith("import")]
    return Finding("trial", "ok", "; ".join(said))


def _versions() -> dict[str, str]:
    found = {
        "dedupkit": __version__,
        "Python": platform.python_version(),
        platform.system() or "system": f"{platform.release()} {platform.machine()}",
    }
    try:
        from dedupkit.versions import versions

        return found | dict(versions())
    except Exception:  # noqa: BLE001 - what is missing is told among the findings
        return found


def _extras() -> tuple[Extra, ...]:
    try:
        return packages.extras()
    except Exception:  # noqa: BLE001 - a checkout that was never installed has no list of them
        return ()
