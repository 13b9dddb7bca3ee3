"""Who may write to an index, and what a writer clears away before it does."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dedupkit.disk import PARTIAL
from dedupkit.errors import UsageError
from dedupkit.index.state import KINDS, STATE_NAME
from dedupkit.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dedupkit.storage import Folder

WORK = "work"
_LOCK = "lock"
_OURS = re.compile(rf"({'|'.join(KINDS)})-\d{{6}}(-\d{{4}})?\.arrow")


@contextmanager
def alone_in(folder: Folder) -> Iterator[None]:
    """Keep other writers out; the lock ends with the process, however that ends.  Readers do not ask for it.

    Raises
    ------
    UsageError
        Another process is writing, or nobody can.
    """
    with locked(folder.url, _LOCK, f"another process is writing to the index {folder.url}; wait for it"):
        yield


def clear_leftovers(folder: Folder, named: set[str], work: str = "") -> None:
    """Remove files of the index that are not named, and fingerprints below ``work``, but those of the name `work`.

    Readers that still have such a file mapped go on reading it; where the system refuses to remove it, as Windows does,
    a later writer will.
    """
    for name in folder.names():
        if name.endswith(PARTIAL) or (_OURS.fullmatch(name) and name not in named):
            with suppress(OSError):
                folder.remove(name)
    for name in folder.below(WORK).names():
        if name != work:
            folder.below(WORK).remove(name)


def check_new(folder: Folder) -> None:
    """Whether an index can be made here.

    Raises
    ------
    UsageError
        Something else lies here.
    """
    others = [name for name in folder.names() if name not in (STATE_NAME, _LOCK, WORK) and not name.endswith(PARTIAL)]
    if others and not folder.exists(STATE_NAME):
        raise UsageError(f"{folder.url} holds files that are no index ({others[0]}); name an empty or new folder")
