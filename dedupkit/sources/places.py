"""What a path, glob, brace range or URL stands for: the files or the folder that it names."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError, did_you_mean
from dedupkit.sources.listing import File, error_text, local_stamp, public, stamp_of
from dedupkit.stores import is_url, missing_package, steady

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_EXPANSIONS = 1_000_000
_LIST_FROM = 8
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True, slots=True)
class Place:
    """A path on a filesystem.

    Attributes
    ----------
    path : str
        As the filesystem writes it; absolute.
    filesystem : fsspec filesystem or None
        None for the local one.
    """

    path: str
    filesystem: Any = None

    def is_folder(self) -> bool:
        """Whether there is a folder."""
        if self.filesystem is None:
            return Path(self.path).is_dir()
        return self._kind(self.path) == "directory"

    def has(self, name: str) -> bool:
        """Whether the file `name` lies directly in this folder."""
        if self.filesystem is None:
            return (Path(self.path) / name).is_file()
        return self._kind(f"{self.path.rstrip('/')}/{name}") == "file"

    def _kind(self, path: str) -> str:
        """What is at a path; fsspec's own ``isdir`` and ``isfile`` take any error for a no."""
        try:
            info = steady(f"{public(path)} could not be looked for", self.filesystem.info, path)
        except (OSError, ValueError):
            return ""
        return str(info["type"])

    def read(self, name: str) -> bytes:
        """The contents of a small file in this folder."""
        if self.filesystem is None:
            return (Path(self.path) / name).read_bytes()
        return bytes(steady(f"{name} could not be read", self.filesystem.cat_file, f"{self.path.rstrip('/')}/{name}"))

    def file(self) -> File:
        """The file at this path, called by its last part.

        Raises
        ------
        OSError
            If it is not there.
        """
        name = public(self.path).rstrip("/").rpartition("/")[2]
        if self.filesystem is None:
            status = Path(self.path).stat()
            return File(name, self.path, status.st_size, local_stamp(self.path, status))
        info = steady(f"{name} could not be looked at", self.filesystem.info, self.path)
        return File(name, self.path, int(info.get("size") or 0), stamp_of(info), self.filesystem)


def place_of(url: str) -> Place:
    """The place that a path or URL names, whether anything is there or not.

    Raises
    ------
    UsageError
        If its filesystem is unknown or not installed.
    """
    if not url.strip():
        raise UsageError("an empty path names nothing; name a folder, or . for this one")
    if not is_url(url):
        return Place(Path(url).expanduser().absolute().as_posix())
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise missing_package(url, error) from error
    except (ValueError, OSError) as error:
        raise UsageError(f"{public(url)} cannot be opened: {error_text(error)}; check the URL") from error
    return Place(path) if isinstance(filesystem, LocalFileSystem) else Place(path, filesystem)


def slashed(path: str, separator: str = os.sep) -> str:
    r"""A local path with / between its parts, which Windows takes too.

    Examples
    --------
    >>> slashed(r"C:\\photos\\a.jpg", separator="\\\\")
    'C:/photos/a.jpg'
    """
    return path if separator == "/" else path.replace(separator, "/")


def unreadable(url: str, error: OSError, part: str = "") -> UsageError:
    """The error of a path or URL at which nothing can be read, with what was meant, where that can be guessed."""
    if not isinstance(error, FileNotFoundError):
        return UsageError(f"{public(url)}{part} cannot be read: {error_text(error)}; check its permissions")
    return UsageError(f"{public(url)}{part} cannot be read: there is no such file or folder; {_meant(url)}")


def _meant(url: str) -> str:
    if is_url(url):
        return "check the URL"
    if "\\" in url and os.sep == "/":
        return f"here folders are separated by /, as in {url.replace(chr(92), '/')}"
    path = Path(url).expanduser().absolute()
    while not path.parent.is_dir() and path.parent != path:
        path = path.parent
    with suppress(OSError):
        there = sorted(each.name for each in path.parent.iterdir())
        return f"{did_you_mean(path.name, there)}check its name in {path.parent}"
    return "check its name"


def find_files(pattern: str) -> tuple[str, list[File]]:
    """The folder that a glob or brace range starts from, and the files that it names, in order.

    Raises
    ------
    UsageError
        If it names none, or one that is not there.
    """
    files: list[File] = []
    urls = expand_braces(pattern)
    if len(urls) > _LIST_FROM:
        _list_at_once(urls)
    for url in urls:
        found = _globbed(url) if is_glob(url) else [_single(url, pattern)]
        if not found:
            raise UsageError(f"no file matches {public(url)}; check the pattern")
        files += found
    root = place_of(_fixed_folder(pattern)).path.rstrip("/")
    return root, [replace(file, name=_name_below(root, file)) for file in files]


def is_glob(url: str) -> bool:
    """Whether a path or URL holds glob characters and is not itself the name of something local."""
    if re.match(r"(.*::)?https?://", url):
        return "*" in url.partition("?")[0]  # "?" starts a query there
    return bool(re.search(r"[*?\[]", url)) and not (not is_url(url) and Path(url).expanduser().exists())


def is_pattern(url: str) -> bool:
    """Whether a path or URL is a glob or a brace range."""
    return is_glob(url) or (len(expand_braces(url)) > 1 and not (not is_url(url) and Path(url).expanduser().exists()))


def expand_braces(pattern: str) -> list[str]:
    """All texts that a pattern with ``{000..041}`` and ``{a,b}`` stands for, in order.

    Raises
    ------
    UsageError
        If they are more than a million.

    Examples
    --------
    >>> expand_braces("{a,b}/{08..10}.tar")[:4]
    ['a/08.tar', 'a/09.tar', 'a/10.tar', 'b/08.tar']
    """
    parts = _BRACES.split(pattern)  # text and braces' contents by turns
    choices = [[part] if place % 2 == 0 else list(_choices(part)) for place, part in enumerate(parts)]
    total = 1
    for one in choices:
        total *= len(one)
        if total > MAX_EXPANSIONS:
            raise UsageError(f"{public(pattern)} names over {MAX_EXPANSIONS} files; give a shorter range")
    return ["".join(chosen) for chosen in product(*choices)]


def _choices(braces: str) -> Iterator[str]:
    bounds = _RANGE.fullmatch(braces)
    if bounds is None:
        yield from braces.split(",") if "," in braces else [f"{{{braces}}}"]
        return
    first, last = int(bounds[1]), int(bounds[2])
    if abs(last - first) >= MAX_EXPANSIONS:
        raise UsageError(f"{{{braces}}} names over {MAX_EXPANSIONS} files; give a shorter range")
    width = len(bounds[1]) if bounds[1].startswith("0") else 0
    for number in range(first, last + 1) if first <= last else range(first, last - 1, -1):
        yield f"{number:0{width}d}"


def _single(url: str, pattern: str) -> File:
    try:
        return place_of(url).file()
    except OSError as error:
        part = "" if url == pattern else f" (of {public(pattern)})"
        raise unreadable(url, error, part) from error


def _list_at_once(urls: list[str]) -> None:
    """List the folders of remote files once: the filesystem's cache then answers for each file."""
    for folder in sorted({url.rpartition("/")[0] for url in urls if not is_glob(url)}):
        place = place_of(folder) if is_url(folder) else None
        if place is not None and place.filesystem is not None and not re.match(r"(.*::)?https?://", folder):
            with suppress(OSError):  # a file that is not there is reported by its own name
                place.filesystem.ls(place.path, detail=True)


def _globbed(url: str) -> list[File]:
    place = place_of(url)
    if place.filesystem is None:
        return [Place(path).file() for path in sorted(_glob_local(place.path)) if Path(path).is_file()]
    found = steady(f"{public(url)} could not be listed", place.filesystem.glob, place.path, detail=True)
    return [
        File(path, path, int(info.get("size") or 0), stamp_of(info), place.filesystem)
        for path, info in sorted(found.items())
        if info.get("type", "file") == "file"
    ]


def _glob_local(pattern: str) -> list[str]:
    import glob

    return [slashed(path) for path in glob.glob(pattern, recursive=True)]  # noqa: PTH207 - Path.glob takes no absolute pattern


def _fixed_folder(pattern: str) -> str:
    """The part of a pattern before its first glob character or brace, up to the last slash in it."""
    pattern = pattern if is_url(pattern) else slashed(pattern)
    fixed = re.split(r"[*\[{]" if is_url(pattern) else r"[*?\[{]", pattern, maxsplit=1)[0]
    folder = fixed.rpartition("/")[0]
    if is_url(pattern) and "://" not in folder:
        return f"{folder}/"  # memory://*.tar
    return folder or ("/" if fixed.startswith("/") else os.curdir)


def _name_below(root: str, file: File) -> str:
    below = file.path.startswith(f"{root}/")
    return public(file.path[len(root) + 1 :] if below else file.path.rpartition("/")[2])
