"""Running a program whole and measuring it; where and with what it was run."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DEDUPKIT = (sys.executable, "-c", "from dedupkit.cli import main; main()")
_SAMPLE_S = 0.1


class BenchmarkError(Exception):
    """A program that is measured has failed."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a program, from its start to its end.

    Attributes
    ----------
    wall_s : float
        Seconds by the clock, start of the interpreter included.
    cpu_s : float
        Processor seconds, user and system, of the process and all children it waited for.
    peak_tree_mib : float or None
        Largest memory of the whole process tree: proportional set size (a page that two processes share counts once),
        sampled ten times a second, so that a shorter peak may be missed.  Linux only.
    peak_process_mib : float
        Largest resident set of its largest single process, as the kernel counted it.
    """

    wall_s: float
    cpu_s: float
    peak_tree_mib: float | None
    peak_process_mib: float


def measure(
    command: Sequence[str | Path], *, stdout: Path | None = None, timeout_s: float = 7200, sample_memory: bool = True
) -> Measured:
    """Run a program in a session of its own and measure it.

    Parameters
    ----------
    command : sequence of str or Path
        Program and arguments.
    stdout : Path or None
        Where its output goes; nowhere if None.  What it says on stderr is shown only if it fails.
    timeout_s : float
        It is killed after so many seconds.
    sample_memory : bool
        Sample the memory of its tree, which holds it up: the larger it is, the more.

    Raises
    ------
    BenchmarkError
        If it fails or takes too long.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if command[0] == sys.executable else ""}
    with Path(stdout or os.devnull).open("wb") as out, Path(os.devnull).open("rb") as nothing:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=nothing,
            stdout=out,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        said: list[bytes] = []
        reader = threading.Thread(target=lambda: said.append(process.stderr.read() if process.stderr else b""))
        reader.start()
        sampler = _TreeMemory(process.pid)
        if sample_memory:
            sampler.start()
        killer = threading.Timer(timeout_s, process.kill)
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    if sample_memory:
        sampler.stop()
    reader.join(timeout=5)
    if process.returncode:
        tail = b"".join(said).decode(errors="replace")[-2000:]
        raise BenchmarkError(f"{' '.join(map(str, command[:6]))} ended with {process.returncode}:\n{tail}")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Measured(wall_s, usage.ru_utime + usage.ru_stime, sampler.peak_mib, usage.ru_maxrss / unit)


class _TreeMemory(threading.Thread):
    """Samples the memory of all processes in one session."""

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self.session = session
        self.peak_mib: float | None = None
        self._done = threading.Event()

    def run(self) -> None:
        if not Path("/proc/self/smaps_rollup").exists():
            return
        while not self._done.wait(_SAMPLE_S):
            total = sum(_proportional_kib(pid) for pid in _session_members(self.session)) / 1024
            self.peak_mib = max(self.peak_mib or 0.0, total)

    def stop(self) -> None:
        self._done.set()
        self.join()


def _session_members(session: int) -> list[str]:
    members = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended in the meantime
                continue
            if int(after_name[3]) == session:
                members.append(folder.name)
    return members


def _proportional_kib(pid: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def environment(packages: Iterable[str] = ()) -> dict[str, Any]:
    """Commit, machine and versions, for the JSON of a benchmark."""
    return {
        "commit": commit(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {"dedupkit": _dedupkit_version(), **_versions(packages)},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def commit() -> str:
    """The checkout's commit, with ``+changes`` where dedupkit/ or benchmarks/ differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "dedupkit", "benchmarks/*.py")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+changes" if changed else "")


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _dedupkit_version() -> str:
    namespace: dict[str, str] = {}
    exec((ROOT / "dedupkit" / "_version.py").read_text(), namespace)
    return namespace["__version__"]


def _versions(packages: Iterable[str]) -> Mapping[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def version_in(interpreter: str | Path, package: str) -> str:
    """Version of a package in another interpreter's environment."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    run = subprocess.run([str(interpreter), "-c", code], capture_output=True, text=True)
    if run.returncode:
        raise BenchmarkError(f"{interpreter} has no {package}: install it there, or leave the option out")
    return run.stdout.strip()
