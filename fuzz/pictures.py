"""Whole pictures to begin with: the demo's, small, in every encoding and in the odd forms that each has."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

ROOT = Path(__file__).resolve().parent.parent
_PICTURES = ROOT / "examples" / "data"
_SIDE = 160
WITNESSES = 20
"""So many pictures are never mutated, and no mutant is made of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """One way to encode a picture.

    Attributes
    ----------
    kind : str
        Whose steps mutate it, in `fuzz.mutators.STEPS`.
    ending : str
        Of a file of it.
    format, mode : str
        Pillow's names.
    options : mapping
        What its encoder is told.
    frames : int
        How many pictures the file shows.
    """

    kind: str
    ending: str
    format: str
    mode: str
    options: Mapping[str, Any]
    frames: int = 1


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "camera"
    return exif


def _forms() -> tuple[Form, ...]:
    exif = _exif()
    return (
        Form("jpeg", "jpg", "JPEG", "RGB", {"quality": 85}),
        Form("jpeg", "jpg", "JPEG", "RGB", {"quality": 70, "progressive": True, "exif": exif}),
        Form("jpeg", "jpg", "JPEG", "L", {"quality": 80, "optimize": True}),
        Form("jpeg", "jpeg", "JPEG", "CMYK", {"quality": 80}),
        Form("jpeg", "jpg", "JPEG", "RGB", {"quality": 80, "subsampling": 0, "restart_marker_blocks": 4}),
        Form("png", "png", "PNG", "RGB", {}),
        Form("png", "png", "PNG", "RGBA", {"exif": exif}),
        Form("png", "png", "PNG", "P", {}),
        Form("png", "png", "PNG", "I;16", {}),
        Form("png", "png", "PNG", "1", {}),
        Form("png", "apng", "PNG", "RGB", {}, frames=3),
        Form("webp", "webp", "WEBP", "RGB", {"quality": 80}),
        Form("webp", "webp", "WEBP", "RGBA", {"quality": 80, "exif": exif}),
        Form("webp", "webp", "WEBP", "RGB", {"lossless": True}),
        Form("webp", "webp", "WEBP", "RGB", {"quality": 60}, frames=3),
        Form("gif", "gif", "GIF", "P", {}),
        Form("gif", "gif", "GIF", "P", {"interlace": 0}),
        Form("gif", "gif", "GIF", "P", {}, frames=3),
        Form("tiff", "tif", "TIFF", "RGB", {}),
        Form("tiff", "tif", "TIFF", "RGB", {"compression": "tiff_lzw"}),
        Form("tiff", "tiff", "TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
        Form("tiff", "tif", "TIFF", "RGB", {"compression": "jpeg"}),
        Form("tiff", "tif", "TIFF", "1", {"compression": "group4"}),
        Form("tiff", "tif", "TIFF", "CMYK", {"compression": "packbits"}),
        Form("tiff", "tif", "TIFF", "RGB", {"compression": "tiff_lzw"}, frames=3),
        Form("bytes", "bmp", "BMP", "RGB", {}),
        Form("bytes", "ico", "ICO", "RGBA", {}),
        Form("bytes", "jp2", "JPEG2000", "RGB", {}),
        Form("bytes", "ppm", "PPM", "RGB", {}),
        Form("bytes", "tga", "TGA", "RGB", {"compression": "tga_rle"}),
        Form("bytes", "avif", "AVIF", "RGB", {"quality": 60, "speed": 10}),
        Form("bytes", "qoi", "QOI", "RGB", {}),
    )


@lru_cache(maxsize=1)
def forms() -> tuple[Form, ...]:
    """The ways to encode that this Pillow has."""
    Image.init()
    return tuple(form for form in _forms() if form.format in Image.SAVE and _works(form))


def _works(form: Form) -> bool:
    try:
        encoded(form, (0,) * form.frames)
    except (OSError, KeyError, ValueError):
        return False
    return True


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Files of the pictures, those of the witnesses first."""
    found = sorted(path.name for path in _PICTURES.iterdir() if path.suffix in (".jpg", ".png"))
    step = len(found) // WITNESSES
    witnesses = found[: step * WITNESSES : step]
    return (*witnesses, *(name for name in found if name not in witnesses))


@lru_cache(maxsize=128)
def picture(number: int) -> Image.Image:
    """A picture by its number in `names`, small, on white."""
    opened = Image.open(_PICTURES / names()[number]).convert("RGBA")
    opened.thumbnail((_SIDE, _SIDE))
    return Image.alpha_composite(Image.new("RGBA", opened.size, "white"), opened).convert("RGB")


@lru_cache(maxsize=1024)
def encoded(form: Form, numbers: tuple[int, ...]) -> bytes:
    """Pictures in a form, one a frame."""
    shown = [_in_mode(picture(number), form.mode) for number in numbers]
    more = [each.resize(shown[0].size) for each in shown[1:]]
    target = io.BytesIO()
    shown[0].save(target, form.format, **form.options, **({"save_all": True, "append_images": more} if more else {}))
    return target.getvalue()


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        return image.convert("L").convert("I").point(lambda level: level * 257).convert("I;16")
    return image.convert(mode)


def witness(number: int) -> bytes:
    """A picture that nobody touches, as JPEG."""
    return encoded(forms()[0], (number % WITNESSES,))


def any_picture(rng: Random, form: Form | None = None) -> tuple[Form, bytes]:
    """A picture that may be touched, in a form, or in any."""
    chosen = form or rng.choice(forms())
    return chosen, encoded(chosen, tuple(rng.randrange(WITNESSES, len(names())) for _ in range(chosen.frames)))
