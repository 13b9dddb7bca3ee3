"""Augmentation while training: the transform for `datasets`, torch, webdataset and Grain, other pixels every epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from dedupkit.errors import UsageError
from dedupkit.mitigation.augment import Augmenter
from dedupkit.mitigation.encoding import opened
from dedupkit.mitigation.epochs import InEpochs
from dedupkit.recipe import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.recipe import Augment

_IMAGES = ("image", "jpg", "jpeg", "png", "webp")  # as the sinks call it
_DRAWS = 1 << 63


class OnlineAugmenter(InEpochs):
    """An `Augmenter` for training loops: the same picture has other pixels in every epoch.

    What comes out depends on seed, key and epoch alone, not on order, batches or workers.  A picture comes back as it
    came: a PIL image, or an array of uint8 of shape (height, width, 3).  Encoded bytes come back as a PIL image;
    those that cannot be decoded raise `RunError`.

    Parameters
    ----------
    options : Augment
        What to do, and how far.
    seed : int
        Chance comes from it, the sample's key and the epoch.
    limits : Limits, optional
        What is refused before it is decoded, where images come encoded; the recipe's defaults if left out.

    Examples
    --------
    >>> from dedupkit.recipe import Augment
    >>> online = OnlineAugmenter(Augment(preset="paper"), seed=7)
    >>> grey = {"key": "a.jpg", "image": Image.new("RGB", (64, 48), "grey")}
    >>> first = online.sample(grey)["image"]
    >>> online.set_epoch(1)
    >>> first == online.sample(grey)["image"]
    False
    """

    def __init__(self, options: Augment, seed: int, limits: Limits | None = None) -> None:
        self.augmenter = Augmenter(options, seed, limits or Limits())
        super().__init__()

    def rows(self, rows: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
        """For ``Dataset.set_transform``: a batch as columns, of which ``image`` is changed.

        Parameters
        ----------
        rows : mapping of str to sequence
            With columns ``key`` and ``image``, and ``group_size`` where repetition is to count.

        Raises
        ------
        UsageError
            If one is missing, or an image is of a kind that is not known.
        """
        for name in ("key", "image"):
            if name not in rows:
                raise UsageError(f"augmentation needs the columns key and image, got {', '.join(rows)}; select both")
        sizes = rows.get("group_size") or [1] * len(rows["key"])
        triples = zip(rows["key"], rows["image"], sizes, strict=True)
        return {**rows, "image": [self._changed(image, key, size, self.epoch) for key, image, size in triples]}

    def sample(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """For ``.map`` of webdataset, Grain or an ``IterableDataset``: one sample, of which the image is changed.

        Parameters
        ----------
        sample : mapping of str to object
            With an image, decoded or not, under image, jpg, jpeg, png or webp, and with key and group_size, either
            beside it or in the entry json; else webdataset's ``__key__``.

        Raises
        ------
        UsageError
            If one is missing, or an image is of a kind that is not known.
        """
        return self._sample(sample, self.epoch)

    def random_map(self, element: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """Grain's protocol of random maps: one sample; Grain's generator, other every epoch, stands for the epoch."""
        return self._sample(element, int(rng.integers(_DRAWS)))

    def _sample(self, sample: Mapping[str, Any], epoch: int) -> dict[str, Any]:
        name = next((each for each in _IMAGES if each in sample), None)
        facts = _facts(sample)
        if name is None or "key" not in facts:
            raise UsageError(
                f"augmentation needs a sample with an image ({', '.join(_IMAGES)}) and a key, got {', '.join(sample)}; "
                "name them so"
            )
        return {**sample, name: self._changed(sample[name], facts["key"], facts.get("group_size", 1), epoch)}

    def _changed(self, image: Any, key: str, repetition: int, epoch: int) -> Any:
        pixels = _pixels(image, self.augmenter.limits, key)
        pixels = self.augmenter.pixels(pixels, key, epoch=epoch, repetition=repetition)
        return pixels if isinstance(image, np.ndarray) else Image.fromarray(pixels)


class AugmentedDataset:
    """A torch dataset with random access whose pictures are changed; torch itself is not needed.

    Parameters
    ----------
    dataset : object
        Has a length and gives, for an index, a mapping with ``image`` and ``key``, or a tuple that begins with the
        image.  A sample without a key is known by its index.
    online : OnlineAugmenter
        Changes them.

    Examples
    --------
    >>> from dedupkit.recipe import Augment
    >>> folder = [(Image.new("RGB", (64, 48), "grey"), 5)]
    >>> augmented = AugmentedDataset(folder, OnlineAugmenter(Augment(preset="paper"), seed=7))
    >>> image, label = augmented[0]
    >>> image.size, label
    ((64, 48), 5)
    """

    def __init__(self, dataset: Any, online: OnlineAugmenter) -> None:
        self.dataset = dataset
        self.online = online

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        """The sample of an index, as the dataset gives it, but for its image.

        Raises
        ------
        UsageError
            If it is neither mapping nor tuple, or its image is of a kind that is not known.
        """
        sample = self.dataset[index]
        if isinstance(sample, Mapping):
            key = {} if "key" in _facts(sample) else {"key": str(index)}
            changed = self.online.sample({**sample, **key})
            return {name: changed[name] for name in sample}
        if isinstance(sample, (tuple, list)) and sample:
            image = self.online.sample({"image": sample[0], "key": str(index)})["image"]
            return (image, *sample[1:])
        raise UsageError(f"a sample must be a mapping or a tuple, got {type(sample).__name__}; wrap the dataset")

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def set_epoch(self, epoch: int) -> None:
        """Begin a pass over the set; before the loop over it, in the main process."""
        self.online.set_epoch(epoch)


def _facts(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Key and repetition of a sample, from beside its image, its JSON or webdataset's name for it."""
    described = sample.get("json", {})
    if isinstance(described, (bytes, str)):
        described = json.loads(described)
    described = described if isinstance(described, Mapping) else {}
    found = {name: places[name] for name in ("key", "group_size") for places in (described, sample) if name in places}
    return {"key": sample["__key__"], **found} if "__key__" in sample else found


def _pixels(image: Any, limits: Limits, key: str) -> NDArray[np.uint8]:
    """RGB of whatever a loader calls an image."""
    if isinstance(image, np.ndarray):
        return image
    if isinstance(image, Mapping) and image.get("bytes"):  # a column of `datasets.Image(decode=False)`
        image = image["bytes"]
    if isinstance(image, (bytes, bytearray)):
        return opened(bytes(image), limits, key).pixels
    if not isinstance(image, Image.Image):
        raise UsageError(
            f"an image must be a PIL image, an array or encoded bytes, got {type(image).__name__}; "
            "augment before pixels become tensors"
        )
    return np.asarray(_rgb(ImageOps.exif_transpose(image)))


def _rgb(image: Image.Image) -> Image.Image:
    """Mode RGB, transparency composited on white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")
