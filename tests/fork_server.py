"""Forks commands off a process that has imported everything already; what `tests.commands` asks for and waits for.

Imports are most of what a command on a small set costs.  The process itself is as real as any: it has a pid to kill,
streams, an exit code, and ends as an interpreter does.
"""

from __future__ import annotations

import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any

_BESIDES = ("pandas", "cv2", "faiss", "jinja2", "datasets", "s3fs", "loky", "threadpoolctl", "scipy.sparse")
_NOT = ("dedupkit.__main__", "dedupkit.notebook", "dedupkit.engines.ray")
_MOST_BYTES = 1 << 20


def import_all() -> None:
    """Every module of the package, and what they import where they use it."""
    import dedupkit

    for found in pkgutil.walk_packages(dedupkit.__path__, "dedupkit.", onerror=lambda _: None):
        if not found.name.startswith(_NOT):
            with suppress(ImportError):
                import_module(found.name)
    for name in _BESIDES:
        with suppress(ImportError):
            import_module(name)


def serve(place: str) -> dict[str, Any]:
    """Answer until nobody holds the other end of stdin; returns in each process that is to be a command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who has answered needs no burial
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, selectors.DefaultSelector() as waiting:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(sys.stdin, selectors.EVENT_READ)
        while True:
            if any(key.fileobj is sys.stdin for key, _ in waiting.select()):
                sys.exit()
            line, _ = listener.accept()
            if not os.fork():
                break
            line.close()
    return _answered(line)


def _answered(line: socket.socket) -> dict[str, Any]:
    """Fork the command, say its pid and how it ended; returns in the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, streams, _, _ = socket.recv_fds(line, _MOST_BYTES, 2)
    pid = os.fork()
    if not pid:
        line.close()
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
            os.close(stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        asked: dict[str, Any] = json.loads(request)
        return asked
    line.sendall(str(pid).encode())
    line.sendall(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    os._exit(0)


def become(arguments: list[str], folder: str, environment: dict[str, str], installed: list[str]) -> None:
    """What `python -m dedupkit` finds when it starts."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *installed]
    sys.argv[1:] = arguments
    os.fsync = lambda fd: None  # as in the process of the tests, see conftest.py
    if action := environment.get("PYTHONWARNINGS"):
        sys.warnoptions.append(action)
        warnings.simplefilter(action)  # type: ignore[arg-type]


if __name__ == "__main__":
    own = {*os.environ.get("PYTHONPATH", "").split(os.pathsep), sys.path[0]}
    installed = [path for path in sys.path if path not in own]
    import_all()
    become(**serve(sys.argv[1]), installed=installed)
    from dedupkit.cli import main

    main()
