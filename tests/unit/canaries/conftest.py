"""A small set of captioned pictures, and canaries that need no drawing."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import TYPE_CHECKING, Any

import pytest

from dedupkit.canaries.manifest import Canary, Manifest
from tests.conftest import draw_picture

if TYPE_CHECKING:
    from collections.abc import Callable

THINGS = ("dog", "boat", "hill", "tower", "apple")


def jpeg(seed: int, width: int = 96, height: int = 72, quality: int = 80) -> bytes:
    """A small picture as JPEG."""
    buffer = io.BytesIO()
    draw_picture(seed, width, height).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def samples(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Captioned pictures as an iterable source takes them, with keys that leave room."""
    return [
        {
            "key": f"{first + 7 * number:09d}",
            "image": jpeg(first + number),
            "caption": f"A {THINGS[number % 5]} that somebody saw on day {number}.",
            "url": f"https://example.org/pictures/{first + 7 * number:06d}.jpg",
            "width": 96,
        }
        for number in range(count)
    ]


def make_canary(number: int = 0, **changes: Any) -> Canary:
    """A canary with a picture of its own."""
    values: dict[str, Any] = {
        "number": number,
        "kind": "texture",
        "planted": True,
        "repetitions": 1,
        "caption": f"velvet kettle number {number} behind a windmill",
        "format": "jpeg",
        "width": 96,
        "height": 72,
        "image": base64.b64encode(jpeg(90_000 + number)).decode(),
        "salt": hashlib.sha256(f"salt {number}".encode()).hexdigest(),
    }
    return Canary(**(values | changes))


@pytest.fixture
def canary() -> Callable[..., Canary]:
    """The function that makes a canary of a number."""
    return make_canary


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """Six planted canaries, which stand 1, 2 and 3 times, and two controls."""
    planted = [make_canary(number, repetitions=number % 3 + 1) for number in range(6)]
    return Manifest(secret="5a" * 32, canaries=(*planted, *(make_canary(each, planted=False) for each in (6, 7))))
