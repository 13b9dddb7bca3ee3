"""What a pipeline hands on, as a sample: encoded bytes as they are, pixels as a PNG of theirs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dedupkit.errors import UsageError
from dedupkit.sample import Sample
from dedupkit.sources.iterables import Entries, sample_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEAR_ONE = 1.02  # what resampling overshoots by
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the image and the key of an item are.

    Attributes
    ----------
    image : str, int or None
        Entry of a mapping or a tuple; None takes the usual names, and the first of a tuple.
    key : str, int or None
        The same of its name.
    """

    image: str | int | None = None
    key: str | int | None = None

    def sample(self, item: Any, number: int) -> Sample:
        """What is compared of an item; nothing of it is changed.

        Raises
        ------
        UsageError
            It is nothing with an image, or its pixels are no picture's.
        """
        if isinstance(item, Sample):
            return item
        if isinstance(item, tuple | list):
            item = dict(enumerate(item)) | ({} if self.image is not None else {"image": next(iter(item), None)})
        elif not isinstance(item, Mapping):
            item = {"image": item}
        names = {"images": (self.image,)} if self.image is not None else {}
        keys = {"keys": (self.key,)} if self.key is not None else {}
        entries: Any = Entries(captions=(), **names, **keys)  # type: ignore[arg-type]
        present = [name for name in entries.images if name in item]
        if not present:
            known = ", ".join(map(str, entries.images))
            raise UsageError(f"a sample has no entry {known}, only {', '.join(map(str, item))}; name it with image=…")
        wanted = {name: item[name] for name in (*present, *entries.keys) if name in item}
        return sample_of({name: as_encoded(value) for name, value in wanted.items()}, entries, f"sample-{number:08d}")


def as_encoded(value: Any) -> Any:
    """Pixels as a PNG without compression, which takes a millisecond; everything else as it is.

    Raises
    ------
    UsageError
        An array or tensor is no picture's.
    """
    if hasattr(value, "detach") and hasattr(value, "cpu"):  # a tensor of torch, which need not be installed
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.ndim > 1:
        return _png(Image.fromarray(_pixels(value)))
    if isinstance(value, Image.Image) and value.mode in ("L", "RGB") and not len(value.getexif()):
        return _png(value)
    return value


def _png(picture: Image.Image) -> bytes:
    target = io.BytesIO()
    picture.save(target, "PNG", compress_level=0)
    return target.getvalue()


def _pixels(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Rows by columns, by channels last if there are any."""
    shape = array.shape
    if array.ndim == 3 and shape[2] not in _CHANNELS and shape[0] in _CHANNELS:
        array = np.moveaxis(array, 0, 2)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in _CHANNELS) or 0 in shape:
        raise UsageError(f"pixels must be (height, width), with 1, 3 or 4 channels first or last, got shape {shape}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind != "f" or min(low, 1 - high) < 1 - _NEAR_ONE:
        raise UsageError(
            f"pixels must be uint8, or floats in [0, 1], got {array.dtype} in [{low:g}, {high:g}]; deduplicate before "
            "images are normalised"
        )
    return np.ascontiguousarray((np.clip(array, 0, 1) * 255).round().astype(np.uint8))
