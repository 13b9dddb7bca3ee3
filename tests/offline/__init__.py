"""A world without a network: a namespace whose one interface is the loopback, in which each try to leave is counted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
_NAMESPACE = ("unshare", "--user", "--map-root-user", "--net")
# Run inside: ioctl(SIOCSIFFLAGS) with IFF_UP and IFF_RUNNING, as `ip link set lo up` does, which not every machine has.
_LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
os.execvp(sys.argv[1], sys.argv[1:])
"""
_ADDRESS = re.compile(r'(\w+)\(.*sa_family=AF_INET6?,.*?(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Visit:
    """What a command did where there is no network.

    Attributes
    ----------
    code : int
        As it ended.
    said : str
        All it printed.
    tries : tuple of str
        Each address beyond this machine that it asked for, with the call; of native code only where strace is found.
    left : tuple of str
        Files that it left in an empty home.
    """

    code: int
    said: str
    tries: tuple[str, ...]
    left: tuple[str, ...]


def possible() -> bool:
    """Whether this system lets us make such a namespace."""
    try:
        done = subprocess.run([*_NAMESPACE, *_inside(["true"])], capture_output=True, check=False, timeout=30)
    except OSError:
        return False
    return done.returncode == 0


def counts_native_code() -> bool:
    """Whether system calls are counted too, not those of Python alone."""
    return shutil.which("strace") is not None


def visit(
    command: Sequence[object], folder: Path, *, home: Path | None = None, show: bool = False, timeout_s: float = 300
) -> Visit:
    """Run a command there.

    Parameters
    ----------
    command : sequence
        What to run.
    folder : Path
        Its working folder; notes are kept below.
    home : Path, optional
        Its home; an empty one if left out.
    show : bool
        Whether what it prints is shown as it comes, instead of kept.
    timeout_s : float
        After how many seconds it is stopped.
    """
    notes = folder / "offline"
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir(parents=True)
    home = home or notes / "home"
    home.mkdir(exist_ok=True)
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    paths = [str(ROOT / "tests" / "offline"), str(ROOT), environment.get("PYTHONPATH", "")]
    environment |= {"HOME": str(home), "OFFLINE_LOG": str(notes / "python"), "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [*_NAMESPACE, *_inside([*_traced(notes / "calls"), *map(str, command)])],
        cwd=folder,
        env=environment,
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        encoding="utf-8",
        check=False,
        timeout=timeout_s,
    )
    left = tuple(sorted(str(each.relative_to(home)) for each in home.rglob("*") if each.is_file()))
    return Visit(done.returncode, done.stdout or "", _tries(notes), left)


def _inside(command: Sequence[str]) -> list[str]:
    return [sys.executable, "-S", "-E", "-c", _LOOPBACK_UP, *command]


def _traced(notes: Path) -> list[str]:
    if not counts_native_code():
        return []
    return ["strace", "--follow-forks", "--seccomp-bpf", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(notes)]


def _tries(notes: Path) -> tuple[str, ...]:
    python, calls = (path.read_text("utf-8") if path.exists() else "" for path in (notes / "python", notes / "calls"))
    native = [f"{call} {address}" for call, address in _ADDRESS.findall(calls) if not _is_here(address)]
    return tuple(sorted({*python.splitlines(), *native}))


def _is_here(address: str) -> bool:
    return address.startswith(("127.", "0.0.0.0")) or address in ("::1", "::")
