"""Pictures that tests draw for themselves."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dedupkit.guard import supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def draw_picture(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A colourful picture with structure at every scale, unlike that of any other seed."""
    return _drawn(seed, width, height).copy()


@lru_cache(maxsize=400)  # of some 200 kB; the same small seeds are asked for by every second test
def _drawn(seed: int, width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    layers = np.zeros((height, width, 3))
    for cells in (3, 6, 12, 24, 48):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        layers += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), dtype=float) / cells**0.5
    stretched = (layers - layers.min()) * (255 / (layers.max() - layers.min()))
    return Image.fromarray(stretched.astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.5))


@pytest.fixture
def picture() -> Callable[..., Image.Image]:
    """The function that draws a picture from a seed."""
    return draw_picture


@pytest.fixture(scope="session", autouse=True)
def _in_this_process() -> Iterator[None]:
    """Let runs from Python stay in this process, as those of the command do: a worker takes a second to start.

    `tests/integration/test_guard.py` has them in a worker, as users do.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "_supervised", True)
        yield


@pytest.fixture(scope="session", autouse=True)
def _unflushed() -> Iterator[None]:
    """Leave it to the system when what is written reaches the device: a run waits for that some thirty times.

    Only a loss of power shows the difference, and no test can do that; those of what has to be flushed look for the
    calls.  Commands in an interpreter of their own, and worker processes, flush as they do for users.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield
