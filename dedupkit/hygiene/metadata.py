"""Metadata out of encoded images, without touching a pixel: EXIF, GPS, XMP, IPTC, comments, thumbnails.

Containers are rewritten and the coded image data is copied, so the decoded pixels stay equal bit for bit.  What says
how the pixels are to be shown stays: the ICC profile, gamma and the like, transparency, animation, and the orientation,
if it is not the usual one, in an EXIF block that holds nothing else.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING, Literal

from PIL import Image

from dedupkit.fingerprints.decode import orientation_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ORIENTATION_TAG = 0x0112

# JPEG (ITU-T T.81): markers without a length, and those whose segments are part of the image
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
_START, _END, _SCAN, _APP0, _APP1, _APP2, _ADOBE = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE
_APPLICATION, _COMMENT = range(0xE0, 0xF0), 0xFE
_AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # 00 is stuffed, D0 to D7 restart the scan

# PNG (W3C, third edition) and APNG: what is needed to show the image as it is meant
_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs acTL fcTL fdAT".split()
)
# WebP container (RFC 9649)
_WEBP_KEPT = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_WEBP_XMP, _WEBP_EXIF = 0x04, 0x08


def container_of(data: bytes) -> Literal["jpeg", "png", "webp"] | None:
    """Which of the containers that can be rewritten an encoded image has."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(PNG_SIGNATURE):
        return "png"
    return "webp" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else None


def strippable(data: bytes) -> bool:
    """Whether `without_metadata` knows the container: JPEG, PNG or WebP."""
    return container_of(data) is not None


def without_metadata(data: bytes) -> bytes:
    """Take all metadata out of an encoded image.

    Parameters
    ----------
    data : bytes
        A JPEG, PNG or WebP file; anything else is given back as it is.

    Returns
    -------
    bytes
        The very same object if there was nothing to take out.

    Notes
    -----
    Gone are, of a JPEG: all application segments but JFIF's (without its thumbnail), Adobe's colour transform and the
    ICC profile; comments; and what follows the image, such as the second image of a phone's depth map.  Of a PNG: all
    text, EXIF, time and private chunks.  Of a WebP: EXIF, XMP and unknown chunks.  Time is that of copying the file.

    Examples
    --------
    >>> import io
    >>> picture = io.BytesIO()
    >>> Image.new("RGB", (8, 8)).save(picture, "JPEG", comment=b"by me")
    >>> b"by me" in without_metadata(picture.getvalue())
    False
    """
    container = container_of(data)
    if container is None:
        return data
    bare = {"jpeg": _bare_jpeg, "png": _bare_png, "webp": _bare_webp}[container](data)
    return data if bare == data else bare


def _exif_of(data: bytes, prefix: bytes = b"") -> bytes:
    """An EXIF block with the orientation and nothing else; empty where the image stands upright."""
    orientation = orientation_of(data)
    if orientation == 1:
        return b""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return prefix + exif.tobytes().removeprefix(b"Exif\0\0")


def _bare_jpeg(data: bytes) -> bytes:
    kept, found = [b"\xff\xd8"], False
    for marker, segment in _jpeg_segments(data):
        if marker in _APPLICATION or marker == _COMMENT:
            found = found or marker == _APP1
            kept.append(_application(marker, segment))
        else:
            kept.append(segment)
    exif = _exif_of(data, b"Exif\0\0") if found else b""
    if exif:
        place = 2 if kept[1][1:2] == bytes([_APP0]) else 1
        kept.insert(place, b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif)
    return b"".join(kept)


def _application(marker: int, segment: bytes) -> bytes:
    """What stays of an application segment or a comment."""
    body = segment[4:]
    if marker == _APP0 and body.startswith(b"JFIF\0"):
        return segment if len(body) <= 14 else b"\xff\xe0\x00\x10" + body[:12] + b"\0\0"  # 0 x 0: without thumbnail
    if marker == _APP2 and body.startswith(b"ICC_PROFILE\0"):
        return segment
    if marker == _ADOBE and body.startswith(b"Adobe"):
        return segment[:2] + struct.pack(">H", 14) + body[:12]
    return b""


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and bytes of each segment up to the end of the image; a scan's coded data stands with its header."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        marker = data[at + 1]
        if marker in (0x00, 0xFF) or marker in _BARE:  # fill bytes and garbage, which decoders pass over
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _END:
            yield marker, b"\xff\xd9"
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SCAN:
            after = _AFTER_SCAN.search(data, end)
            end = after.start() if after else len(data)
        yield marker, data[at:end]
        at = end


def _bare_png(data: bytes) -> bytes:
    kept, found = [PNG_SIGNATURE], False
    for name, chunk in png_chunks(data):
        if name in _PNG_KEPT or not name[0] & 0x20:  # critical ones are in capitals
            kept.append(chunk)
        else:
            found = True
    exif = _exif_of(data) if found else b""
    if exif:
        body = b"eXIf" + exif
        kept.insert(2, struct.pack(">I", len(exif)) + body + struct.pack(">I", zlib.crc32(body)))
    return b"".join(kept)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and bytes, length and checksum included, of each chunk of a PNG."""
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        yield name, data[at:end]
        if name == b"IEND":
            return
        at = end


def _bare_webp(data: bytes) -> bytes:
    chunks = list(riff_chunks(data))
    kept = [(name, body) for name, body in chunks if name in _WEBP_KEPT]
    exif = _exif_of(data) if len(kept) < len(chunks) else b""
    if exif:
        kept.append((b"EXIF", exif))
    body = b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for name, content in (_flagged(name, content, exif=bool(exif)) for name, content in kept)
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _flagged(name: bytes, content: bytes, *, exif: bool) -> tuple[bytes, bytes]:
    """The extended header says which metadata follows."""
    if name != b"VP8X" or not content:
        return name, content
    flags = content[0] & ~(_WEBP_XMP | _WEBP_EXIF) | (_WEBP_EXIF if exif else 0)
    return name, bytes([flags]) + content[1:]


def riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk of a WebP."""
    at, stop = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while at + 8 <= stop:
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], data[at + 8 : end]
        at = end + end % 2
