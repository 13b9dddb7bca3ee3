"""Pictures that are bombs, made by hand after the formats' specifications: a few bytes that ask for gigabytes."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

from tests.conftest import draw_picture

MANY = 60_000  # pixels a side: 10 GB in RGB
BOMB_BYTES = 64 << 20


def drawn(seed: int, kind: str = "PNG") -> bytes:
    """A picture that harms nobody."""
    buffer = io.BytesIO()
    draw_picture(seed, 160, 120).save(buffer, kind)
    return buffer.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_with(*chunks: bytes, seed: int = 1) -> bytes:
    """A whole picture with chunks of ours behind its header."""
    picture = drawn(seed)
    return picture[:33] + b"".join(chunks) + picture[33:]


def png_of_zeros(side: int) -> bytes:
    """A black square that is all there: a thousandth of its pixels in bytes."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side)) for _ in range(side)) + packer.flush()
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def png_header() -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", MANY, MANY, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")


def jpeg_header() -> bytes:
    """A drawn JPEG whose frame header states other sides."""
    picture = bytearray(drawn(2, "JPEG"))
    frame = picture.index(b"\xff\xc0")
    picture[frame + 5 : frame + 9] = struct.pack(">HH", MANY, MANY)
    return bytes(picture)


def gif_frame() -> bytes:
    """A screen of 8 x 8 pixels with a frame that is larger."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return screen + b"," + struct.pack("<HHHHB", 0, 0, MANY, MANY, 0) + b"\x02\x02\x44\x01\0;"


def webp_header() -> bytes:
    """16,384 pixels a side, the most that the format can say."""
    body = b"/\xff\xff\xff\x0f" + bytes(13)
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body


def tiff_header() -> bytes:
    tags = [(256, 4, MANY), (257, 4, MANY), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 4, MANY)]
    body = struct.pack("<H", len(tags) + 1) + b"".join(struct.pack("<HHII", tag, kind, 1, it) for tag, kind, it in tags)
    return b"II*\0\x08\0\0\0" + body + struct.pack("<HHII", 279, 4, 1, 1) + bytes(4)


def bmp_header() -> bytes:
    return b"BM" + struct.pack("<IHHI", 1 << 20, 0, 0, 54) + struct.pack("<IiiHH24x", 40, MANY, MANY, 1, 24)


def icon_bomb() -> bytes:
    """An icon of 16 x 16 pixels, as its directory says, that holds a large picture."""
    picture = png_of_zeros(14_000)
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(picture), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + picture


def text_bomb() -> bytes:
    return png_with(png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(BOMB_BYTES), 9)))


def utf8_text_bomb() -> bytes:
    return png_with(png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(BOMB_BYTES), 9)))


def profile_bomb() -> bytes:
    return png_with(png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(BOMB_BYTES), 9)))


def jpeg_with_exif(block: bytes, seed: int) -> bytes:
    picture = drawn(seed, "JPEG")
    return picture[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block + picture[2:]


def exif_loop() -> bytes:
    """A table of tags whose pointer to the next, and to that of the camera, leads back to itself."""
    entry = struct.pack(">HHII", 0x8769, 4, 1, 8)
    return jpeg_with_exif(b"MM\0*\0\0\0\x08" + struct.pack(">H", 1) + entry + struct.pack(">I", 8), 3)


def exif_count() -> bytes:
    """A tag of four thousand million values."""
    entry = struct.pack(">HHII", 0x0112, 3, 0xFFFFFFFF, 8)
    return jpeg_with_exif(b"MM\0*\0\0\0\x08" + struct.pack(">H", 1) + entry + bytes(4), 4)


def exif_of_megabytes() -> bytes:
    return png_with(png_chunk(b"eXIf", b"MM\0*\0\0\0\x08" + struct.pack(">H", 0xFFFF) + bytes(16 << 20)), seed=5)


def many_frames() -> bytes:
    """An animation that goes on."""
    buffer = io.BytesIO()
    first, *others = (Image.new("L", (64, 64), number % 256) for number in range(2_000))
    first.paste(draw_picture(6, 64, 64).convert("L"))
    first.save(buffer, "GIF", save_all=True, append_images=others)
    return buffer.getvalue()


def postscript() -> bytes:
    """What Ghostscript would draw, and more."""
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
