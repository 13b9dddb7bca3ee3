"""LAION-style shards with known copies and faults."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageOps

from tests.conftest import draw_picture

if TYPE_CHECKING:
    from pathlib import Path


def encoded(image: Image.Image, format: str = "JPEG", quality: int = 90) -> bytes:
    """The image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format, **({} if format == "PNG" else {"quality": quality}))
    return buffer.getvalue()


@dataclass
class Planted:
    """What stands in the shards."""

    folder: Path
    samples: int = 0
    copies: dict[str, str] = field(default_factory=dict)
    """Key of each copy, and of the picture it was made from."""
    faults: dict[str, str] = field(default_factory=dict)
    """Key and expected reason of each sample without a usable image."""


def write_shards(folder: Path, shards: int = 4, pictures: int = 12) -> Planted:
    """Tars as img2dataset writes them: `pictures` pictures each, with copies in other shards and broken files."""
    folder.mkdir(parents=True)
    planted = Planted(folder)
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for number in range(pictures):
                picture = draw_picture(shard * pictures + number)
                _add(tar, planted, f"{shard:03d}{number:04d}", encoded(picture), f"picture {number} of shard {shard}")
            other = ((shard + 1) % shards) * pictures
            for number, (image, format) in enumerate(
                [
                    (draw_picture(other), "PNG"),
                    (ImageOps.mirror(draw_picture(other + 1)), "JPEG"),
                    (draw_picture(other + 2).resize((160, 120)), "WEBP"),
                    (ImageOps.expand(draw_picture(other + 3), 30, "white"), "JPEG"),
                ]
            ):
                key = f"{shard:03d}9{number:03d}"
                _add(tar, planted, key, encoded(image, format), "a copy", format.lower())
                planted.copies[key] = f"{(shard + 1) % shards:03d}{number:04d}"
            whole = encoded(draw_picture(1000 + shard))
            for number, (data, reason) in enumerate(
                [
                    (whole[: len(whole) // 3], "truncated_image"),
                    (b"<html>404</html>", "not_an_image"),
                    (b"", "empty_image"),
                ]
            ):
                _add(tar, planted, f"{shard:03d}8{number:03d}", data, "broken")
                planted.faults[f"{shard:03d}8{number:03d}"] = reason
    return planted


def _add(tar: tarfile.TarFile, planted: Planted, key: str, image: bytes, caption: str, kind: str = "jpg") -> None:
    meta = json.dumps({"url": f"https://example.org/{key}", "similarity": 0.3}).encode()
    for ending, data in ((kind, image), ("txt", caption.encode()), ("json", meta)):
        member = tarfile.TarInfo(f"{key}.{ending}")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    planted.samples += 1


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Four shards of 19 samples; tests read them and change nothing."""
    return write_shards(tmp_path_factory.mktemp("laion") / "shards")
