"""A run that its machine went down under: what it left is read before it is believed.

A part is flushed to the device before its receipt is written (`dedupkit.disk`), so that a loss of power leaves no
receipt of a part that is not whole.  But disks and virtual machines are known to say that they flushed when they have
not, and such a part may have the right size and zeros in it.  So a run notes in its work folder which start of the
machine it belongs to; the next run that finds the note of an earlier start compares every part with the digest in its
receipt.  A run that ends takes its note away: nothing of it stays in the output.
"""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import psutil

from dedupkit.outfolder import BROUGHT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from dedupkit.storage import Folder

NOTE = "running.json"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_log = logging.getLogger("dedupkit")


def started() -> str:
    """What tells this start of the machine from all others."""
    with suppress(OSError):
        return Path(_BOOT_ID).read_text(encoding="ascii").strip()
    return str(round(psutil.boot_time()))  # where that changes with the clock, parts are read in vain


@contextmanager
def noted(work: Folder, out: Folder | None = None) -> Iterator[None]:
    """Note that a run is at work, for as long as it has not ended well; first look at what one left that was cut off.

    Parameters
    ----------
    work : Folder
        Its work folder; of a store nothing is noted, for there a part is put whole.
    out : Folder, optional
        Where the parts of outputs lie.
    """
    if work.remote:
        yield
        return
    if work.exists(NOTE) and _noted_start(work) != started():
        discard_damaged(work, out)
    work.write_json(NOTE, {"machine started": started()})
    yield
    work.remove(NOTE)


def _noted_start(work: Folder) -> str | None:
    try:
        return str(work.read_json(NOTE)["machine started"])
    except (ValueError, KeyError, TypeError):
        return None


def discard_damaged(work: Folder, out: Folder | None) -> int:
    """Remove the receipts of parts that do not hold what was written, so that they are made again; how many they are.

    Notes
    -----
    Reads all parts.
    """
    receipts, count = work.below("receipts"), 0
    for stage in receipts.names():
        folder = _parts_of(stage, work, out)
        for name in receipts.below(stage).names():
            if not _is_whole(receipts.below(stage), folder, name):
                receipts.below(stage).remove(name)
                count += 1
    _log.warning("the machine went down under the last run: all its parts were read, and %d are made again", count)
    return count


def _parts_of(stage: str, work: Folder, out: Folder | None) -> Folder:
    """Where the parts of a stage lie: a format's in the output, all others in the work folder."""
    if out is not None and (stage.startswith(BROUGHT) or not work.exists(stage)):
        return out.below(stage.removeprefix(BROUGHT))
    return work.below(stage)


def _is_whole(receipts: Folder, parts: Folder, name: str) -> bool:
    try:
        said = receipts.read_json(name)["report"]["sha256"]
        with parts.reading(name.removesuffix(".json")) as handle:
            return bool(hashlib.file_digest(cast("BufferedReader", handle), "sha256").hexdigest() == said)
    except (OSError, ValueError, KeyError, TypeError, json.JSONDecodeError):
        return False
