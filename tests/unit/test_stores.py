"""Which errors of stores pass, and what is done about them."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Any

import pytest

from dedupkit.errors import RunError, error_text
from dedupkit.lease import LEASE_S, Lock
from dedupkit.sources.steady import SteadyReader
from dedupkit.stores import check_machine, is_passing, steady

if TYPE_CHECKING:
    from collections.abc import Callable


class AnsweredError(Exception):
    """An error as clients of stores raise it: with the code of the answer."""

    def __init__(self, code: int) -> None:
        super().__init__(f"answer {code}")
        self.status_code = code


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedupkit.stores._MAX_WAIT_S", 0)


def failing(times: int, error: Exception) -> tuple[Callable[[], str], list[int]]:
    """A call that fails so many times, and the list of its calls."""
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return call, calls


@pytest.mark.parametrize(
    "error",
    [
        *(AnsweredError(code) for code in (408, 429, 500, 503)),
        *(OSError(number, "x") for number in (errno.EIO, errno.EBUSY, errno.ECONNRESET, errno.EPIPE)),
        *(TimeoutError(), ConnectionResetError()),
    ],
)
def test_an_error_that_passes_is_waited_for(error: Exception) -> None:
    call, calls = failing(3, error)
    assert is_passing(error)
    assert steady("it failed", call) == "done"
    assert len(calls) == 4


@pytest.mark.parametrize("error", [FileNotFoundError(2, "x"), PermissionError(13, "x"), OSError(errno.ENOSPC, "x")])
def test_an_error_that_does_not_pass_is_raised_at_once(error: OSError) -> None:
    call, calls = failing(1, error)
    with pytest.raises(type(error)):
        steady("it failed", call)
    assert len(calls) == 1


@pytest.mark.parametrize("error", [AnsweredError(403), AnsweredError(501), ConnectionResetError("x")])
def test_at_last_it_is_one_line_with_a_remedy(error: Exception) -> None:
    call, _ = failing(100, error)
    with pytest.raises(RunError, match=r"^it failed: .*; run again to go on from the last part$"):
        steady("it failed", call)


class Flaky:
    """A filesystem of one file whose reads fail now and then, after having moved on."""

    def __init__(self, data: bytes) -> None:
        self.data, self.opened = data, 0

    def open(self, path: str, mode: str) -> io.BytesIO:
        self.opened += 1
        number = self.opened

        class File(io.BytesIO):
            reads = 0

            def read(self, size: int | None = -1) -> Any:
                File.reads += 1
                data = super().read(size)
                if number < 4 and File.reads == 3:
                    raise ConnectionResetError
                return data

        return File(self.data)


def test_a_file_is_read_on_over_lost_connections() -> None:
    data = bytes(range(256)) * 40
    flaky = Flaky(data)
    with SteadyReader(flaky, "path", "file") as file:
        found = b"".join(iter(lambda: file.read(1000), b""))
        assert file.seek(300) == 300
        assert file.read(5) == data[300:305]
    assert found == data
    assert flaky.opened == 4


def test_no_credential_is_quoted() -> None:
    told = error_text(ValueError("no bucket user:secret@bucket at https://u:secret@h/x?X-Amz-Signature=secret&a=b"))
    assert "secret" not in told
    assert "bucket" in told


def test_a_lock_says_how_long_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = Lock(renewed=1000.0)
    for now, left in ((1000.0, LEASE_S), (1030.0, LEASE_S - 30), (900.0, LEASE_S), (1000.0 + LEASE_S, 0)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        assert lock.seconds_left() == left


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EIO, "run again to go on from the last part, without that file in the source if the disk has lost it"),
        (errno.EMFILE, "allow more open files (ulimit -n), then run again to go on from the last part"),
        (errno.ENOMEM, "run again to go on from the last part"),
    ],
)
def test_an_error_of_the_machine_is_none_of_the_data(number: int, remedy: str) -> None:
    with pytest.raises(RunError) as told:
        check_machine(OSError(number, os.strerror(number), "/home/me/set/a.jpg"), "a.jpg")
    assert str(told.value) == f"a.jpg could not be read: {os.strerror(number)}; {remedy}"
    for other in (PermissionError(errno.EACCES, "no"), FileNotFoundError(errno.ENOENT, "no"), ValueError("no")):
        check_machine(other, "a.jpg")
