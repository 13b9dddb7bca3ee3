"""Decoding against Pillow and hand arithmetic; every fault with its reason."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from dedupkit.fingerprints.decode import Decoded, decode
from dedupkit.recipe import Limits
from dedupkit.report.thumbnails import thumbnail
from dedupkit.sample import Fault, Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ORIENTATION = 0x0112
LIMITS = Limits()
CUTS = (0.3, 0.5, 0.8, 0.95, 0.99)
RED_LUMINANCE, BLUE_LUMINANCE = 76, 29  # of 255: 0.299 and 0.114, ITU-R 601-2


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def decoded(data: bytes, *, draft: bool = False) -> Decoded:
    found = decode(data, LIMITS, draft=draft)
    assert isinstance(found, Decoded), found
    return found


def fault(data: bytes, limits: Limits = LIMITS, *, draft: bool = True) -> Fault:
    found = decode(data, limits, draft=draft)
    assert isinstance(found, Fault)
    return found


def pixels(image: Image.Image | None) -> np.ndarray[Any, np.dtype[np.int64]]:
    assert image is not None
    return np.asarray(image).astype(np.int64)


def with_orientation(image: Image.Image, kind: str, orientation: object, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(image, kind, exif=exif, **options)


def shown(data: bytes) -> Image.Image:
    """As Pillow would show it."""
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data)))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"\0" * 100))


@pytest.fixture
def photo(picture: Callable[..., Image.Image]) -> Image.Image:
    return picture(7, 240, 180)


# orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_as_pillow_does(orientation: int, kind: str, photo: Image.Image) -> None:
    data = with_orientation(photo, kind, orientation)
    found, expected = decoded(data), shown(data).convert("RGB")
    assert (pixels(found.rgb) == pixels(expected)).all()
    assert (found.width, found.height) == expected.size
    assert np.abs(found.gray - pixels(expected) @ [0.299, 0.587, 0.114]).max() < 0.01


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("width", "height"), [(97, 60), (240, 180), (640, 401)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_orientation_is_applied_to_a_draft(
    orientation: int, width: int, height: int, mode: str, picture: Callable[..., Image.Image]
) -> None:
    data = with_orientation(picture(2, width, height).convert(mode), "JPEG", orientation, quality=95)
    found, expected = decoded(data, draft=True), shown(data)
    assert (found.width, found.height) == expected.size
    reduced = expected.convert("RGB").convert("L").resize(found.gray.shape[::-1], Image.Resampling.BOX)
    assert np.abs(found.gray - pixels(reduced)).mean() < 3
    assert found.rgb is None


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_nearly_square_draft_has_the_size_as_shown(mode: str, picture: Callable[..., Image.Image]) -> None:
    data = with_orientation(picture(2, 399, 400).convert(mode), "JPEG", 6)
    found = decoded(data, draft=True)
    assert (found.width, found.height) == (400, 399)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
@pytest.mark.parametrize("draft", [True, False])
def test_an_impossible_orientation_is_passed_over(orientation: int, draft: bool, photo: Image.Image) -> None:
    found = decoded(with_orientation(photo, "JPEG", orientation), draft=draft)
    assert (found.width, found.height) == photo.size


@pytest.mark.parametrize("draft", [True, False])
@pytest.mark.parametrize(
    "block", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"no exif at all"]
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")
def test_garbage_in_exif_costs_nothing(block: bytes, draft: bool, photo: Image.Image) -> None:
    plain = encoded(photo, "JPEG")
    data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + plain[2:]
    assert (decoded(data, draft=draft).gray == decoded(plain, draft=draft).gray).all()


@pytest.mark.parametrize("draft", [True, False])
def test_orientation_is_found_behind_fill_bytes(draft: bool, photo: Image.Image) -> None:
    plain = with_orientation(photo, "JPEG", 6)
    filled = plain[:2] + b"\xff\xff" + plain[2:]  # ITU-T T.81, B.1.1.2: any marker may follow any number of 0xFF
    assert shown(filled).size == (180, 240)
    found = decoded(filled, draft=draft)
    assert (found.width, found.height) == (180, 240)


def test_a_length_that_leads_to_the_last_byte_costs_nothing(photo: Image.Image) -> None:
    plain = encoded(photo, "JPEG")
    filled = plain[:2] + b"\xff" + plain[2:]
    next_segment = 4 + int.from_bytes(filled[4:6], "big")  # where one gets who takes the fill byte for a marker
    data = filled.ljust(next_segment, b"\0") + b"\xff"
    assert decoded(data, draft=True).format == "jpeg"


@pytest.mark.parametrize("draft", [True, False])
def test_orientation_in_xmp_alone_is_applied_as_pillow_does(draft: bool, photo: Image.Image) -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = encoded(photo, "JPEG", xmp=xmp)
    found = decoded(data, draft=draft)
    assert (found.width, found.height) == shown(data).size


def test_a_draft_keeps_88_pixels_a_side(picture: Callable[..., Image.Image]) -> None:
    expected = {(87, 500): 1, (175, 300): 1, (176, 300): 2, (352, 900): 4, (704, 704): 8, (3000, 1408): 8}
    for (width, height), scale in expected.items():
        found = decoded(encoded(picture(1, width, height), "JPEG"), draft=True)
        assert found.gray.shape == (-(-height // scale), -(-width // scale))
        assert (found.width, found.height) == (width, height)


# colours


@pytest.mark.parametrize("draft", [True, False])
@pytest.mark.parametrize(("alpha", "expected"), [(0, 255), (255, 0), (51, 204)])  # black at 0, 1 and 1/5 over white
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_shows_white(alpha: int, expected: int, mode: str, kind: str, draft: bool) -> None:
    black = Image.new("RGBA", (20, 10), (0, 0, 0, alpha)).convert(mode)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    found = decoded(encoded(black, kind, **options), draft=draft)
    assert np.abs(found.gray - expected).max() < 1.01


def test_soft_edges_are_mixed_with_white(picture: Callable[..., Image.Image]) -> None:
    layer = picture(5, 64, 48).convert("RGBA")
    ramp = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(48, axis=0)
    layer.putalpha(Image.fromarray(ramp))
    share = ramp[..., None] / 255
    expected = np.asarray(layer)[..., :3] * share + 255 * (1 - share)
    assert np.abs(pixels(decoded(encoded(layer, "PNG")).rgb) - expected).max() <= 1


@pytest.mark.parametrize("draft", [True, False])
def test_a_transparent_colour_of_palette_grey_or_rgb_shows_white(draft: bool) -> None:
    left_black = np.zeros((8, 16), dtype=np.uint8)
    left_black[:, 8:] = 100
    gray = Image.fromarray(left_black)
    for image, key in (
        (gray, 0),
        (gray.convert("RGB"), (0, 0, 0)),
        (gray.convert("P"), gray.convert("P").getpixel((0, 0))),
    ):
        found = decoded(encoded(image, "PNG", transparency=key), draft=draft)
        assert np.abs(found.gray[:, :8] - 255.0).max() < 0.01
        assert np.abs(found.gray[:, 8:] - 100.0).max() < 0.01


@pytest.mark.parametrize("draft", [True, False])
@pytest.mark.parametrize(("ink", "expected"), [((0, 0, 0, 0), 255), ((0, 0, 0, 255), 0), ((0, 255, 255, 0), 76)])
def test_adobe_cmyk_is_ink_on_white_paper(ink: tuple[int, ...], expected: int, draft: bool) -> None:
    found = decoded(encoded(Image.new("CMYK", (200, 200), ink), "JPEG", quality=100), draft=draft)
    assert np.abs(found.gray - float(expected)).max() <= 3


def test_sixteen_bits_are_scaled_to_eight() -> None:
    levels = np.arange(256, dtype=np.uint16)[None].repeat(4, axis=0)
    for kind in ("PNG", "TIFF"):
        assert (decoded(encoded(Image.fromarray(levels * 257), kind)).gray == levels).all()


def test_one_bit_is_black_and_white() -> None:
    half = Image.new("1", (16, 8))
    half.paste(1, (8, 0, 16, 8))
    for kind in ("PNG", "TIFF", "BMP"):
        gray = decoded(encoded(half, kind)).gray
        assert (gray[:, :8] == 0).all()
        assert (gray[:, 8:] == 255).all()


def test_floats_are_stretched_from_their_own_range() -> None:
    ramp = np.linspace(-2, 3, 256, dtype=np.float32)[None].repeat(4, axis=0)
    gray = decoded(encoded(Image.fromarray(ramp), "TIFF")).gray
    assert np.abs(gray.astype(float) - np.arange(256)).max() <= 1
    assert not decoded(encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF")).gray.any()


# formats


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "JPEG2000", "ICO"])
def test_a_full_decode_is_pillows(kind: str, photo: Image.Image) -> None:
    data = encoded(photo, kind)
    found = decoded(data)
    assert (pixels(found.rgb) == pixels(Image.open(io.BytesIO(data)).convert("RGB"))).all()
    assert found.format == kind.lower()
    assert not found.animated


@pytest.mark.parametrize("quality", [50, 90])
def test_a_progressive_jpeg_is_read_like_a_plain_one(quality: int, photo: Image.Image) -> None:
    plain, progressive = (encoded(photo, "JPEG", quality=quality, progressive=flag) for flag in (False, True))
    for draft in (True, False):
        assert (decoded(plain, draft=draft).gray == decoded(progressive, draft=draft).gray).all()


@pytest.mark.parametrize("draft", [True, False])
@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_of_an_animation_the_first_frame_counts(kind: str, options: dict[str, Any], draft: bool) -> None:
    red, blue = Image.new("RGB", (30, 20), "red"), Image.new("RGB", (30, 20), "blue")
    moving = decoded(encoded(red, kind, save_all=True, append_images=[blue, red], **options), draft=draft)
    still = decoded(encoded(blue, kind, **options), draft=draft)
    assert (moving.animated, still.animated) == (True, False)
    assert np.abs(moving.gray - float(RED_LUMINANCE)).max() < 1
    assert np.abs(still.gray - float(BLUE_LUMINANCE)).max() < 1


@pytest.mark.parametrize("draft", [True, False])
def test_an_mpo_is_a_jpeg_whose_first_picture_counts(draft: bool, photo: Image.Image) -> None:
    found = decoded(encoded(photo, "MPO", save_all=True, append_images=[photo.rotate(180)]), draft=draft)
    assert (found.format, found.animated) == ("jpeg", False)
    assert (found.gray == decoded(encoded(photo, "JPEG"), draft=draft).gray).all()


# faults


WHOLE: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("BMP", {}),
    ("TIFF", {}),
]


@pytest.mark.parametrize("draft", [True, False])
@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize(("kind", "options"), WHOLE)
def test_a_file_cut_in_its_pixel_data_is_never_accepted(
    kind: str,
    options: dict[str, Any],
    lenient: bool,
    draft: bool,
    photo: Image.Image,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)  # as the caller's program may have it
    data = encoded(photo, kind, **options)
    for cut in CUTS:
        assert fault(data[: int(len(data) * cut)], draft=draft).reason is Reason.TRUNCATED_IMAGE


def test_the_callers_choice_about_truncated_files_is_left_alone(
    photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    for lenient in (False, True):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
        decode(encoded(photo, "PNG"), LIMITS)
        decode(encoded(photo, "PNG")[:2000], LIMITS)
        assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "TIFF"])
def test_a_cut_file_of_any_format_is_known_as_an_image(kind: str, photo: Image.Image) -> None:
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
    data = encoded(photo, kind, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow on what is left of a TIFF's directory
        found = fault(data[: len(data) // 2])
    assert found.reason in (Reason.TRUNCATED_IMAGE, Reason.CORRUPT_IMAGE)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY_IMAGE),
        (b"\0" * 1000, Reason.NOT_AN_IMAGE),
        (b"<!DOCTYPE html>\n<html><body>404 Not\nFound</body></html>", Reason.NOT_AN_IMAGE),
        (b'{"error": "gone"}', Reason.NOT_AN_IMAGE),
        (np.random.default_rng(5).bytes(5000), Reason.NOT_AN_IMAGE),
    ],
    ids=["no bytes", "zeros", "html", "json", "noise"],
)
@pytest.mark.parametrize("draft", [True, False])
def test_what_is_no_image_has_a_reason_in_one_line(data: bytes, reason: Reason, draft: bool) -> None:
    found = fault(data, draft=draft)
    assert found.reason is reason
    assert found.detail.strip() == found.detail != ""
    assert "\n" not in found.detail


@pytest.mark.parametrize("signature", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0"])
@pytest.mark.parametrize("draft", [True, False])
def test_rubbish_behind_a_signature_is_a_broken_image(signature: bytes, draft: bool) -> None:
    found = fault(signature + b"rubbish " * 50, draft=draft)
    assert found.reason in (Reason.CORRUPT_IMAGE, Reason.TRUNCATED_IMAGE)
    assert "\n" not in found.detail


def test_a_postscript_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: Image.Image) -> None:
    from PIL import EpsImagePlugin

    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    data = encoded(photo.convert("RGB"), "EPS")
    for draft in (True, False):
        assert fault(data, draft=draft).reason is Reason.NOT_AN_IMAGE
    assert thumbnail(data) is None
    assert not (tmp_path / "ran").exists()


def test_damage_in_the_pixel_data_is_corruption(photo: Image.Image) -> None:
    data = bytearray(encoded(photo, "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert fault(bytes(data)).reason is Reason.CORRUPT_IMAGE


@pytest.mark.parametrize("pillow_limit", [None, Image.MAX_IMAGE_PIXELS])
def test_a_header_of_60000_by_60000_pixels_is_refused_before_it_is_decoded(
    pillow_limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillow_limit)
    found = fault(png_header(60_000, 60_000))
    assert found.reason is Reason.TOO_MANY_PIXELS
    assert "\n" not in found.detail


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("draft", [True, False])
def test_limits_on_pixels_and_bytes_are_the_largest_allowed(kind: str, draft: bool, photo: Image.Image) -> None:
    data = encoded(photo, kind)
    area = photo.width * photo.height
    assert isinstance(decode(data, Limits(max_pixels=area, max_bytes=len(data)), draft=draft), Decoded)
    few_pixels = fault(data, Limits(max_pixels=area - 1), draft=draft)
    assert few_pixels.reason is Reason.TOO_MANY_PIXELS
    assert "240 x 180" in few_pixels.detail
    few_bytes = fault(data, Limits(max_bytes=len(data) - 1), draft=draft)
    assert few_bytes.reason is Reason.TOO_MANY_BYTES
    assert str(len(data)) in few_bytes.detail


def slightly_damaged(data: bytes) -> dict[str, bytes]:
    scan = data.index(b"\xff\xda") + 200
    return {
        "junk after the end": data + b"junk" * 20,
        "zeros after the end": data + b"\0" * 3000,
        "no end marker": data[:-2],
        "half an end marker": data[:-1],
        "another image after the end": data + data,
        "junk before the first table": data[:2] + b"\xff\xff\xff" + data[2:],
        "a stray marker in the scan": data[:scan] + b"\xff\xd3" + data[scan:],
        "a flipped byte in the scan": data[:scan] + bytes([data[scan] ^ 0x5A]) + data[scan + 1 :],
        "bytes missing in the scan": data[:scan] + data[scan + 40 :],
        "zeroed scan": data[:scan] + b"\0" * 400 + data[scan + 400 :],
        "a wrong length of the first segment": data[:4] + b"\0\x0f" + data[6:],
    }


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("damage", slightly_damaged(b"\xff\xda" + b"\0" * 1000))
def test_a_draft_accepts_a_damaged_jpeg_exactly_where_pillow_does(damage: str, mode: str, photo: Image.Image) -> None:
    data = slightly_damaged(encoded(photo.convert(mode), "JPEG"))[damage]
    try:
        Image.open(io.BytesIO(data)).load()
        accepted = True
    except (OSError, SyntaxError):
        accepted = False
    for draft in (True, False):
        assert isinstance(decode(data, LIMITS, draft=draft), Decoded) == accepted


@settings(deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF", b"II*\0"])
)
def test_arbitrary_bytes_never_raise(tail: bytes, signature: bytes) -> None:
    for draft in (True, False):
        look_at_noise(signature + tail, draft=draft)


def look_at_noise(data: bytes, *, draft: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about damaged directories and headers
        found = decode(data, Limits(max_pixels=1 << 20), draft=draft)
    if isinstance(found, Fault):
        assert found.detail
        assert len(found.detail.splitlines()) == 1
    else:
        assert found.gray.ndim == 2
        assert found.gray.size > 0


def small_files() -> list[bytes]:
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 256, (24, 40, 3), dtype=np.uint8))
    first = [with_orientation(noise, kind, 6) for kind in ("JPEG", "PNG", "WEBP", "TIFF")]
    return [*first, encoded(noise, "GIF"), encoded(noise, "JPEG", progressive=True), encoded(noise, "BMP")]


@settings(deadline=None)
@given(st.sampled_from(small_files()), st.data())
def test_mutated_images_never_raise(data: bytes, choice: st.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(choice.draw(st.integers(1, 4))):
        at = choice.draw(st.integers(0, len(changed) - 1) | st.integers(0, min(60, len(changed) - 1)))
        changed[at : at + choice.draw(st.integers(0, 3))] = choice.draw(st.binary(max_size=3))
        if not changed:
            break
    look_at_noise(bytes(changed), draft=choice.draw(st.booleans()))


def test_the_recipes_limit_counts_and_pillows_own_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    buffer = io.BytesIO()
    Image.new("L", (40, 30)).save(buffer, "PNG")
    seen = decode(buffer.getvalue(), Limits(max_pixels=1200))
    assert isinstance(seen, Decoded)
    refused = decode(buffer.getvalue(), Limits(max_pixels=1199))
    assert isinstance(refused, Fault)
    assert refused.reason is Reason.TOO_MANY_PIXELS
    assert Image.MAX_IMAGE_PIXELS == 100
