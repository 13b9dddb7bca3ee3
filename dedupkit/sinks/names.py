"""File names of samples inside an output: the right extension, and names that webdataset does not cut."""

from __future__ import annotations

import re

_EXTENSIONS = {"jpeg": "jpg", "mpo": "jpg", "tiff": "tif", "jpeg2000": "jp2", "icns": "icns"}
IMAGE_EXTENSIONS = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "jp2", "avif", "heic", "ico", "ppm"}
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def extension(image_format: str) -> str:
    """File extension, without its dot, of an image format as Pillow calls it in lower case.

    Examples
    --------
    >>> extension("jpeg"), extension("png")
    ('jpg', 'png')
    """
    return _EXTENSIONS.get(image_format, re.sub(r"[^a-z0-9]", "", image_format.lower()) or "img")


def file_name(key: str, image_format: str) -> str:
    """A base name for the image of this key.

    Examples
    --------
    >>> file_name("holiday/beach.jpeg", "jpeg"), file_name("000123", "png")
    ('beach.jpeg', '000123.png')
    """
    base = _CONTROL.sub("_", key.rstrip("/").rsplit("/", 1)[-1]) or "image"
    right = extension(image_format)
    has = base.rpartition(".")[2].lower() if "." in base else ""
    return base if has == right or (has in ("jpeg", "tiff") and extension(has) == right) else f"{base}.{right}"


class MemberNames:
    """Names of a part's samples in a tar.

    webdataset takes what stands before the first dot of the base name as a sample's name, so dots there become
    underscores; an image extension is cut off first.  The sample's JSON holds the key itself.

    Examples
    --------
    >>> names = MemberNames()
    >>> [names.of(key) for key in ("a/cat.jpg", "a/cat.png", "v1.5/x.y")]
    ['a/cat', 'a/cat_2', 'v1.5/x_y']
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, key: str) -> str:
        """A name not given before; memory grows with the names given."""
        folder, _, base = _CONTROL.sub("_", key.encode("utf-8", "replace").decode()).rpartition("/")
        stem, dot, last = base.rpartition(".")
        if dot and last.lower() in IMAGE_EXTENSIONS:
            base = stem
        folders = [part for part in folder.split("/") if part not in ("", ".", "..")]
        name = "/".join([*folders, base.replace(".", "_") or "_"])
        number, unique = 1, name
        while unique in self._taken:
            number += 1
            unique = f"{name}_{number}"
        self._taken.add(unique)
        return unique
