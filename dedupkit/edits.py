"""Edits that copies of a picture carry in the wild, by name: what is planted is made here, and nowhere else."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from dedupkit.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Change = Callable[[Image.Image, np.random.Generator], Image.Image]

_JPEG = {"format": "JPEG", "quality": 90}
_NOISE = 20.0  # levels, standard deviation
_SLANT = 0.12  # of the height, at each end of the edge that is farther away


@dataclass(frozen=True, slots=True)
class Edit:
    """One way to change a picture, and how the result is encoded.

    Attributes
    ----------
    name : str
        What it is called.
    words : str
        What it does, for people.
    change : callable
        From a picture in mode RGB and a generator to the edited picture.
    options : mapping
        What `PIL.Image.Image.save` is told.
    """

    name: str
    words: str
    change: Change
    options: Mapping[str, Any] = field(default_factory=lambda: _JPEG)

    @property
    def extension(self) -> str:
        """Ending of the edited file, without a dot."""
        kind = str(self.options["format"]).lower()
        return "jpg" if kind == "jpeg" else kind

    def apply(self, picture: Image.Image, rng: np.random.Generator) -> bytes:
        """Edit and encode.

        Parameters
        ----------
        picture : PIL.Image.Image
            In mode RGB.
        rng : numpy.random.Generator
            Places and directions come from it, where an edit has any.

        Examples
        --------
        >>> picture = Image.new("RGB", (64, 48), "red")
        >>> Image.open(io.BytesIO(EDITS["turned"].apply(picture, np.random.default_rng(0)))).size
        (48, 64)
        """
        buffer = io.BytesIO()
        self.change(picture, rng).save(buffer, **self.options)
        return buffer.getvalue()


def edits_named(names: Iterable[str] | None) -> tuple[Edit, ...]:
    """The edits of some names, each once; all of them for None.

    Raises
    ------
    UsageError
        A name that does not exist, or none at all.
    """
    if names is None:
        return tuple(EDITS.values())
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in EDITS]
    if unknown or not wanted:
        got = ", ".join(map(repr, unknown)) or "none"
        meant = did_you_mean(unknown[0], EDITS) if unknown else ""
        raise UsageError(f"edits must be of those there are, got {got}; {meant}name some of {', '.join(EDITS)}")
    return tuple(EDITS[name] for name in wanted)


def _same(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return image


def _half(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)))


def _thumbnail(image: Image.Image, _: np.random.Generator) -> Image.Image:
    small = image.copy()
    small.thumbnail((96, 96), Image.Resampling.LANCZOS)
    return small


def _centre(share: float) -> Change:
    """A crop that keeps `share` of each side, in the middle."""

    def crop(image: Image.Image, _: np.random.Generator) -> Image.Image:
        width, height = _scaled(image, share, share)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    return crop


def _half_area(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Half the area, at any place, somewhat wider or higher than the picture."""
    stretch = float(np.exp(rng.uniform(-0.25, 0.25)))
    width, height = _scaled(image, 0.5**0.5 * stretch, 0.5**0.5 / stretch)
    left, top = rng.integers(0, image.width - width + 1), rng.integers(0, image.height - height + 1)
    return image.crop((int(left), int(top), int(left) + width, int(top) + height))


def _scaled(image: Image.Image, of_width: float, of_height: float) -> tuple[int, int]:
    return max(1, round(image.width * of_width)), max(1, round(image.height * of_height))


def _mirrored(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(image)


def _flipped(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return ImageOps.flip(image)


def _turned(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_90)


def _turned_25(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return image.rotate(25, Image.Resampling.BICUBIC, expand=True)


def _squeezed(image: Image.Image, _: np.random.Generator) -> Image.Image:
    side = min(image.size)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def _grey(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return ImageOps.grayscale(image)


def _bright(factor: float) -> Change:
    return lambda image, _: ImageEnhance.Brightness(image).enhance(factor)


def _blurred(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(max(image.size) / 200))


def _noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    noise = rng.standard_normal((image.height, image.width, 3), np.float32) * np.float32(_NOISE)
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def _framed(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return ImageOps.expand(image, 24, "white")


def _captioned(image: Image.Image, _: np.random.Generator) -> Image.Image:
    """A black bar with a line of text below the picture's upper 85 %, as on memes."""
    edited, top = image.copy(), round(image.height * 0.85)
    drawing = ImageDraw.Draw(edited)
    drawing.rectangle((0, top, image.width, image.height), fill="black")
    size = max(8, (image.height - top) // 2)
    drawing.text((image.width // 20, top + size // 3), "when you see it again", "white", _font(size))
    return edited


def _screenshot(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture as one part of a page: a bar above, lines of text beside or below it."""
    width, height = image.size
    page = Image.new("RGB", (round(width * 1.35), round(height * 1.35)), "#f2f2f5")
    drawing, line = ImageDraw.Draw(page), max(8, height // 24)
    drawing.rectangle((0, 0, page.width, page.height // 12), fill="#33506e")
    drawing.text((line, line // 2), "pictures.example/today", "white", _font(line))
    place = int(rng.integers(0, page.width - width + 1)), page.height // 12
    for row, words in enumerate(("Seen by 1,204 people", "Reply   Share   Save", "More pictures like this one")):
        drawing.text((line, height + page.height // 10 + 2 * line * row), words, "#222222", _font(line))
    page.paste(image, place)
    return page


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _slanted(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """As photographed from one side: two corners of one edge come nearer to each other."""
    (width, height), margin = image.size, image.height * _SLANT
    left, right = (margin, 0.0) if rng.integers(2) else (0.0, margin)
    source = [(0.0, 0.0), (0.0, height), (width, height), (width, 0.0)]
    target = [(0.0, left), (0.0, height - left), (width, height - right), (width, right)]
    fetch = _perspective(target, source)
    return image.transform(image.size, Image.Transform.PERSPECTIVE, fetch, Image.Resampling.BICUBIC)


def _perspective(target: list[tuple[float, float]], source: list[tuple[float, float]]) -> list[float]:
    """Pillow's eight coefficients that fetch `source` corners to `target` places."""
    rows, values = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(value) for value in np.linalg.solve(np.array(rows), np.array(values))]


EDITS: Mapping[str, Edit] = {
    edit.name: edit
    for edit in (
        Edit("reencoded", "saved again as WebP", _same, {"format": "WEBP", "quality": 80}),
        Edit("jpeg60", "JPEG of quality 60", _same, {"format": "JPEG", "quality": 60}),
        Edit("jpeg10", "JPEG of quality 10", _same, {"format": "JPEG", "quality": 10}),
        Edit("half", "half as wide and high", _half, {"format": "WEBP"}),
        Edit("thumbnail", "at most 96 pixels a side", _thumbnail),
        Edit("crop875", "the middle, 0.875 of each side", _centre(0.875)),
        Edit("crop70", "the middle, 0.7 of each side", _centre(0.7)),
        Edit("half_area", "half the area, anywhere", _half_area),
        Edit("mirrored", "left and right swapped", _mirrored),
        Edit("flipped", "top and bottom swapped", _flipped),
        Edit("turned", "a quarter turn", _turned, {"format": "PNG"}),
        Edit("turned25", "turned by 25 degrees, black corners", _turned_25),
        Edit("squeezed", "squeezed to a square", _squeezed),
        Edit("slanted", "seen from one side", _slanted),
        Edit("brighter", "1.2 times as bright", _bright(1.2), {"format": "JPEG", "quality": 85}),
        Edit("darker", "0.6 times as bright", _bright(0.6)),
        Edit("grey", "without colour", _grey, {"format": "JPEG", "quality": 85}),
        Edit("blurred", "blurred", _blurred),
        Edit("noisy", "with noise of 20 levels", _noisy),
        Edit("captioned", "a black bar with text", _captioned),
        Edit("framed", "a white border", _framed),
        Edit("screenshot", "part of a page", _screenshot),
    )
}
"""All edits by name, mildest kinds first."""
