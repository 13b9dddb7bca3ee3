"""What the machine gives a run: disk, memory, cores, open files, and something to look at results with."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from dedupkit.checkup.result import Finding

_LEAST_DISK = 1 << 30
_EASY_DISK = 10 << 30
_LEAST_MEMORY = 1 << 30
_LEAST_FILES = 1024
_CGROUP = Path("/sys/fs/cgroup")


def disk(name: str, place: str, option: str) -> Finding:
    """Whether a folder, or the one it would be made in, can be written and has room; `option` names another one."""
    folder = Path(place).expanduser().absolute()
    if folder.is_file():
        return Finding(name, "wrong", f"{place} is a file", f"name a folder {option}")
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        said = f"{folder} cannot be written: {error.strerror or error}"
        return Finding(name, "wrong", said, f"name another folder {option}")
    free = shutil.disk_usage(folder).free
    said = f"{_gib(free)} free in {folder}"
    if free < _LEAST_DISK:
        return Finding(name, "wrong", said, f"a run needs 1 GiB at the very least; free some, or name another {option}")
    if free < _EASY_DISK:
        return Finding(name, "note", said, "`dedupkit plan SOURCE` says how much yours take")
    return Finding(name, "ok", said)


def memory() -> Finding:
    """Whether a run fits."""
    import psutil

    free = int(psutil.virtual_memory().available)
    limit = _container_memory()
    if limit is not None and limit < free:
        free, whose = limit, "of this container"
    else:
        whose = "of this machine"
    said = f"{_gib(free)} {whose} free"
    if free < _LEAST_MEMORY:
        return Finding("memory", "note", said, "end other programs, or run with --memory 512MiB")
    return Finding("memory", "ok", said)


def cores() -> Finding:
    """How many cores a run may use."""
    from dedupkit.engines.local import LocalEngine, available_cores

    count, engine = available_cores(), LocalEngine()
    processes = "1 process" if engine.processes == 1 else f"{engine.processes} processes"
    return Finding("cores", "ok", f"{count}; a run takes {processes} of {engine.threads} threads")


def open_files() -> Finding:
    """How many files a process may have open at once."""
    try:
        import resource
    except ImportError:  # Windows, whose limit is far away
        return Finding("open files", "ok", "no limit that matters")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = "no limit" if soft == resource.RLIM_INFINITY else f"{soft:,} at once"
    if soft == resource.RLIM_INFINITY or soft >= _LEAST_FILES:
        return Finding("open files", "ok", said)
    most = "" if hard == resource.RLIM_INFINITY else f"; {hard:,} is the most you may set"
    return Finding("open files", "note", said, f"large indexes map many files: ulimit -n {_LEAST_FILES}{most}")


def gpu() -> Finding:
    """Whether onnxruntime can use a GPU."""
    from dedupkit.fingerprints.descriptors.onnx import quiet_onnxruntime

    found = quiet_onnxruntime().get_available_providers()
    if "CUDAExecutionProvider" in found:
        return Finding("GPU", "ok", "onnxruntime has CUDA; descriptors are made there")
    said = "none that onnxruntime can use; descriptors are made by the processor, as in all published timings"
    return Finding("GPU", "ok", said)


def file_names() -> Finding:
    """Whether names of files are read as what they are."""
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8":
        return Finding("file names", "ok", encoding)
    said = f"read as {encoding}: those with other letters will not match what metadata calls them"
    return Finding("file names", "note", said, "set PYTHONUTF8=1")


def terminal() -> Finding:
    """Whether the terminal shows what is printed."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    kind = "a terminal" if sys.stdout is not None and sys.stdout.isatty() else "no terminal: no progress bar"
    try:
        "é…│日".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        said = f"{kind}; {encoding} cannot show every caption or name, which are printed escaped"
        return Finding("terminal", "note", said, "set PYTHONUTF8=1")
    return Finding("terminal", "ok", f"{kind}; {encoding}")


def browser() -> Finding:
    """Whether a report can be opened here."""
    import webbrowser

    try:
        webbrowser.get()
    except webbrowser.Error:
        return Finding("browser", "note", "none", "report.html is one file: copy it to where there is one")
    return Finding("browser", "ok", "there is one for report.html")


def _container_memory() -> int | None:
    """What a control group leaves; None where there is no limit, or no such thing."""
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = (_CGROUP / "memory.current").read_text(encoding="ascii").strip()
        return None if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None


def _gib(count: int) -> str:
    return f"{count / (1 << 30):,.1f} GiB"
