"""What Pillow may make of strangers' bytes: pictures, and nothing else that it could."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import pytest
from PIL import EpsImagePlugin, Image

from dedupkit.fingerprints.decode import Decoded, decode
from dedupkit.fingerprints.pillow import FORMATS, inner_sizes
from dedupkit.recipe import Limits
from dedupkit.sample import Fault, Reason
from tests.conftest import draw_picture
from tests.hostile_pictures import icon_bomb, postscript

if TYPE_CHECKING:
    from pathlib import Path


def saved(kind: str) -> bytes:
    buffer = io.BytesIO()
    draw_picture(1, 64, 64).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_kind_of_picture_is_opened(kind: str) -> None:
    if kind not in Image.SAVE:
        Image.init()
    if kind not in Image.SAVE:
        pytest.skip("this Pillow does not write it")
    assert isinstance(decode(saved(kind), Limits()), Decoded)


@pytest.mark.parametrize("kind", ["EPS", "PCX", "SGI", "SPIDER", "ICNS", "DDS", "MSP"])
def test_only_pictures_are_opened(kind: str) -> None:
    buffer = io.BytesIO()
    picture = draw_picture(1, 64, 64)
    modes = {"MSP": "1", "SPIDER": "F"}
    picture.convert(modes.get(kind, "RGB")).save(buffer, kind)
    found = decode(buffer.getvalue(), Limits())
    assert isinstance(found, Fault)
    assert found.reason is Reason.NOT_AN_IMAGE


def test_postscript_never_reaches_ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, mark = tmp_path / "gs", tmp_path / "ran"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(program))
    with pytest.raises(Exception), Image.open(io.BytesIO(postscript())) as image:  # noqa: B017, PT011 - the trap is set
        image.load()
    assert mark.exists()
    mark.unlink()
    assert isinstance(decode(postscript(), Limits()), Fault)
    assert not mark.exists()


def test_what_an_icon_holds_is_measured_before_it_is_decoded() -> None:
    assert list(inner_sizes(icon_bomb())) == [(14_000, 14_000)]
    bitmap = struct.pack("<Iii", 40, 50_000, 100_000) + bytes(28)
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(bitmap), 22)
    assert list(inner_sizes(struct.pack("<HHH", 0, 1, 1) + entry + bitmap)) == [(50_000, 100_000)]
    assert list(inner_sizes(saved("PNG"))) == []
    assert list(inner_sizes(b"\0\0\1\0\xff\xff")) == []
