"""Images turned as their EXIF orientation says, so that readers that ignore it see them upright.

PNG and lossless WebP keep every pixel.  JPEG is decoded and encoded with its own quantisation tables, turned along with
the picture, and its own subsampling: coefficients then come out as they went in, but for rounding and for blocks cut at
the edge.  No package that is kept carries libjpeg's lossless transform.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, JpegImagePlugin

from dedupkit.fingerprints.decode import orientation_of, upright
from dedupkit.fingerprints.pillow import opened_image
from dedupkit.hygiene.metadata import ORIENTATION_TAG, PNG_SIGNATURE, container_of, png_chunks, riff_chunks

if TYPE_CHECKING:
    from collections.abc import Callable

_FULL_COLOUR, _HALF_WIDTH = 0, 1  # Pillow's numbers of 4:4:4 and 4:2:2
_WEBP_QUALITY = 95  # that of [augment]; what a lossy file was made with does not stand in it
# PNG chunks that say how colours are meant, whatever way up the pixels are
_OF_COLOUR = frozenset(b"gAMA cHRM sRGB iCCP cICP mDCV cLLI".split())


def baked(data: bytes) -> bytes:
    """Turn an encoded image upright, and take its orientation tag away.

    Parameters
    ----------
    data : bytes
        A JPEG, PNG or WebP file; anything else is given back as it is.

    Returns
    -------
    bytes
        The very same object where the image stands upright, is an animation, or cannot be decoded.

    Notes
    -----
    The colour profile stays, and so does other EXIF; other metadata of a turned image does not.  An upright image
    costs a look at its header, a turned one decoding and encoding.

    Examples
    --------
    >>> picture = io.BytesIO()
    >>> exif = Image.Exif()
    >>> exif[0x0112] = 6
    >>> Image.new("RGB", (30, 20)).save(picture, "PNG", exif=exif)
    >>> Image.open(io.BytesIO(baked(picture.getvalue()))).size
    (20, 30)
    """
    container = container_of(data)
    orientation = 1 if container is None else orientation_of(data)
    if container is None or orientation == 1:
        return data
    try:
        with opened_image(data) as image:
            if getattr(image, "is_animated", False) and image.format != "MPO":
                return data
            image.load()
            return _BAKERS[container](image, orientation, data)
    except MemoryError:
        raise  # the machine's fault, not the image's
    except Exception:  # noqa: BLE001 - decoders of hostile bytes raise whatever they like; the image stays as it is
        return data


def _baked_jpeg(image: JpegImagePlugin.JpegImageFile, orientation: int, data: bytes) -> bytes:
    lying, tables = orientation > 4, image.quantization
    sampling = JpegImagePlugin.get_sampling(image)
    if sampling < 0 or (lying and sampling == _HALF_WIDTH):  # turned it would be 4:4:0, which Pillow cannot write
        sampling = _FULL_COLOUR
    return _saved(
        upright(image, orientation),
        "JPEG",
        qtables={number: _turned(table) if lying else table for number, table in tables.items()},
        subsampling=sampling,
        progressive=bool(image.info.get("progressive")),
        optimize=True,
        **_kept_info(image),
    )


def _turned(table: Any) -> list[int]:
    """A quantisation table for blocks whose rows became columns."""
    return [int(value) for value in np.reshape(table, (8, 8)).T.ravel()]


def _baked_png(image: Image.Image, orientation: int, data: bytes) -> bytes:
    depth, colour_type = data[24], data[25]
    if depth == 16 and colour_type != 0:  # Pillow would make 8 bits of them
        made = _sixteen_bit(data, orientation)
    else:
        if "transparency" in image.info and image.mode != "P":
            image = image.convert("RGBA")  # one transparent colour: alpha says the same
        made = _saved(upright(image, orientation), "PNG", **_kept_info(image))
    chunks = [chunk for name, chunk in png_chunks(data) if name in _OF_COLOUR]
    if orientation < 5:
        chunks += [chunk for name, chunk in png_chunks(data) if name == b"pHYs"]
    rest = list(png_chunks(made))
    again = [chunk for name, chunk in rest[1:] if name not in _OF_COLOUR and name != b"pHYs"]
    return b"".join([PNG_SIGNATURE, rest[0][1], *chunks, *again])


def _sixteen_bit(data: bytes, orientation: int) -> bytes:
    """A colour PNG of 16 bits a sample, turned; without EXIF."""
    plain = b"".join([PNG_SIGNATURE, *(chunk for name, chunk in png_chunks(data) if name not in (b"eXIf", b"gAMA"))])
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(plain, np.uint8), flags)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("not decoded at its full depth")
    planes = [np.asarray(upright(Image.fromarray(plane), orientation)) for plane in cv2.split(pixels)]
    done, made = cv2.imencode(".png", cv2.merge(planes))
    if not done:
        raise ValueError("not encoded")
    return made.tobytes()


def _baked_webp(image: Image.Image, orientation: int, data: bytes) -> bytes:
    lossless = any(name == b"VP8L" for name, _ in riff_chunks(data))
    how = {"lossless": True, "exact": True} if lossless else {"quality": _WEBP_QUALITY}
    return _saved(upright(image, orientation), "WEBP", **how, **_kept_info(image))


def _kept_info(image: Image.Image) -> dict[str, Any]:
    """Colour profile, and EXIF without the orientation."""
    exif = image.getexif()
    exif.pop(ORIENTATION_TAG, None)
    block = exif.tobytes() if len(exif) else b""
    return {"icc_profile": image.info.get("icc_profile"), "exif": block}


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


_BAKERS: dict[str, Callable[[Any, int, bytes], bytes]] = {
    "jpeg": _baked_jpeg,
    "png": _baked_png,
    "webp": _baked_webp,
}
