"""Who may write to a folder on this machine: one process at a time."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dedupkit.errors import UsageError, error_text, public

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIES_WITHIN_S = 2.0  # a process whose command was killed


@contextmanager
def locked(folder: str, name: str, busy: str) -> Iterator[None]:
    """Hold the lock file `name` in a folder, which is made; the lock ends with the process, however that ends.

    Raises
    ------
    UsageError
        Another process holds it, which is said with `busy`, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    place = Path(folder, name)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place, timeout=_DIES_WITHIN_S)
        lock.acquire()
    except Timeout as error:
        raise UsageError(busy) from error
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def unwritable(url: str, error: Exception) -> UsageError:
    """What there is to say where a folder cannot be written."""
    return UsageError(f"{public(url)} cannot be written: {error_text(error)}; name another folder")
