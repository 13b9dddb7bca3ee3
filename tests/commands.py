"""The command line in processes of its own, without a second of imports for each."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SERVER = Path(__file__).with_name("fork_server.py")
_MOST_BYTES = 64


class Command:
    """A command that was begun at `began`, by the monotonic clock; with those methods of `subprocess.Popen` we use.

    Parameters
    ----------
    *arguments : object
        What stands behind ``dedupkit``.
    cwd : path, optional
        The folder it runs in; else this one.
    env : mapping, optional
        Its environment; else this one.  What the interpreter and libraries read as they start (``PYTHONUTF8``,
        ``HF_HOME``) comes too late: tests of that start a process themselves.
    one_stream : bool
        Whether stderr goes to stdout.

    Notes
    -----
    On Linux the process is forked off one that has imported everything (`tests.fork_server`); elsewhere an interpreter
    is started.
    """

    def __init__(
        self,
        *arguments: object,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        one_stream: bool = False,
    ) -> None:
        self.args = ["dedupkit", *map(str, arguments)]
        self.returncode: int | None = None
        self._streams = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - until it has ended
        given = self._streams[0], self._streams[not one_stream]
        start = _Forked if sys.platform == "linux" else _interpreted
        self._process: _Process = start(self.args[1:], str(cwd or Path.cwd()), dict(env or os.environ), given)
        self.pid, self.began = self._process.pid, time.monotonic()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative for the signal that it died of."""
        if self.returncode is None:
            self.returncode = self._process.wait(timeout)
            self._said = [_heard(stream) for stream in self._streams]
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it said on stdout and on stderr, once it has ended."""
        self.wait(timeout)
        return self._said[0], self._said[1]

    def poll(self) -> int | None:
        """Its exit code if it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))


def run(
    *arguments: object,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = 300,
    one_stream: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = Command(*arguments, cwd=cwd, env=env, one_stream=one_stream)
    stdout, stderr = command.communicate(timeout)
    return subprocess.CompletedProcess(command.args, command.wait(), stdout, stderr)


class _Process(Protocol):
    @property
    def pid(self) -> int: ...

    def wait(self, timeout: float | None = None) -> int: ...


class _Forked:
    """A process that the server forks, waits for and tells of."""

    def __init__(
        self, arguments: Sequence[str], folder: str, environment: Mapping[str, str], streams: Sequence[IO[bytes]]
    ) -> None:
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.connect(_server())
        asked = {"arguments": arguments, "folder": folder, "environment": environment}
        socket.send_fds(self._line, [json.dumps(asked).encode()], [stream.fileno() for stream in streams])
        self.pid = int(self._line.recv(_MOST_BYTES))

    def wait(self, timeout: float | None = None) -> int:
        self._line.settimeout(timeout)
        try:
            code = int(self._line.recv(_MOST_BYTES))
        except (TimeoutError, BlockingIOError):
            raise subprocess.TimeoutExpired("dedupkit", timeout or 0) from None
        self._line.close()
        return code


def _interpreted(
    arguments: Sequence[str], folder: str, environment: Mapping[str, str], streams: Sequence[IO[bytes]]
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dedupkit", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=streams[0], stderr=streams[1])


def _heard(stream: IO[bytes]) -> str:
    with stream:
        stream.seek(0)
        return stream.read().decode("utf-8")


@cache
def _server() -> str:
    """Where the process listens that commands are forked off; it ends with this one."""
    folder = tempfile.mkdtemp(prefix="dedupkit-tests-")
    place = str(Path(folder) / "line")
    command = [sys.executable, str(_SERVER), place]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_SERVER.parents[1])
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.kill)
    if server.stdout is None or server.stdout.readline() != b"ready\n":
        raise RuntimeError("the process that commands are forked off did not start; its stderr says why")
    return place
