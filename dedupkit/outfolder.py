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


def claim(out: str | os.PathLike[str], source: Any, *, overwrite: bool) -> Folder:
    """The output folder, new or of an earlier run.

    Raises
    ------
    UsageError
        It holds what is not ours, lies in the source or around it, or cannot be written.
    """
    path = Path(out).resolve()
    _check_apart(path, source)
    folder = Folder(str(path))
    if path.exists() and not path.is_dir():
        raise UsageError(f"{out} is a file; name a folder for the output")
    names = folder.names()
    if names and not folder.exists(_MARK):
        raise UsageError(f"{out} holds files that dedupkit did not write ({names[0]}); name an empty or new folder")
    try:
        if overwrite:
            for name in (*_OURS, _WORK):
                folder.remove(name)
        for name in names:
            if name.endswith(PARTIAL):  # of a run that was killed while it wrote
                folder.remove(name)
        folder.write_json(_MARK, {"written_by": "dedupkit", "version": __version__})
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}; name another folder") from error
    return folder


def _check_apart(path: Path, source: Any) -> None:
    """An output in its own source would be read as a source on the next run."""
    if not isinstance(source, (str, os.PathLike)) or "://" in os.fspath(source):
        return
    read = Path(source).resolve()
    if path.is_relative_to(read):
        raise UsageError(f"the output {path} lies in the source {read}; name a folder outside of it")
    if read.is_relative_to(path):
        raise UsageError(f"the source {read} lies in the output folder {path}; name a folder outside of it")
