"""The output folder: claimed before a run, never another's."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

from dedupkit._version import __version__
from dedupkit.disk import PARTIAL
from dedupkit.errors import RunError, UsageError, public
from dedupkit.lease import leased
from dedupkit.locks import locked, unwritable
from dedupkit.sources.places import place_of, slashed
from dedupkit.storage import Folder
from dedupkit.stores import abort_uploads, is_remote, is_url, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLISHED = (
    "report.html", "report.json", "recipe.toml", "decisions.parquet", "dataset/state.json",
)  # fmt: skip
_OURS = (
    "dataset", "parquet", "webdataset", "mds", "list",
    "report.html", "report.json", "recipe.toml", "decisions.parquet",
)  # fmt: skip
_WORK = ".dedupkit"
_MARK_NAME = "dedupkit.json"
_MARK = f"{_WORK}/{_MARK_NAME}"
LOCK_NAME = "lock"
BROUGHT = "brought-"  # in front of the names of receipts of outputs that sinks of others wrote


def check(out: str | os.PathLike[str], source: Any) -> Folder:
    """The output folder, new or of an earlier run; nothing is written yet.

    Raises
    ------
    UsageError
        It holds what is not ours, or lies in the source or around it.
    """
    if not os.fspath(out).strip():
        raise UsageError("the output folder is an empty path; name a new folder, or . for this one")
    folder = Folder.at(out)
    _check_apart(folder, source)
    if not folder.remote and Path(folder.url).is_file():
        raise UsageError(f"{out} is a file; name a folder for the output")
    names = _names_in(folder)
    if names and not folder.exists(_MARK) and not _claimed_by_half(folder, names):
        shown = public(folder.url)
        raise UsageError(f"{shown} holds files that dedupkit did not write ({names[0]}); name an empty or new folder")
    return folder


def of_others(folder: Folder) -> list[str]:
    """Folders in an output that sinks of others wrote, whether those are still installed or not."""
    receipts = folder.below(_WORK).below("receipts").names()
    return [name.removeprefix(BROUGHT) for name in receipts if name.startswith(BROUGHT)]


def _names_in(folder: Folder) -> list[str]:
    try:
        return folder.names()
    except RunError as error:  # nothing was begun: the place or the credentials are wrong
        raise UsageError(f"{error}") from error


def claim(folder: Folder, *, overwrite: bool) -> None:
    """Mark the folder as ours; with `overwrite`, remove what an earlier run left in it.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    try:
        ours = {*_OURS, *of_others(folder)}
        for name in folder.names():
            if name.endswith(PARTIAL) or (overwrite and name in ours):
                folder.remove(name)  # half of a file that a killed run was writing, or all of it
        for name in folder.below(_WORK).names():
            if name.endswith(PARTIAL) or (overwrite and name not in (_MARK_NAME, LOCK_NAME)):
                folder.below(_WORK).remove(name)  # but never the mark, without which the folder is a stranger's
        folder.write_json(_MARK, {"written_by": "dedupkit", "version": __version__})
    except OSError as error:
        raise unwritable(folder.url, error) from error


def _claimed_by_half(folder: Folder, names: list[str]) -> bool:
    """Whether a run was killed before it had written its mark."""
    inside = folder.below(_WORK).names()
    return names == [_WORK] and all(name.endswith(PARTIAL) or name == LOCK_NAME for name in inside)


@contextmanager
def alone_in(folder: Folder) -> Iterator[None]:
    """Keep other runs out of an output folder; the lock ends with the process, however that ends.

    Raises
    ------
    UsageError
        Another run is at work there.
    """
    busy = f"another run is writing to {folder.url}; wait for it, or name another folder"
    work = folder.below(_WORK)
    with leased(work, LOCK_NAME) if folder.remote else locked(work.url, LOCK_NAME, busy):
        if folder.remote:
            abort_uploads(folder.url)  # of runs that were killed: nobody else is at work here
        yield


def _check_apart(folder: Folder, source: Any) -> None:
    """An output in its own source would be read as a source on the next run."""
    if isinstance(source, (list, tuple)):
        for each in source:
            _check_apart(folder, each)
        return
    if not isinstance(source, (str, os.PathLike)):
        return
    named = os.fsdecode(source).removeprefix("file://")
    if is_remote(named) != folder.remote:
        return
    read = _read_from(named)
    if read is None or (folder.remote and opened(folder.url)[0].protocol != place_of(read).filesystem.protocol):
        return
    out: PurePath = PurePosixPath(folder.path()) if folder.remote else Path(folder.url)
    below: PurePath = PurePosixPath(place_of(read).path) if folder.remote else Path(read).resolve()
    here, there = public(out), public(below)
    if out.is_relative_to(below):
        raise UsageError(f"the output {here} lies in the source {there}; name a folder outside of it")
    if below.is_relative_to(out):
        raise UsageError(f"the source {there} lies in the output folder {here}; name a folder outside of it")


def _read_from(named: str) -> str | None:
    """The folder or file that a path, URL or pattern reads from; None for a pattern of files of one folder."""
    named = named if is_url(named) else slashed(named)
    fixed = re.split(r"[*?\[{]", named, maxsplit=1)[0]
    if fixed == named:
        return named
    if "/" in named[len(fixed) :] or "**" in named:  # the pattern reads folders below the one it begins with
        return f"{fixed}x".rpartition("/")[0] or "/" * fixed.startswith("/") or os.curdir
    return None
