"""How Pillow is let loose on strangers' bytes: strict, and as the formats of pictures alone."""

from __future__ import annotations

import io
import struct
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from PIL import Image, ImageFile

if TYPE_CHECKING:
    from collections.abc import Iterator

# All that sets of pictures are made of.  What else Pillow would open is no picture in such a set but a way in: EPS is a
# program, which Pillow hands to Ghostscript; WMF, FITS, GRIB and their like are decoders that nobody has tried hard.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "TGA", "QOI")
_OF_PACKAGES = ("MPO", "HEIF", "JXL")  # which pillow-heif and pillow-jxl-plugin register
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ICO_SIGNATURE, _ICO_HEAD, _ICO_ENTRY = b"\0\0\1\0", 6, 16

_strict_lock = Lock()
_strict_users: list[tuple[int | None, bool]] = []  # what each found; the last one popped is the first one's


@contextmanager
def opened_image(data: bytes) -> Iterator[ImageFile.ImageFile]:
    """An encoded image as Pillow sees it, of the formats in `FORMATS` alone and strictly.

    Raises
    ------
    PIL.UnidentifiedImageError
        It is of none of them.
    """
    Image.init()
    known = [each for each in (*FORMATS, *_OF_PACKAGES) if each in Image.OPEN]
    with strict_pillow(), Image.open(io.BytesIO(data), formats=known) as image:
        yield image


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Pillow without its own limit on pixels and without leave to fill up truncated files, whatever the program set.

    Both are settings of the whole process: the first that enters sets them, the last that leaves restores them.
    """
    with _strict_lock:
        _strict_users.append((Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES))
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
    try:
        yield
    finally:
        with _strict_lock:
            before = _strict_users.pop()
            if not _strict_users:
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


def inner_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of the pictures in an ICO: one is decoded when it is opened, whatever the directory states."""
    if not data.startswith(_ICO_SIGNATURE):
        return
    for entry in range(int.from_bytes(data[4:6], "little")):
        at = _ICO_HEAD + _ICO_ENTRY * entry + 12
        start = int.from_bytes(data[at : at + 4], "little")
        is_png = data.startswith(_PNG_SIGNATURE, start)
        header = data[start + 16 : start + 24] if is_png else data[start + 4 : start + 12]  # else as in a BMP
        if len(header) == 8:
            width, height = struct.unpack(">II" if is_png else "<ii", header)
            yield abs(width), abs(height)
