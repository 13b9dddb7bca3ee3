"""Fitting against torchvision's transforms, distances against their definition."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dedupkit.audit.distances import distances
from dedupkit.audit.images import covering, fitted
from dedupkit.errors import RunError, UsageError
from dedupkit.recipe import Limits
from tests.conftest import draw_picture


def _encoded(image: Image.Image, kind: str = "png", **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


@pytest.mark.extras
@pytest.mark.parametrize("sides", [(96, 72), (72, 97), (64, 64), (20, 31), (131, 65)])
@pytest.mark.parametrize("size", [64, 15])
def test_images_are_fitted_as_training_scripts_do_it(sides: tuple[int, int], size: int) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    picture = draw_picture(1, *sides)
    steps = [transforms.Resize(size, transforms.InterpolationMode.BILINEAR), transforms.CenterCrop(size)]
    expected = np.asarray(transforms.Compose(steps)(picture))
    assert np.array_equal(fitted(_encoded(picture), (size, size)), expected)


def test_an_oblong_model_gets_oblong_images_that_are_not_stretched() -> None:
    picture = Image.new("RGB", (40, 40), "black")
    picture.paste("white", (0, 10, 40, 30))
    assert covering(picture, (20, 40)).min() == 255
    assert covering(picture, (40, 20)).shape == (40, 20, 3)


def test_images_are_upright_and_transparency_is_white() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = draw_picture(2, 64, 48)
    turned = fitted(_encoded(picture, exif=exif), (64, 48))
    assert np.array_equal(turned, np.rot90(np.asarray(picture), -1))
    assert fitted(_encoded(Image.new("RGBA", (9, 9))), (3, 3)).min() == 255


def test_what_is_no_image_or_too_large_is_refused() -> None:
    with pytest.raises(RunError, match="leave it out"):
        fitted(b"none", (8, 8))
    with pytest.raises(RunError, match="the limit is 100"):
        fitted(_encoded(draw_picture(1, 64, 48)), (8, 8), Limits(max_pixels=100))


@pytest.mark.parametrize(("size", "tiles"), [(8, 4), (10, 4), (7, 3), (5, 1)])
def test_distances_are_those_of_the_definition(size: int, tiles: int) -> None:
    rng = np.random.default_rng(3)
    images, others = (rng.integers(0, 256, (count, size, size + 1, 3)).astype(np.uint8) for count in (3, 4))
    others[1] = images[2]
    whole, farthest = distances(images, others, tiles)
    for one in range(3):
        for other in range(4):
            gap = images[one] / 255.0 - others[other] / 255.0
            parts = [part for rows in np.array_split(gap, tiles) for part in np.array_split(rows, tiles, axis=1)]
            assert whole[one, other] == pytest.approx(np.sqrt(np.mean(gap**2)), abs=1e-12)
            assert farthest[one, other] == pytest.approx(max(np.sqrt(np.mean(part**2)) for part in parts), abs=1e-12)
    assert whole[2, 1] == farthest[2, 1] == 0


def test_distances_of_other_sizes_are_refused() -> None:
    one, other = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 4, 4, 3), np.uint8)
    with pytest.raises(UsageError, match="of one size"):
        distances(one, other)
    with pytest.raises(UsageError, match=r"tiles must be in \[1, 4\]"):
        distances(other, other, 5)
