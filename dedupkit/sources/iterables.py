"""Python iterables of samples: `Sample` objects, or mappings with an image and what goes with it."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from dedupkit.sample import Fault, Note, Reason, Sample
from dedupkit.sources.base import Shard
from dedupkit.sources.captions import CAPTION_NAMES, caption_of, utf8_text
from dedupkit.sources.listing import error_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from dedupkit.recipe import SourceOptions

SHARD_ITEMS = 2_000
IMAGE_NAMES = ("image", "jpg", "jpeg", "png", "webp", "img", "image_bytes", "bytes")
KEY_NAMES = ("key", "__key__")
_WEBDATASET_NAMES = ("__key__", "__url__", "__local_path__")  # of the loader, not of the sample
_PNG_MODES = frozenset({"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"})


@dataclass(frozen=True, slots=True)
class Entries:
    """Which entries of a mapping are image, caption and key: the first of each that it has."""

    images: tuple[str | None, ...] = IMAGE_NAMES
    captions: tuple[str | None, ...] = (*CAPTION_NAMES, "txt")
    keys: tuple[str | None, ...] = KEY_NAMES
    image_file: Callable[[str], bytes | Fault] | None = None

    @classmethod
    def of(cls, options: SourceOptions, image_file: Callable[[str], bytes | Fault] | None = None) -> Entries:
        """The entries that `options` name, and the usual ones for the others."""
        return cls(
            (options.image_column,) if options.image_column else IMAGE_NAMES,
            (options.caption_column,) if options.caption_column else (*CAPTION_NAMES, "txt"),
            (options.key_column,) if options.key_column else KEY_NAMES,
            image_file,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IterableSource:
    """Samples of a list, a tuple, or any object that can be iterated again.

    Attributes
    ----------
    items : iterable
        Of `Sample` objects or mappings.  What it raises while it is iterated is its program's error and is passed on.
    entries : Entries
        Which entries of a mapping are image, caption and key.
    identity : str
        New for each source: an iterable cannot say whether it changed.
    """

    items: Iterable[Any]
    entries: Entries
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)

    def shards(self) -> Sequence[Shard]:
        """Ranges of 2,000 items of a list or tuple; any other iterable is one shard."""
        if not isinstance(self.items, list | tuple):
            return [Shard("samples", self.identity, (0, None))]
        starts = range(0, len(self.items), SHARD_ITEMS)
        return [Shard(f"samples-{a:08d}", f"{self.identity}-{a}", (a, a + SHARD_ITEMS)) for a in starts]

    def fields(self, shard: Shard) -> pa.Schema | None:
        """None: only the values tell."""
        return None

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream the items of one shard."""
        first, stop = shard.location
        items = self.items[first:stop] if isinstance(self.items, list | tuple) else islice(self.items, first, stop)
        for number, item in enumerate(items, first):
            yield sample_of(item, self.entries, f"sample-{number:08d}")


def sample_of(item: Any, entries: Entries, row_key: str) -> Sample:
    """A sample from what an iterable gave.

    Parameters
    ----------
    item : Sample or mapping
        The image is encoded bytes, a Pillow image (which is stored as PNG), or the ``{"bytes", "path"}`` of
        `datasets`.  Anything else becomes a sample with a fault.
    entries : Entries
        Which entries are image, caption and key.
    row_key : str
        The key of an item that has none.
    """
    if isinstance(item, Sample):
        key, whole = utf8_text(item.key)
        return item if whole else replace(item, key=key)
    if not isinstance(item, Mapping):
        return Sample(row_key, None, fault=_no_image(item), notes=(Note.CAPTION_MISSING,))
    image_name, caption_name, key_name = (
        _first(names, item) for names in (entries.images, entries.captions, entries.keys)
    )
    image, fault = _image_of(item.get(image_name), entries) if image_name else (None, _no_image(None))
    caption, notes = caption_of(item.get(caption_name))
    key = utf8_text(item[key_name])[0] if key_name and item[key_name] is not None else row_key
    taken = {image_name, key_name if key_name in KEY_NAMES else None, *_WEBDATASET_NAMES}
    if not isinstance(item.get(caption_name), list | tuple):
        taken.add(caption_name)
    fields = {
        str(name): value
        for name, value in item.items()
        if name not in taken and not (value is None and name in entries.images)
    }
    return Sample(key, image, caption, fields, fault, notes)


def _first(names: tuple[str | None, ...], item: Mapping[Any, Any]) -> str | None:
    """The first of the names that has a value, or else that is there."""
    present = [name for name in names if name is not None and name in item]
    return next((name for name in present if item[name] is not None), present[0] if present else None)


def _image_of(value: Any, entries: Entries) -> tuple[bytes | None, Fault | None]:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value), None
    if isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes):
        return value["bytes"], None
    if isinstance(value, Mapping) and isinstance(value.get("path"), str) and entries.image_file is not None:
        found = entries.image_file(value["path"])
        return (None, found) if isinstance(found, Fault) else (found, None)
    if hasattr(value, "getexif") and hasattr(value, "save"):
        return _as_png(value)
    return None, _no_image(value)


def _as_png(picture: Any) -> tuple[bytes | None, Fault | None]:
    """A Pillow image as PNG, with its orientation and colour profile."""
    target = io.BytesIO()
    try:
        exif = picture.getexif().tobytes() if len(picture.getexif()) else None
        kept = picture if picture.mode in _PNG_MODES else picture.convert("RGB")
        kept.save(target, "PNG", **({"exif": exif} if exif else {}))
    except (OSError, ValueError, SyntaxError) as error:
        return None, Fault(Reason.CORRUPT_IMAGE, error_text(error))
    return target.getvalue(), None


def _no_image(value: Any) -> Fault:
    what = "no image" if value is None else f"the image is a {type(value).__name__}; give bytes or a Pillow image"
    return Fault(Reason.MISSING_IMAGE, what)
