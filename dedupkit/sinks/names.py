"""File names of samples inside an output: the right extension, names that webdataset does not cut, and no traps.

A tar is unpacked by somebody, on a system that may be Windows's or macOS's: no name leads out, is reserved or too long
there, reads backwards, or is another one's but for case or Unicode form.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

_EXTENSIONS = {"jpeg": "jpg", "mpo": "jpg", "tiff": "tif", "jpeg2000": "jp2", "icns": "icns"}
IMAGE_EXTENSIONS = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "jp2", "avif", "heic", "ico", "ppm"}
)
_OWN_ENDINGS = IMAGE_EXTENSIONS | {"txt", "json"}
_MAX_FOLDERS = 16
_MAX_BYTES = 180  # of a part of a path; file systems take 255, of which a suffix and a number need some
# Control characters, those that turn the direction of text, and what Windows does not take
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069<>:\"|?*\\]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)


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
    base = safe(key.rstrip("/").rsplit("/", 1)[-1]) or "image"
    right = extension(image_format)
    has = base.rpartition(".")[2].lower() if "." in base else ""
    return base if has == right or (has in ("jpeg", "tiff") and extension(has) == right) else f"{base}.{right}"


def safe(part: str) -> str:
    """A part of a path as every file system takes it; a long one is cut, and ends in a digest of the whole.

    Examples
    --------
    >>> safe("cat"), safe("AUX.jpg"), safe("a:b?. "), len(safe("x" * 4000))
    ('cat', '_AUX.jpg', 'a_b_', 180)
    """
    whole = part.encode("utf-8", "replace")
    part = _UNSAFE.sub("_", whole.decode()).rstrip(" .")
    part = f"_{part}" if _RESERVED.match(part) else part
    if len(part.encode()) <= _MAX_BYTES:
        return part
    mark = f"-{hashlib.sha256(whole).hexdigest()[:12]}"
    return part.encode()[: _MAX_BYTES - len(mark)].decode(errors="ignore") + mark


class MemberNames:
    """Names of a part's samples in a tar.

    webdataset takes what stands before the first dot of the base name as a sample's name, so dots there become
    underscores; an image extension is cut off first.  What differs from an earlier name in case or Unicode form alone
    gets a number.  The sample's JSON holds the key itself.

    Examples
    --------
    >>> names = MemberNames()
    >>> [names.of(key) for key in ("a/cat.jpg", "a/cat.png", "v1.5/x.y", "A/Cat")]
    ['a/cat', 'a/cat_2', 'v1.5/x_y', 'A/Cat_3']
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, key: str) -> str:
        """A name not given before; memory grows with the names given."""
        folder, _, base = key.rpartition("/")
        stem, dot, last = base.rpartition(".")
        if dot and last.lower() in IMAGE_EXTENSIONS:
            base = stem
        name = "/".join([*_folders(folder), safe(base.replace(".", "_")) or "_"])
        number, unique = 1, name
        while _alike(unique) in self._taken:
            number += 1
            unique = f"{name}_{number}"
        self._taken.add(_alike(unique))
        return unique


def _folders(folder: str) -> list[str]:
    parts = map(safe, folder.split("/")[:_MAX_FOLDERS])
    return [part.replace(".", "_") if _is_like_a_file(part) else part for part in parts if part]


def _is_like_a_file(part: str) -> bool:
    """Whether a folder might have the name of another sample's file."""
    return part.rpartition(".")[2].lower() in _OWN_ENDINGS


def _alike(name: str) -> str:
    """What names have in common that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
