"""Orientation turned into pixels, held against what Pillow's own `ImageOps.exif_transpose` shows."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, JpegImagePlugin

from dedupkit.hygiene.metadata import without_metadata
from dedupkit.hygiene.orientation import baked
from tests.conftest import draw_picture
from tests.unit.hygiene.test_metadata import ARTIST, ICC, ORIENTATION, PICTURE, exif, saved

TURNED = range(2, 9)
PALETTE = PICTURE.quantize(64)
CLEAR_PALETTE = PALETTE.copy()
CLEAR_PALETTE.info["transparency"] = 3
LOSSLESS: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
    "png": (PICTURE, "PNG", {}),
    "grey png": (PICTURE.convert("L"), "PNG", {}),
    "one-bit png": (PICTURE.convert("1"), "PNG", {}),
    "png with alpha": (Image.merge("RGBA", (*PICTURE.split(), PICTURE.split()[0])), "PNG", {}),
    "png with palette": (PALETTE, "PNG", {}),
    "png with a clear colour in its palette": (CLEAR_PALETTE, "PNG", {}),
    "png with a clear colour": (
        PALETTE.convert("RGB"),
        "PNG",
        {"transparency": PALETTE.convert("RGB").getpixel((5, 5))},
    ),
    "grey png of 16 bits": (Image.fromarray(np.arange(77 * 50, dtype=np.uint16).reshape(50, 77) * 17), "PNG", {}),
    "lossless webp": (PICTURE, "WEBP", {"lossless": True}),
    "lossless webp with alpha": (PICTURE.convert("RGBA"), "WEBP", {"lossless": True}),
}


def shown(data: bytes) -> Image.Image:
    """The picture as Pillow shows it to one who looks at EXIF."""
    with Image.open(io.BytesIO(data)) as image:
        return ImageOps.exif_transpose(image)


def raw(data: bytes) -> Image.Image:
    """The picture as one sees it who ignores EXIF."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def levels(image: Image.Image) -> np.ndarray[Any, Any]:
    sixteen = image.mode.startswith("I")
    return np.asarray(image if sixteen else image.convert("RGBA")).astype(int)


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_keep_every_pixel(name: str, orientation: int) -> None:
    image, kind, options = LOSSLESS[name]
    data = saved(image, kind, exif=exif(orientation), icc_profile=ICC, **options)
    made = raw(baked(data))
    assert made.format == kind
    assert np.array_equal(levels(made), levels(shown(data)))
    assert ORIENTATION not in made.getexif()
    assert made.info["icc_profile"] == ICC


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_jpeg_of_whole_blocks_comes_out_nearly_as_it_went_in(subsampling: str, orientation: int) -> None:
    data = saved(PICTURE, "JPEG", quality=85, subsampling=subsampling, exif=exif(orientation), icc_profile=ICC)
    made = raw(baked(data))
    change = abs(levels(made) - levels(shown(data)))
    assert made.size == shown(data).size
    lying = subsampling == "4:2:2" and orientation > 4  # turned, its colours are kept at full width
    assert change.mean() < (1 if lying else 0.5)
    assert np.percentile(change, 99) <= 4
    assert ORIENTATION not in made.getexif()
    assert made.info["icc_profile"] == ICC


def test_tables_are_turned_with_the_picture_and_subsampling_stays() -> None:
    rising = [1 + 3 * row + column for row in range(8) for column in range(8)]  # not the same across and down
    for orientation, kept in ((3, True), (6, False)):
        data = saved(PICTURE, "JPEG", qtables=[rising, rising], subsampling="4:2:0", exif=exif(orientation))
        made = raw(baked(data))
        assert isinstance(made, JpegImagePlugin.JpegImageFile)
        found = np.reshape(made.quantization[0], (8, 8))
        assert np.array_equal(found if kept else found.T, np.reshape(rising, (8, 8)))
        assert JpegImagePlugin.get_sampling(made) == 2


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("orientation", TURNED)
def test_jpegs_of_other_colours_and_odd_sizes(mode: str, orientation: int) -> None:
    data = saved(PICTURE.resize((77, 51)).convert(mode), "JPEG", quality=95, exif=exif(orientation))
    made = raw(baked(data))
    assert made.mode == mode
    assert abs(levels(made) - levels(shown(data))).mean() < 2


@pytest.mark.parametrize("orientation", TURNED)
def test_sixteen_bits_of_colour_stay(orientation: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    done, plain = cv2.imencode(".png", pixels)
    assert done
    tagged = saved(Image.new("RGB", (1, 1)), "PNG", exif=exif(orientation))
    block = tagged[tagged.index(b"eXIf") - 4 : tagged.index(b"IDAT") - 4]
    data = plain.tobytes()[:33] + block + plain.tobytes()[33:]
    made = cv2.imdecode(np.frombuffer(baked(data), np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    numbered = Image.fromarray(np.arange(600, dtype=np.int32).reshape(20, 30))
    numbered.info["exif"] = exif(orientation).tobytes()
    places = np.asarray(ImageOps.exif_transpose(numbered))
    assert made is not None
    assert made.dtype == np.uint16
    assert np.array_equal(made, pixels.reshape(-1, 3)[places])


@pytest.mark.parametrize("orientation", TURNED)
def test_a_lossy_webp_is_turned(orientation: int) -> None:
    data = saved(PICTURE, "WEBP", quality=80, exif=exif(orientation))
    made = raw(baked(data))
    assert made.size == shown(data).size
    assert abs(levels(made) - levels(shown(data))).mean() < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_what_stands_upright_stays_the_same_object(kind: str) -> None:
    for options in ({}, {"exif": exif(1)}):
        data = saved(PICTURE, kind, **options)
        assert baked(data) is data


def test_animations_and_broken_files_stay_as_they_are() -> None:
    frames = [draw_picture(seed).resize((64, 48)) for seed in range(3)]
    moving = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], exif=exif(6))
    broken = saved(PICTURE, "JPEG", exif=exif(6))[:4000]
    for data in (moving, broken):
        assert baked(data) is data


def test_other_exif_stays_unless_it_is_stripped_and_baking_twice_is_baking_once() -> None:
    made = baked(saved(PICTURE, "JPEG", exif=exif(8)))
    assert raw(made).getexif()[ARTIST]
    assert baked(made) is made
    assert not raw(without_metadata(made)).getexif()


def test_a_gamma_stays() -> None:
    import struct
    import zlib

    body = b"gAMA" + struct.pack(">I", 100_000)
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    data = saved(PICTURE, "PNG", exif=exif(6))
    assert raw(baked(data[:33] + chunk + data[33:])).info["gamma"] == 1.0
