from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from dedupkit.canaries.encodings import encoding_of
from tests.conftest import draw_picture


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def again(data: bytes) -> tuple[Image.Image, Image.Image]:
    """The image, and another picture that was encoded like it."""
    found = encoding_of(data)
    assert found is not None
    encoding, pixels = found
    return Image.open(io.BytesIO(data)), Image.open(io.BytesIO(encoding.encode(pixels[::-1].copy())))


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_imitated_with_its_tables(quality: int, subsampling: int, progressive: bool) -> None:
    data = saved(draw_picture(1, 96, 72), "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    before, after = again(data)
    assert isinstance(before, JpegImagePlugin.JpegImageFile)
    assert isinstance(after, JpegImagePlugin.JpegImageFile)
    assert after.quantization == before.quantization
    assert JpegImagePlugin.get_sampling(after) == subsampling
    assert bool(after.info.get("progressive")) is progressive
    assert after.size == before.size


@pytest.mark.parametrize("optimize", [False, True])
def test_the_same_pixels_give_a_jpeg_of_the_same_size(optimize: bool) -> None:
    data = saved(draw_picture(2, 128, 96), "JPEG", quality=85, optimize=optimize)
    found = encoding_of(data)
    assert found is not None
    assert abs(len(found[0].encode(found[1])) / len(data) - 1) < 0.01


def test_grey_palettes_transparency_and_profiles_stay() -> None:
    picture = draw_picture(3, 64, 48)
    assert again(saved(picture.convert("L"), "JPEG"))[1].mode == "L"
    assert again(saved(picture.quantize(16), "PNG"))[1].mode == "P"
    clear = picture.copy()
    clear.putalpha(Image.linear_gradient("L").resize(picture.size))
    assert again(saved(clear, "PNG"))[1].mode == "RGBA"
    assert again(saved(picture, "JPEG", icc_profile=b"a profile"))[1].info["icc_profile"] == b"a profile"
    exif = Image.Exif()
    exif[0x010F] = "maker"
    assert again(saved(picture, "JPEG", exif=exif))[1].getexif()[0x010F] == "maker"


@pytest.mark.parametrize("quality", [40, 80])
def test_a_webp_is_imitated_at_a_quality_that_gives_its_size(quality: int) -> None:
    data = saved(draw_picture(4, 160, 120), "WEBP", quality=quality)
    found = encoding_of(data)
    assert found is not None
    assert abs(len(found[0].encode(found[1])) / len(data) - 1) < 0.1


def test_a_lossless_webp_stays_one() -> None:
    found = encoding_of(saved(draw_picture(5, 64, 48), "WEBP", lossless=True))
    assert found is not None
    assert b"VP8L" in found[0].encode(found[1])[:32]


def test_other_formats_modes_and_animations_are_no_models() -> None:
    picture = draw_picture(6, 32, 32)
    assert encoding_of(saved(picture, "BMP")) is None
    assert encoding_of(saved(picture.convert("CMYK"), "JPEG")) is None
    assert encoding_of(saved(picture, "PNG", save_all=True, append_images=[draw_picture(7, 32, 32)])) is None
    assert encoding_of(saved(Image.fromarray(np.zeros((8, 8), np.uint16)), "PNG")) is None
