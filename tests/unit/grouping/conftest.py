"""Fingerprints of drawn pictures, for the tests of grouping."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from dedupkit.fingerprints.stage import fingerprint_batch
from dedupkit.recipe import Recipe
from dedupkit.sample import FINGERPRINTS, Sample, position

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image


def encoded(image: Image.Image) -> bytes:
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def shard_of(images: Sequence[Image.Image | bytes], number: int = 0, keys: Sequence[str] | None = None) -> pa.Table:
    """Fingerprints of the images of one shard; keys are ``number/row`` unless they are given."""
    names = keys or [f"{number}/{row}" for row in range(len(images))]
    files = [image if isinstance(image, bytes) else encoded(image) for image in images]
    samples = [Sample(name, data, caption="a picture") for name, data in zip(names, files, strict=True)]
    hashed = fingerprint_batch(samples, Recipe(preset="fast"))
    rows = [(position(number, row), names[row], f"shard-{number}", *rest) for row, rest in enumerate(hashed)]
    return pa.table([[row[place] for row in rows] for place in range(len(FINGERPRINTS))], schema=FINGERPRINTS)


@pytest.fixture
def shard() -> Callable[..., pa.Table]:
    """The function that fingerprints the images of a shard."""
    return shard_of
