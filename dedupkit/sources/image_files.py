"""Image files that a table's rows name by path: read below the source's folder only, or where a program put them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedupkit.errors import DedupkitError
from dedupkit.sample import Fault, Reason
from dedupkit.sources.listing import error_text, is_image_name, public
from dedupkit.stores import check_machine, is_url, steady


@dataclass(frozen=True, slots=True)
class FilesBelow:
    """Reads image files below one folder and refuses all others: what a downloaded table names is not trusted.

    Attributes
    ----------
    root : str
        The folder, as its filesystem writes it.
    filesystem : fsspec filesystem or None
        None for a local folder.
    max_bytes : int
        Larger files are not read.
    """

    root: str
    filesystem: Any = None
    max_bytes: int = 256 << 20

    def __call__(self, path: str) -> bytes | Fault:
        """The bytes of an image, or why there are none."""
        if path.startswith(("/", "\\", "~")) or ":" in path or ".." in path.replace("\\", "/").split("/"):
            return Fault(Reason.MISSING_IMAGE, "the row holds no bytes, and its path leads outside the source's folder")
        try:
            if self.filesystem is not None:
                return self._read_remote(f"{self.root.rstrip('/')}/{path}")
            found = (Path(self.root) / path).resolve(strict=True)
            if not found.is_relative_to(Path(self.root).resolve()):
                return Fault(Reason.UNREADABLE_FILE, "a link that leads outside the folder")
            return read_local(found, self.max_bytes)
        except FileNotFoundError:
            return Fault(Reason.MISSING_IMAGE, "the row holds no bytes, and the file it names is not there")
        except DedupkitError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            check_machine(error, path)
            return Fault(Reason.UNREADABLE_FILE, error_text(error))

    def _read_remote(self, path: str) -> bytes | Fault:
        what = f"{public(path)} could not be read"
        byte_size = int(steady(what, self.filesystem.size, path) or 0)
        if byte_size > self.max_bytes:
            return too_many_bytes(byte_size, self.max_bytes)
        return bytes(steady(what, self.filesystem.cat_file, path))


@dataclass(frozen=True, slots=True)
class FilesAnywhere:
    """Reads the image files that a `datasets` object of the caller's own program names, as it would itself."""

    max_bytes: int = 256 << 20

    def __call__(self, path: str) -> bytes | Fault:
        """The bytes of an image, or why there are none."""
        if not is_image_name(path.partition("::")[0]):
            return Fault(Reason.MISSING_IMAGE, "the row holds no bytes, and its path is not that of an image")
        try:
            if not is_url(path):
                return read_local(Path(path), self.max_bytes)
            import fsspec

            with fsspec.open(path, "rb") as handle:
                data = bytes(handle.read(self.max_bytes + 1))
            return data if len(data) <= self.max_bytes else too_many_bytes(len(data), self.max_bytes)
        except FileNotFoundError:
            return Fault(Reason.MISSING_IMAGE, "the row holds no bytes, and the file it names is not there")
        except (OSError, ValueError, ImportError) as error:
            check_machine(error, public(path).rpartition("/")[2])
            return Fault(Reason.UNREADABLE_FILE, error_text(error))


def read_local(path: Path, max_bytes: int) -> bytes | Fault:
    """The bytes of a regular local file."""
    if not path.is_file():
        return Fault(Reason.MISSING_IMAGE, "no regular file of that name")
    if (byte_size := path.stat().st_size) > max_bytes:
        return too_many_bytes(byte_size, max_bytes)
    with io.FileIO(str(path)) as handle:
        return handle.readall()


def too_many_bytes(byte_size: int, max_bytes: int) -> Fault:
    """The fault of an image that is too large to be read."""
    return Fault(Reason.TOO_MANY_BYTES, f"{byte_size} bytes; the limit is {max_bytes}")
