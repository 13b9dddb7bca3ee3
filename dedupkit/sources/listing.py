"""Files as sources see them: listed with what tells that they changed, opened on any filesystem, named for people."""

from __future__ import annotations

import io
import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from dedupkit.errors import error_text as error_text
from dedupkit.errors import public as public
from dedupkit.sources.steady import SteadyReader
from dedupkit.stores import steady

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

IMAGE_EXTENSIONS = frozenset(
    {
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff", "avif", "avifs"),
        *("heic", "heif", "jp2", "j2k", "jpx", "jxl", "ppm", "pgm", "pbm", "pnm", "ico", "tga", "qoi"),
    }
)
_BUFFER_BYTES = 1 << 20
_AS_EFFECTIVE = os.access in os.supports_effective_ids
_CONTENT_TAGS = (
    "ETag",
    "etag",
    "e_tag",
    "checksum",
    "md5",
    "md5Hash",
    "content_md5",
    "sha",
    "sha256",
    "blob_id",
    "oid",
)
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")


class Entry(NamedTuple):
    """A file below a folder.

    Attributes
    ----------
    name : str
        Its path in the folder, with "/" between parts.
    byte_size : int
        Its size when it was listed.
    stamp : str
        Size with modification time, or an object store's tag: changes with the content.
    refusal : str
        Why it must not be read; empty where it may be.
    """

    name: str
    byte_size: int
    stamp: str
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A file on any filesystem.

    Attributes
    ----------
    name : str
        How it is called in shard names and messages: no host folder, no credentials.
    path : str
        As its filesystem writes it.
    byte_size : int
        Its size when it was listed.
    stamp : str
        Changes with the content.
    filesystem : fsspec filesystem or None
        None for a local file.
    """

    name: str
    path: str
    byte_size: int
    stamp: str
    filesystem: Any = None

    def has_changed(self) -> bool:
        """Whether it is another file than the one that was listed; of stores, only S3 is asked."""
        try:
            if self.filesystem is None:
                return local_stamp(self.path, os.stat(self.path)) != self.stamp  # noqa: PTH116 - as it was listed
            if not hasattr(self.filesystem, "call_s3"):  # elsewhere a listing may say other things than a question
                return False
            what = f"{self.name} could not be looked at"
            return stamp_of(steady(what, self.filesystem.info, self.path, refresh=True)) != self.stamp
        except FileNotFoundError:
            return True

    def open(self) -> IO[bytes]:
        """Open the file for reading forward through a large buffer."""
        if self.filesystem is None:
            return io.BufferedReader(io.FileIO(self.path), _BUFFER_BYTES)
        return io.BufferedReader(SteadyReader(self.filesystem, self.path, self.name), _BUFFER_BYTES)


def list_folder(filesystem: Any, root: str, max_depth: int | None = None) -> Iterator[Entry]:
    """Every file below a folder except hidden ones, in no particular order.

    Links to folders are not followed; a link to a file outside the folder is listed with a refusal.

    Parameters
    ----------
    filesystem : fsspec filesystem or None
        None for the local one, which is listed at about 5 microseconds a file.
    root : str
        The folder, as its filesystem writes it.
    max_depth : int, optional
        1 for the files directly in it.

    Raises
    ------
    OSError
        If the folder itself cannot be listed; a folder below that cannot is one refused entry.
    """
    if filesystem is None:
        yield from _list_local(root, str(Path(root).resolve()), "", max_depth)
        return
    what = f"{public(root)} could not be listed"
    strict = {} if getattr(filesystem, "async_impl", False) else {"on_error": "raise"}  # else a folder may be left out
    for path, info in steady(what, filesystem.find, root, maxdepth=max_depth, detail=True, **strict).items():
        name = path[len(root) :].lstrip("/")
        if name and not name.endswith("/") and not any(part.startswith(".") for part in name.split("/")):
            yield Entry(name, int(info.get("size") or 0), stamp_of(info))


def _list_local(folder: str, real_root: str, prefix: str, max_depth: int | None) -> Iterator[Entry]:
    below: list[os.DirEntry[str]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append(entry)
            elif (found := _local_entry(entry, real_root, prefix)) is not None:
                yield found
    if max_depth == 1:
        return
    for entry in below:
        try:
            yield from _list_local(entry.path, real_root, f"{prefix}{entry.name}/", max_depth and max_depth - 1)
        except OSError as error:
            yield Entry(f"{prefix}{entry.name}/", 0, "", f"the folder cannot be listed: {error_text(error)}")


def _local_entry(entry: os.DirEntry[str], real_root: str, prefix: str) -> Entry | None:
    name = prefix + entry.name
    try:
        if entry.is_symlink():
            if entry.is_dir():
                return None
            if not Path(entry.path).resolve().is_relative_to(real_root):
                return Entry(name, 0, "", "a link that leads outside the folder")
        status = entry.stat()
    except OSError as error:
        return Entry(name, 0, "", error_text(error))
    except RuntimeError:  # Path.resolve on a loop of links, before Python 3.13
        return Entry(name, 0, "", "a link that leads to itself")
    if not stat.S_ISREG(status.st_mode):
        return Entry(name, 0, "", "not a regular file")
    return Entry(name, status.st_size, local_stamp(entry.path, status))


def local_stamp(path: str, status: os.stat_result) -> str:
    """What changes with the content of a local file, and when it becomes readable."""
    stamp = f"{status.st_size}-{status.st_mtime_ns}"
    return stamp if os.access(path, os.R_OK, effective_ids=_AS_EFFECTIVE) else f"{stamp}-unreadable"


def stamp_of(info: Mapping[str, Any]) -> str:
    """What a remote filesystem says about a file that changes with its content."""
    tags = [str(info[name]).strip('"') for name in _CONTENT_TAGS if info.get(name)]
    times = [info[name] for name in _TIMES if info.get(name)]
    seconds = [str(time.timestamp() if hasattr(time, "timestamp") else time) for time in times[:1]]
    return "-".join([str(info.get("size")), *(tags[:1] or seconds)])


def extension(name: str) -> str:
    """The part of a file's name after its last dot, in lower case."""
    _, dot, last = name.rpartition("/")[2].rpartition(".")
    return last.lower() if dot else ""


def is_image_name(name: str) -> bool:
    """Whether a file's extension is one that images have."""
    return extension(name) in IMAGE_EXTENSIONS


def unique_names(names: Iterable[str]) -> list[str]:
    """The names in their order, those that repeat with a number behind them."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}~{seen[name]}")
    return unique
