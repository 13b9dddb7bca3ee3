"""What holds on systems that these tests do not run on: names that Windows lacks, and its paths."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest

from dedupkit.sources.places import slashed
from dedupkit.stores import is_remote, is_url, on_disk

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "dedupkit").rglob("*.py"))

# docs.python.org: "Availability: Unix"
UNIX_MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
UNIX_NAMES = {
    "os": {
        "fork", "posix_fallocate", "sched_getaffinity", "getuid", "geteuid", "getgid", "killpg", "setsid", "uname",
        "statvfs", "sysconf", "mkfifo", "chown", "fchmod", "fchown", "getpgid", "nice", "sync", "pread", "pwrite",
        "sendfile", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "getloadavg", "wait4", "WNOHANG",
    },
    "signal": {"SIGKILL", "SIGHUP", "SIGUSR1", "SIGALRM", "SIGQUIT", "pthread_kill", "alarm", "setitimer"},
    "mmap": {"MADV_DONTNEED", "MAP_SHARED", "MAP_PRIVATE", "PROT_READ", "PROT_WRITE"},
}  # fmt: skip


def test_every_module_is_imported_without_what_windows_lacks() -> None:
    code = f"""
import builtins, importlib, pkgutil
real = builtins.__import__
def without(name, globals=None, locals=None, fromlist=(), level=0):
    if name in {UNIX_MODULES!r} and str((globals or {{}}).get("__name__")).startswith("dedupkit"):
        raise ModuleNotFoundError(name)
    return real(name, globals, locals, fromlist, level)
builtins.__import__ = without
import dedupkit
for module in pkgutil.walk_packages(dedupkit.__path__, "dedupkit."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            if error.name in {UNIX_MODULES!r} or "dedupkit" in str(error.name):
                raise
"""
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)


@pytest.mark.parametrize("name", [(module, each) for module, names in UNIX_NAMES.items() for each in sorted(names)])
def test_a_name_that_windows_lacks_is_asked_for_before_it_is_used(name: tuple[str, str]) -> None:
    module, attribute = name
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        if f"{module}.{attribute}" in text:
            assert f'hasattr({module}, "{attribute}")' in text, path


@pytest.mark.parametrize("text", [r"C:\data\set", "C:/data/set", "C://data", r"\\server\share\set", "C:set", "photos"])
def test_a_path_of_windows_is_no_url(text: str) -> None:
    assert not is_url(text)
    assert not is_remote(text)


@pytest.mark.parametrize("text", ["s3://bucket/a", "hf://datasets/a", "https://e.org/a", "zip://a.png::s3://b/c.zip"])
def test_a_url_is_one(text: str) -> None:
    assert is_remote(text)


def test_a_file_url_with_a_drive_names_the_path() -> None:
    assert on_disk("file:///C:/data/set") == PureWindowsPath("C:/data/set").as_posix()
    assert on_disk("file:///data/set") == "/data/set"
    assert on_disk("file:///c/set") == "/c/set"


@pytest.mark.parametrize("text", [r"C:\photos\*.jpg", r"\\server\share\*\a.png", r"photos\{a,b}.tar"])
def test_keys_and_patterns_have_slashes_on_windows(text: str) -> None:
    assert slashed(text, "\\") == PureWindowsPath(text).as_posix()
