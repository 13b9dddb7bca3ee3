"""Metadata: nothing of it left by exiftool's own reading, and not a pixel changed."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from dedupkit.fingerprints.decode import upright
from dedupkit.hygiene.metadata import strippable, without_metadata
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "Ada Lovelace 51.5074"
XMP = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><dc:creator>{SECRET}</dc:creator></x:xmpmeta>'.encode()
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION, ARTIST, GPS, GPS_AREA, MAKER_NOTE, EXIF_IFD = 0x0112, 0x013B, 0x8825, 28, 0x927C, 0x8769
HARMLESS = (
    "SourceFile",
    "ExifTool:",
    "System:",
    "File:",
    "JFIF:",
    "PNG",
    "RIFF",
    "ICC",
    "Composite:",
    "Adobe:",
    "IFD0:Orient",
)


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[ORIENTATION], block[ARTIST] = orientation, SECRET
    block.get_ifd(GPS).update({1: "N", 2: (51.0, 30.0, 26.6), 3: "W", 4: (0.0, 7.0, 39.0), GPS_AREA: SECRET})
    block.get_ifd(EXIF_IFD).update({MAKER_NOTE: SECRET.encode()})
    return block


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def loaded_jpeg(image: Image.Image, orientation: int = 1, **options: Any) -> bytes:
    """A JPEG full of it: EXIF with GPS and thumbnail, XMP, IPTC, comments, an unknown segment, an image behind it."""
    plain = saved(image, "JPEG", exif=exif(orientation), xmp=XMP, icc_profile=ICC, comment=SECRET, **options)
    thumbnail = segment(0xE0, b"JFXX\0\x10" + saved(image.resize((16, 16)).convert("RGB"), "JPEG", comment=SECRET))
    iptc = b"\x1c\x02\x50" + struct.pack(">H", len(SECRET)) + SECRET.encode()  # 2:80, by-line
    resource = b"8BIM" + struct.pack(">H", 0x0404) + b"\0\0" + struct.pack(">I", len(iptc)) + iptc
    resource += b"\0" * (len(iptc) % 2)
    more = (
        segment(0xED, b"Photoshop 3.0\0" + resource) + segment(0xEA, SECRET.encode()) + segment(0xFE, SECRET.encode())
    )
    return plain[:2] + thumbnail + more + plain[2:] + saved(image.convert("RGB"), "JPEG", comment=SECRET)


def loaded_png(image: Image.Image, orientation: int = 1) -> bytes:
    notes = PngInfo()
    notes.add_text("Author", SECRET)
    notes.add_text("Comment", SECRET, zip=True)
    notes.add_itxt("Description", SECRET, "en", "Description", zip=False)
    notes.add_itxt("XML:com.adobe.xmp", XMP.decode())
    data = saved(image, "PNG", exif=exif(orientation), icc_profile=ICC, pnginfo=notes)
    private = b"prVt" + SECRET.encode()
    chunk = struct.pack(">I", len(private) - 4) + private + struct.pack(">I", zlib.crc32(private))
    return data[:33] + chunk + data[33:] + SECRET.encode()


def loaded_webp(image: Image.Image, orientation: int = 1, **options: Any) -> bytes:
    data = saved(image, "WEBP", exif=exif(orientation), xmp=XMP, icc_profile=ICC, **options)
    body = data[12:] + b"prVt" + struct.pack("<I", len(SECRET)) + SECRET.encode()
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def shown(data: bytes) -> np.ndarray[Any, Any]:
    """Pixels as a viewer shows them."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return np.asarray(upright(image, image.getexif().get(ORIENTATION, 1)))


PICTURE = draw_picture(3)
FILES = {
    "jpeg": loaded_jpeg(PICTURE),
    "turned jpeg": loaded_jpeg(PICTURE, orientation=6),
    "progressive jpeg": loaded_jpeg(PICTURE, progressive=True, quality=95, subsampling=0),
    "jpeg with restarts": loaded_jpeg(PICTURE, restart_marker_blocks=3),
    "grey jpeg": loaded_jpeg(PICTURE.convert("L")),
    "cmyk jpeg": loaded_jpeg(PICTURE.convert("CMYK")),
    "png": loaded_png(PICTURE),
    "turned png": loaded_png(PICTURE, orientation=3),
    "png with palette": loaded_png(PICTURE.quantize(64)),
    "png with alpha": loaded_png(PICTURE.convert("RGBA")),
    "webp": loaded_webp(PICTURE),
    "turned webp": loaded_webp(PICTURE, orientation=8),
    "lossless webp with alpha": loaded_webp(PICTURE.convert("RGBA"), lossless=True),
}


@pytest.mark.parametrize("name", FILES)
def test_no_byte_of_the_secret_stays_and_no_pixel_changes(name: str) -> None:
    bare = without_metadata(FILES[name])
    assert SECRET.encode() not in bare
    assert SECRET.encode()[:8] not in bare
    assert np.array_equal(shown(bare), shown(FILES[name]))


@pytest.mark.parametrize("name", FILES)
def test_the_colour_profile_stays(name: str) -> None:
    with Image.open(io.BytesIO(without_metadata(FILES[name]))) as image:
        assert image.info["icc_profile"] == ICC


@pytest.mark.parametrize("name", FILES)
def test_only_the_orientation_is_left_of_exif(name: str) -> None:
    with Image.open(io.BytesIO(without_metadata(FILES[name]))) as image:
        image.load()
        tags = dict(image.getexif())
    assert tags == ({} if "turned" not in name else {ORIENTATION: {"jpeg": 6, "png": 3, "webp": 8}[name.split()[1]]})


@pytest.mark.parametrize("name", FILES)
def test_stripping_twice_is_stripping_once(name: str) -> None:
    bare = without_metadata(FILES[name])
    assert without_metadata(bare) is bare


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_without_metadata_stays_the_same_object(kind: str) -> None:
    data = saved(PICTURE, kind)
    assert without_metadata(data) is data


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
@pytest.mark.parametrize("name", FILES)
def test_exiftool_finds_nothing(name: str, tmp_path: Path) -> None:
    def told(data: bytes) -> dict[str, Any]:
        path = tmp_path / "image"
        path.write_bytes(data)
        said = subprocess.run(["exiftool", "-j", "-a", "-u", "-G1", "-ee", path], capture_output=True, check=True)
        return dict(json.loads(said.stdout)[0])

    assert SECRET in json.dumps(told(FILES[name]))
    left = told(without_metadata(FILES[name]))
    assert SECRET not in json.dumps(left)
    assert [tag for tag in left if not tag.startswith(HARMLESS)] == []


def test_an_animation_keeps_its_frames() -> None:
    frames = [draw_picture(seed).resize((64, 48)) for seed in range(3)]
    for kind in ("PNG", "WEBP"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, exif=exif(1))
        with Image.open(io.BytesIO(without_metadata(data))) as image:
            assert getattr(image, "n_frames", 1) == 3
        assert SECRET.encode() not in without_metadata(data)


def test_what_it_does_not_know_is_given_back() -> None:
    data = saved(PICTURE, "BMP")
    assert not strippable(data)
    assert without_metadata(data) is data


@given(st.sampled_from(sorted(FILES)), st.data())
def test_broken_files_never_raise_or_grow(name: str, data: st.DataObject) -> None:
    broken = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 6))):
        broken[data.draw(st.integers(12, len(broken) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(broken[: data.draw(st.integers(16, len(broken)))])
    assert len(without_metadata(cut)) <= len(cut) + 64
