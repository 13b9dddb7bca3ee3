"""What the tests of matching share: a search that compares all pairs, and fingerprints of drawn pictures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from dedupkit.fingerprints.stage import fingerprint_batch
from dedupkit.recipe import Recipe
from dedupkit.sample import FINGERPRINTS, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from dedupkit.matching.turns import HashLayout


def turned_grids(codes: NDArray[np.uint8], layout: HashLayout) -> NDArray[np.bool_]:
    """Signs of the DCT coefficients of the eight turns of each image, shape (8, n, bits).

    Mirroring left-right turns round the sign of every odd horizontal frequency, top-bottom of every odd vertical one;
    transposing transposes.  Written down from the definition of the DCT-II, without the code under test.
    """
    bits = np.unpackbits(codes, axis=1).astype(bool)
    grid = (bits[:, ::-1] if layout.bits == 256 else bits).reshape(len(codes), layout.side, layout.side)
    odd = (np.arange(layout.side) + (1 if layout.bits == 256 else 0)) % 2 == 1  # PDQ leaves frequency 0 out
    turned = []
    for turn in range(8):
        seen = grid.transpose(0, 2, 1) if turn & 4 else grid
        seen = seen ^ odd[None, None, :] if turn & 1 else seen
        seen = seen ^ odd[None, :, None] if turn & 2 else seen
        turned.append(seen.reshape(len(codes), -1))
    return np.stack(turned)


def all_distances(codes: NDArray[np.uint8], layout: HashLayout) -> NDArray[np.int64]:
    """Hamming distance of every row and every turn of every other, shape (8, n, n)."""
    grids = turned_grids(codes, layout)
    as_is, turned = grids[0].astype(np.float32), grids.astype(np.float32)
    both = np.einsum("ik,tjk->tij", as_is, turned, optimize=True)
    ones = grids[0].sum(axis=1)
    return np.asarray(np.rint(ones[None, :, None] + grids.sum(axis=2)[:, None, :] - 2 * both), dtype=np.int64)


def brute_pairs(
    codes: NDArray[np.uint8], layout: HashLayout, radius: int, *, turned: bool = True
) -> list[tuple[int, int, int, int]]:
    """(a, b, distance, turn) of every pair within the radius, by comparing all pairs."""
    if len(codes) < 2:
        return []
    distances = all_distances(codes, layout)[: 8 if turned else 1]
    nearest, turn = distances.min(axis=0), distances.argmin(axis=0)
    a, b = np.nonzero(np.triu(nearest <= radius, k=1))
    return list(zip(a.tolist(), b.tolist(), nearest[a, b].tolist(), turn[a, b].tolist(), strict=True))


@pytest.fixture
def by_comparing_all() -> Callable[..., list[tuple[int, int, int, int]]]:
    """The search that compares all pairs."""
    return brute_pairs


@pytest.fixture
def distances_of_all() -> Callable[..., NDArray[Any]]:
    """The distances of all rows under all turns."""
    return all_distances


def encoded(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def fingerprints_of(images: Sequence[Image.Image | bytes]) -> pa.Table:
    """Fingerprints of a shard of images, keyed by their numbers."""
    files = [image if isinstance(image, bytes) else encoded(image) for image in images]
    samples = [Sample(str(number), data) for number, data in enumerate(files)]
    rows = [
        (number, str(number), "s", *row) for number, row in enumerate(fingerprint_batch(samples, Recipe(preset="fast")))
    ]
    return pa.table([[row[place] for row in rows] for place in range(len(FINGERPRINTS))], schema=FINGERPRINTS)


@pytest.fixture
def fingerprint() -> Callable[..., pa.Table]:
    """The function that fingerprints images."""
    return fingerprints_of
