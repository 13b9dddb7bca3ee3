"""One decode an image: encoded bytes in; greyscale pixels and the facts of the header out, or a fault.

What every later stage sees of an image is fixed here: EXIF orientation is applied, transparency is composited on
white, of an animation the first frame counts, CMYK and palettes become RGB, 16-bit samples are scaled to 8.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
from PIL import Image, ImageFile, UnidentifiedImageError

from dedupkit.sample import Fault, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from dedupkit.recipe import Limits

DRAFT_SIDE = 88  # the shorter side keeps that much: PDQ then moves by 5 bits on average, below 64 by 8
_MAX_DRAFT_SIDE, _MAX_SIDE = 4096, 65_536  # the longer side of strips; no JPEG has more than 65,535
_DRAFT_SCALES = (8, 4, 2)  # libjpeg-turbo has vector code for these alone
_ORIENTATION_TAG = 0x0112
_APP1, _START_OF_SCAN, _END_OF_IMAGE = b"\xe1", b"\xda", b"\xd9"  # JPEG markers
_SIXTEEN_BIT = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_strict_lock = Lock()
_strict_users: list[tuple[int | None, bool]] = []  # what each found; the last one popped is the first one's
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image as the fingerprints need it.

    Attributes
    ----------
    gray : ndarray of uint8 or float32, shape (h, w)
        Luminance in [0, 255], perhaps at a reduced scale, orientation applied.
    rgb : PIL.Image.Image or None
        The image at full scale in mode RGB; only where a full decode was asked for.
    colour : ndarray of uint8, shape (h, w, 3), or None
        RGB at the scale of `gray`, orientation applied; only where colour was asked for.
    width, height : int
        Size in pixels at full scale, as shown.
    format : str
        Pillow's name of the encoding in lower case.
    animated : bool
        Whether there is more than one frame.
    """

    gray: NDArray[np.uint8] | NDArray[np.float32]
    rgb: Image.Image | None
    width: int
    height: int
    format: str
    animated: bool = False
    colour: NDArray[np.uint8] | None = None

    def without_pixels(self) -> Decoded:
        """The facts alone."""
        return replace(self, gray=np.empty((0, 0), np.uint8), rgb=None, colour=None)


def decode(
    data: bytes, limits: Limits, *, draft: bool = True, min_side: int = DRAFT_SIDE, colour: bool = False
) -> Decoded | Fault:
    """Decode an image once.

    Parameters
    ----------
    data : bytes
        The encoded image.
    limits : Limits
        Pixels and bytes that are refused before any decoding.
    draft : bool
        Allow reduced scale for JPEGs, where both sides keep at least `min_side` pixels.
    min_side : int
        What the shorter side keeps.
    colour : bool
        Also give the pixels in RGB.

    Returns
    -------
    Decoded or Fault
        Never raises for what the bytes hold.
    """

    def pixels() -> Decoded | Fault:
        quick = None
        if draft and data.startswith(b"\xff\xd8\xff"):
            quick = _decode_jpeg(data, limits, min_side, colour=colour)
        return quick or _decode_with_pillow(data, limits, min_side, draft=draft, colour=colour)

    return _judged(data, limits, pixels)


def reduced(decoded: Decoded, min_side: int) -> Decoded:
    """A JPEG at the scale that `decode` chooses for this `min_side`, out of one at a larger scale."""
    gray, shorter = decoded.gray, min(decoded.width, decoded.height)
    scale = next((each for each in _DRAFT_SCALES if shorter >= each * min_side), 1)
    size = -(-decoded.width // scale), -(-decoded.height // scale)
    if decoded.format != "jpeg" or gray.shape[1] <= size[0]:
        return decoded
    import cv2

    def smaller(pixels: NDArray[Any]) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    return replace(decoded, gray=smaller(gray), colour=None if decoded.colour is None else smaller(decoded.colour))


def header(data: bytes, limits: Limits) -> Decoded | Fault:
    """What an image's header says, as `decode` would give it, without its pixels; the rest may still be broken."""

    def facts() -> Decoded | Fault:
        with strict_pillow(), Image.open(io.BytesIO(data)) as image:
            if refusal := _refusal(image, limits):
                return refusal
            sides, kind = (image.width, image.height), (image.format or "unknown").lower()
            width, height = sides[::-1] if _orientation(image) > 4 else sides
            nothing = np.empty((0, 0), np.uint8)
            return Decoded(nothing, None, width, height, "jpeg" if kind == "mpo" else kind)

    return _judged(data, limits, facts)


def _judged(data: bytes, limits: Limits, look: Callable[[], Decoded | Fault]) -> Decoded | Fault:
    """What a look at an image finds; whatever a decoder raises is a fault."""
    if not data:
        return Fault(Reason.EMPTY_IMAGE, "no bytes")
    if len(data) > limits.max_bytes:
        return Fault(Reason.TOO_MANY_BYTES, f"{len(data)} bytes, the limit is {limits.max_bytes}")
    try:
        return look()
    except MemoryError:
        raise  # the machine's fault, not the image's
    except UnidentifiedImageError:
        return _unidentified(data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return Fault(Reason.TOO_MANY_PIXELS, _one_line(error))
    except Exception as error:  # noqa: BLE001 - decoders of hostile bytes raise whatever they like
        cut = "truncated" in str(error).lower() or isinstance(error, EOFError) or _missing_bytes(data) > 0
        return Fault(Reason.TRUNCATED_IMAGE if cut else Reason.CORRUPT_IMAGE, _one_line(error))


def _decode_jpeg(data: bytes, limits: Limits, min_side: int, *, colour: bool) -> Decoded | Fault | None:
    """The quick way for ordinary JPEGs; None leaves the judgement to Pillow."""
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > limits.max_pixels:
            return _too_many_pixels(width, height, limits)
        if colorspace == "CMYK":
            return None
        scale = next((each for each in _DRAFT_SCALES if min(height, width) >= each * min_side), 1)
        smallest = {"min_height": -(-height // scale), "min_width": -(-width // scale)}
        kind = "RGB" if colour else "GRAY"
        pixels = simplejpeg.decode_jpeg(data, kind, **smallest, min_factor=1, strict=True)
    except ValueError:
        return None
    gray = _gray_of(pixels) if colour else pixels[:, :, 0]
    orientation = _jpeg_orientation(data)
    if orientation is None:
        return None
    if orientation > 4:
        height, width = width, height
    shown = _oriented(pixels, orientation) if colour else None
    return Decoded(_oriented(gray, orientation), None, width, height, "jpeg", colour=shown)


def _gray_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def orientation_of(data: bytes) -> int:
    """EXIF orientation of an encoded image, 1 to 8; 1 where there is none, also of what is no image."""
    found = _jpeg_orientation(data) if data.startswith(b"\xff\xd8\xff") else None
    if found is not None:
        return found
    try:
        with strict_pillow(), Image.open(io.BytesIO(data)) as image:
            if image.format == "PNG":
                image.load()  # its EXIF may stand behind the pixels
            return _orientation(image)
    except Exception:  # noqa: BLE001 - decoders of hostile bytes raise whatever they like
        return 1


def _jpeg_orientation(data: bytes) -> int | None:
    """EXIF orientation out of a JPEG's header, 1 where there is none; None where Pillow has to look for it."""
    at = 2
    while data[at : at + 1] == b"\xff":
        marker = data[at + 1 : at + 2]
        if marker == b"\xff":  # fill byte
            at += 1
            continue
        if marker in (b"", _START_OF_SCAN, _END_OF_IMAGE):
            break
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _APP1 and data.startswith(b"Exif\0\0", at + 4):
            return _orientation_in(data[at + 4 : end])
        if marker == _APP1 and data.find(b"Orientation", at, end) > 0:  # in XMP, which counts where EXIF is silent
            return None
        at = end
    return 1


def _orientation_in(block: bytes) -> int | None:
    try:
        exif = Image.Exif()
        exif.load(block)
    except Exception:  # noqa: BLE001 - a broken tag must not cost the image
        return None
    return _valid_orientation(exif[_ORIENTATION_TAG]) if _ORIENTATION_TAG in exif else None


def _valid_orientation(value: Any) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _oriented(gray: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels as shown, for EXIF orientations 1 to 8."""
    if orientation >= 5:
        gray = gray.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        gray = gray[:, ::-1]
    if orientation in (3, 4, 7, 8):
        gray = gray[::-1]
    return gray


def _decode_with_pillow(data: bytes, limits: Limits, min_side: int, *, draft: bool, colour: bool) -> Decoded | Fault:
    with strict_pillow(), Image.open(io.BytesIO(data)) as image:
        if refusal := _refusal(image, limits):
            return refusal
        width, height, kind = image.width, image.height, (image.format or "unknown").lower()
        animated = kind in ("gif", "png", "webp", "tiff", "avif") and bool(getattr(image, "is_animated", False))
        if draft and kind in ("jpeg", "mpo"):
            plain = "L" if image.mode in ("L", "YCbCr", "RGB") and not colour else image.mode
            image.draft(plain, (min_side, min_side))
        image.load()
        orientation = _orientation(image)
        flat = _flattened(upright(image, orientation))
        if orientation > 4:
            width, height = height, width
        rgb = None if draft else flat.convert("RGB")
        flat = _handy(flat, draft=draft)
        shown = np.asarray(flat.convert("RGB")) if colour else None
    gray, kind = _luminance(flat, exact=not draft), "jpeg" if kind == "mpo" else kind
    return Decoded(gray, rgb, width, height, kind, animated, shown)


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Pillow without its own limit on pixels and without leave to fill up truncated files, whatever the program set.

    Both are settings of the whole process: the first that enters sets them, the last that leaves restores them.
    """
    with _strict_lock:
        _strict_users.append((Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES))
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
    try:
        yield
    finally:
        with _strict_lock:
            before = _strict_users.pop()
            if not _strict_users:
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """An image of an EXIF orientation as it is to be shown; one of no valid orientation stays as it is."""
    turn = _TRANSPOSES.get(orientation)
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        return _valid_orientation(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - a broken tag must not cost the image
        return 1


def _flattened(image: Image.Image) -> Image.Image:
    """Mode L or RGB: palettes resolved, transparency composited on white, 16 bits scaled to 8."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode in _SIXTEEN_BIT:
        return Image.fromarray((np.clip(np.asarray(image, dtype=np.int64), 0, 65535) >> 8).astype(np.uint8))
    if image.mode == "F":
        return Image.fromarray(_scaled(np.asarray(image)))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


def _scaled(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Floating-point samples stretched from their own range to [0, 255]."""
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    return ((finite - low) * (255 / (high - low or 1.0))).astype(np.uint8)


def _handy(image: Image.Image, *, draft: bool) -> Image.Image:
    """The image at a scale at which hashing it needs no more memory than an ordinary one."""
    longest = _MAX_DRAFT_SIDE if draft else _MAX_SIDE
    factors = -(-image.width // longest), -(-image.height // longest)
    return image.reduce(factors) if factors != (1, 1) else image


def _luminance(image: Image.Image, *, exact: bool) -> NDArray[Any]:
    if image.mode == "L":
        return np.asarray(image)
    if exact:  # PDQ's reference code does not round the luminance
        return np.asarray(image, dtype=np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.asarray(image.convert("L"))


def _unidentified(data: bytes) -> Fault:
    if _missing_bytes(data) > 0:
        return Fault(Reason.TRUNCATED_IMAGE, f"{_missing_bytes(data)} bytes are missing at the end")
    if data.startswith(_SIGNATURES) or data[4:8] == b"ftyp":  # AVIF and HEIC
        return Fault(Reason.CORRUPT_IMAGE, "begins like an image, but no decoder accepts it")
    return Fault(Reason.NOT_AN_IMAGE, f"begins with {data[:24]!r}")


def _missing_bytes(data: bytes) -> int:
    """How many bytes a RIFF file (WebP) lacks of the length that it states."""
    return int.from_bytes(data[4:8], "little") + 8 - len(data) if data.startswith(b"RIFF") else 0


def is_program(image: Image.Image) -> bool:
    """Whether an opened image is one that Pillow would have a program of this machine run: Ghostscript, for EPS."""
    return image.format == "EPS"


def _refusal(image: Image.Image, limits: Limits) -> Fault | None:
    """Why an opened image must not be decoded."""
    if is_program(image):
        return Fault(Reason.NOT_AN_IMAGE, "EPS is a program, which is not run")
    if image.width * image.height > limits.max_pixels:
        return _too_many_pixels(image.width, image.height, limits)
    return None


def _too_many_pixels(width: int, height: int, limits: Limits) -> Fault:
    return Fault(Reason.TOO_MANY_PIXELS, f"{width} x {height} pixels, the limit is {limits.max_pixels}")


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
