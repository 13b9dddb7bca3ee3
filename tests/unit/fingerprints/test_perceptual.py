"""Perceptual hashes against Meta's and imagededup's own."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
import pdqhash
import pytest
from PIL import Image
from scipy import fftpack

from dedupkit.demo import example_images
from dedupkit.fingerprints.decode import Decoded, decode
from dedupkit.fingerprints.perceptual import hash_all, hash_grids, perceptual_hashes, phash_of_image
from dedupkit.recipe import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZES = [
    (5, 5), (7, 9), (20, 30), (63, 65), (64, 64), (65, 64), (100, 40), (127, 129), (333, 77), (512, 512), (513, 700),
    (1200, 900), (1000, 30), (20, 900), (1601, 7),
]  # fmt: skip

# Photos of examples/data through `from imagededup.methods import PHash; PHash().encode_image(path)`,
# imagededup 0.3.3.post2 with Pillow 13.0.0.
IMAGEDEDUP = {
    "photo-astronaut.jpg": "c2924c5d32bddfc8",
    "photo-cell.jpg": "b46b4bb4b44b4bb4",
    "photo-horse.jpg": "ad7ad2863635b534",
    "photo-coffee.jpg": "bb8320376c0f3677",
    "photo-clock-motion.jpg": "d99366dc993364cc",
    "photo-retina.jpg": "c0cd1f977ac02d4f",
    "photo-page.jpg": "81efa4a967d892da",
}


def decoded(data: bytes, *, draft: bool) -> Decoded:
    found = decode(data, Limits(), draft=draft)
    assert isinstance(found, Decoded)
    return found


def encoded(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def rgb_of(image: Decoded) -> Image.Image:
    assert image.rgb is not None
    return image.rgb


def meta_pdq(rgb: Image.Image) -> tuple[bytes, int]:
    """Bits and quality by Meta's own code, which takes any size as it is."""
    bits, quality = pdqhash.compute(np.asarray(rgb))
    return np.packbits(bits).tobytes(), int(quality)


def imagededup_phash(image: Image.Image) -> int:
    """imagededup's PHash, said again: Pillow's Lanczos, scipy's DCT, the median without the first coefficient."""
    small = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.LANCZOS).convert("L"))
    coefficients = fftpack.dct(fftpack.dct(small.astype(float), axis=0), axis=1)[:8, :8].ravel()
    bits = coefficients >= np.median(coefficients[1:])
    return int("".join("1" if bit else "0" for bit in bits), 2)


def different_bits(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def demo_photos() -> list[Path]:
    return sorted(example_images().glob("photo-*.jpg"))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_pdq_of_a_drawn_picture_is_metas_bit_for_bit(
    width: int, height: int, picture: Callable[..., Image.Image]
) -> None:
    for seed in range(2):
        image = picture(seed, width, height)
        full = decoded(encoded(image), draft=False)
        hashes = perceptual_hashes(full.gray, full.height, full.width)
        assert (hashes.pdq, hashes.pdq_quality) == meta_pdq(image)


@pytest.mark.parametrize("path", sorted(example_images().glob("*.*g")), ids=lambda path: path.stem)
def test_pdq_and_phash_of_a_demo_image_are_metas_and_imagededups(path: Path) -> None:
    full = decoded(path.read_bytes(), draft=False)
    hashes = perceptual_hashes(full.gray, full.height, full.width)
    assert (hashes.pdq, hashes.pdq_quality) == meta_pdq(rgb_of(full))
    assert phash_of_image(rgb_of(full)) == imagededup_phash(rgb_of(full))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (4, 4), (3, 500), (500, 4)])
def test_pictures_that_meta_refuses_to_hash_have_quality_0(
    width: int, height: int, picture: Callable[..., Image.Image]
) -> None:
    full = decoded(encoded(picture(1, width, height)), draft=False)
    assert meta_pdq(rgb_of(full))[1] == 0  # the reference code hashes no side below 5 pixels
    assert perceptual_hashes(full.gray, full.height, full.width).pdq_quality == 0


@pytest.mark.parametrize("name", IMAGEDEDUP)
def test_phash_is_the_one_that_imagededup_gave(name: str) -> None:
    full = decoded((example_images() / name).read_bytes(), draft=False)
    assert f"{phash_of_image(rgb_of(full)):016x}" == IMAGEDEDUP[name]


@pytest.mark.parametrize(("width", "height"), [*SIZES, (2, 3)])
def test_phash_of_a_drawn_picture_is_imagededups(width: int, height: int, picture: Callable[..., Image.Image]) -> None:
    image = picture(3, width, height)
    assert phash_of_image(image) == imagededup_phash(image)
    assert phash_of_image(image.convert("L")) == imagededup_phash(image.convert("L"))


@pytest.mark.parametrize("quality", [80, 95])
def test_a_draft_moves_few_bits(quality: int) -> None:
    moved = []
    for path in demo_photos():
        data = encoded(Image.open(path).convert("RGB"), "JPEG", quality=quality)
        full, draft = decoded(data, draft=False), decoded(data, draft=True)
        assert draft.gray.shape <= full.gray.shape
        hashes = perceptual_hashes(draft.gray, draft.height, draft.width)
        moved.append(different_bits(hashes.pdq, meta_pdq(rgb_of(full))[0]))
        assert (hashes.phash ^ imagededup_phash(rgb_of(full))).bit_count() <= 8
    assert max(moved) <= 40
    assert np.mean(np.array(moved) <= 10) >= 0.9


def test_a_draft_of_a_large_photo_moves_few_bits_too() -> None:
    for path in demo_photos():
        photo = Image.open(path).convert("RGB")
        data = encoded(photo.resize((photo.width * 2, photo.height * 2), Image.Resampling.BICUBIC), "JPEG", quality=85)
        full, draft = decoded(data, draft=False), decoded(data, draft=True)
        assert min(draft.gray.shape) <= min(full.gray.shape) / 2
        hashes = perceptual_hashes(draft.gray, draft.height, draft.width)
        assert different_bits(hashes.pdq, meta_pdq(rgb_of(full))[0]) <= 40
        assert (hashes.phash ^ imagededup_phash(rgb_of(full))).bit_count() <= 8


@pytest.mark.parametrize("levels", [1, 2, 4, 8])
def test_entropy_of_equal_bands_is_the_logarithm_of_their_number(levels: int) -> None:
    values = np.arange(levels) * 32 + 4  # the middle of one of 32 levels of 8 values
    gray = np.repeat(values, 64 // levels).astype(np.uint8)[:, None].repeat(64, axis=1)
    assert perceptual_hashes(gray, 64, 64).luminance_entropy == pytest.approx(math.log2(levels), abs=1e-6)


def test_quality_of_a_flat_image_is_0_and_of_a_checked_one_100() -> None:
    flat = np.full((64, 64), 77, dtype=np.uint8)
    checked = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert perceptual_hashes(flat, 64, 64).pdq_quality == 0
    assert perceptual_hashes(checked, 64, 64).pdq_quality == 100


def test_a_batch_equals_single_images(picture: Callable[..., Image.Image]) -> None:
    grays = [np.asarray(picture(seed, 90 + seed, 70).convert("L")) for seed in range(40)]
    together = hash_all([hash_grids(gray, *gray.shape) for gray in grays])
    assert together == [perceptual_hashes(gray, *gray.shape) for gray in grays]
    assert hash_all([]) == []
