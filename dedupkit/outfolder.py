"""The output folder: claimed before a run, never another's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dedupkit._version import __version__
from dedupkit.errors import UsageError
from dedupkit.storage import PARTIAL, Folder

PUBLISHED = (
    "report.html", "report.json", "recipe.toml", "decisions.parquet", "dataset/state.json",
)  # fmt: skip
_OURS = ("dataset", "parquet", "webdataset", "report.html", "report.json", "recipe.toml", "decisions.parquet")
_WORK = ".dedupkit"
_MARK = f"{_WORK}/dedupkit.json"


def check(out: str | os.PathLike[str], source: Any) -> Folder:
    """The output folder, new or of an earlier run; nothing is written yet.

    Raises
    ------
    UsageError
        It holds what is not ours, or lies in the source or around it.
    """
    path = Path(out).resolve()
    _check_apart(path, source)
    if path.exists() and not path.is_dir():
        raise UsageError(f"{out} is a file; name a folder for the output")
    folder = Folder(str(path))
    names = folder.names()
    if names and not folder.exists(_MARK):
        raise UsageError(f"{out} holds files that dedupkit did not write ({names[0]}); name an empty or new folder")
    return folder


def claim(folder: Folder, *, overwrite: bool) -> None:
    """Mark the folder as ours; with `overwrite`, remove what an earlier run left in it.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    try:
        for name in folder.names():
            if name.endswith(PARTIAL) or (overwrite and name in (*_OURS, _WORK)):
                folder.remove(name)  # half of a file that a killed run was writing, or all of it
        folder.write_json(_MARK, {"written_by": "dedupkit", "version": __version__})
    except OSError as error:
        raise UsageError(f"{folder.url} cannot be written: {error.strerror or error}; name another folder") from error


def _check_apart(path: Path, source: Any) -> None:
    """An output in its own source would be read as a source on the next run."""
    if isinstance(source, (list, tuple)):
        for each in source:
            _check_apart(path, each)
        return
    if not isinstance(source, (str, os.PathLike)) or "://" in os.fspath(source):
        return
    read = Path(source).resolve()
    if path.is_relative_to(read):
        raise UsageError(f"the output {path} lies in the source {read}; name a folder outside of it")
    if read.is_relative_to(path):
        raise UsageError(f"the source {read} lies in the output folder {path}; name a folder outside of it")
