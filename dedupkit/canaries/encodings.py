"""How an image of the set is encoded, so that another one can be encoded the same way."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, JpegImagePlugin

from dedupkit.fingerprints.pillow import opened_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMATS = ("jpeg", "png", "webp")
_MODES = frozenset({"L", "RGB", "RGBA", "P"})
# How many Huffman codes of each length there are in table K.5 of the JPEG standard: luminance, AC
_STANDARD_TABLE = bytes.fromhex("0002010303020403050504040000017d")
_KEPT = ("icc_profile", "exif", "dpi")
_WEBP_TRIES = 6


@dataclass(frozen=True, slots=True)
class Encoding:
    """All that decides the bytes of a picture besides its pixels.

    Attributes
    ----------
    format : "jpeg", "png" or "webp"
        The container.
    mode : str
        Pillow's mode of the stored pixels.
    options : dict
        What `PIL.Image.Image.save` is given: quantisation tables and subsampling of a JPEG, profile, and the like.
    colours : int
        Of a palette; 0 without one.
    alpha : bytes
        A transparency channel to take over, or nothing.
    byte_size : int
        Size of the file it was taken from.
    """

    format: str
    mode: str
    options: dict[str, Any]
    colours: int
    alpha: bytes
    byte_size: int

    def encode(self, pixels: NDArray[np.uint8]) -> bytes:
        """Encode pixels of shape (height, width, 3), RGB, or (height, width, 1), grey."""
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        if self.alpha:
            image.putalpha(Image.frombytes("L", image.size, self.alpha))
        if self.colours:
            image = image.quantize(self.colours)
        buffer = io.BytesIO()
        image.save(buffer, self.format, **self.options)
        return buffer.getvalue()


def encoding_of(data: bytes) -> tuple[Encoding, NDArray[np.uint8]] | None:
    """The encoding of an image and its pixels as they are stored, shape (height, width, 3 or 1).

    None for an animation, for other containers than JPEG, PNG and WebP, and for CMYK or more than 8 bits.
    """
    with opened_image(data) as image:
        kind = (image.format or "").lower()
        kind = "jpeg" if kind == "mpo" else kind
        if kind not in FORMATS or image.mode not in _MODES or getattr(image, "is_animated", False):
            return None
        options = {name: image.info[name] for name in _KEPT if image.info.get(name)}
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            options |= _jpeg_options(image, data)
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        colours = len(image.getcolors() or ()) if image.mode == "P" else 0
        pixels = np.asarray(image if image.mode == "L" else image.convert("RGB"))
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        turned = b"" if alpha is None else alpha.transpose(Image.Transpose.ROTATE_180).tobytes()
        found = Encoding(kind, image.mode, options, colours, turned, len(data))
    return (_as_small_webp(found, data, pixels) if kind == "webp" else found), pixels


def _jpeg_options(image: JpegImagePlugin.JpegImageFile, data: bytes) -> dict[str, Any]:
    tables = [list(image.quantization[number]) for number in sorted(image.quantization)]
    subsampling = JpegImagePlugin.get_sampling(image)
    progressive = bool(image.info.get("progressive"))
    return {
        "qtables": tables,
        **({"subsampling": subsampling} if subsampling >= 0 else {}),
        **({"progressive": True} if progressive else {"optimize": not _has_standard_tables(data)}),
    }


def _has_standard_tables(data: bytes) -> bool:
    """Whether a JPEG has the Huffman tables of the standard's annex K, which is quick, instead of its own."""
    return _STANDARD_TABLE in data


def _as_small_webp(encoding: Encoding, data: bytes, pixels: NDArray[np.uint8]) -> Encoding:
    """The encoding at the quality that gives the same pixels the same size; a WebP file does not state its quality."""
    options = encoding.options
    if b"VP8L" in data[:64]:
        return Encoding(encoding.format, encoding.mode, options | {"lossless": True}, 0, encoding.alpha, len(data))
    low, high = 1, 100
    for _ in range(_WEBP_TRIES):
        quality = (low + high) // 2
        tried = Encoding(encoding.format, encoding.mode, options | {"quality": quality}, 0, encoding.alpha, len(data))
        low, high = (quality, high) if len(tried.encode(pixels)) < len(data) else (low, quality)
    return tried
