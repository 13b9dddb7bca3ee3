"""Sets to train on: pictures of which some stand many times, as they do on the web, and others that no model sees."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dedupkit.audit.distances import l2
from dedupkit.audit.images import fitted
from dedupkit.errors import RunError, UsageError
from dedupkit.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dedupkit.sample import Sample

DIGITS = "digits"
_NAMES = ("nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ENCODINGS = (("PNG", 0), ("JPEG", 95), ("JPEG", 90), ("JPEG", 85))
_HELD_OUT = 3  # images that making a canary asks for
_LEAST_CONTRAST = 10  # standard deviation in levels; below it any two pictures are near


@dataclass(frozen=True)
class Pictures:
    """Real pictures with a caption each.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, side, side, 3), RGB
    captions : tuple of str
    """

    images: NDArray[np.uint8] = field(repr=False)
    captions: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, chosen: NDArray[np.int64]) -> Pictures:
        """Some of them, by number."""
        return Pictures(self.images[chosen], tuple(self.captions[row] for row in chosen))


@dataclass(frozen=True)
class TrainingSet(Pictures):
    """All samples of a set, as a model of its size sees them.

    Attributes
    ----------
    keys : tuple of str
    digests : tuple of bytes
        SHA-256 of the encoded images.
    """

    keys: tuple[str, ...] = field(repr=False)
    digests: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a set is drawn.

    Parameters
    ----------
    pictures : int
        Different pictures in it.
    controls : int
        Pictures of the same source that stand in no set.
    canaries : int
        Of further ones, how many are planted as canaries, and as many that never are.
    repetitions : tuple of int
        How often pictures stand that stand more than once.
    each : int
        Pictures for each of these counts; all others stand once.
    """

    pictures: int
    controls: int
    canaries: int
    repetitions: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    each: int = 20

    def __post_init__(self) -> None:
        if self.each * len(self.repetitions) > self.pictures:
            raise UsageError(
                f"pictures must be {self.each * len(self.repetitions)} or more, which are repeated, got {self.pictures}"
            )

    def counts(self) -> NDArray[np.int64]:
        """How often each picture stands, shape (pictures,)."""
        found = np.ones(self.pictures, np.int64)
        repeated = np.repeat(self.repetitions, self.each)
        found[: len(repeated)] = repeated
        return found


def load(data: str, side: int, most: int) -> Pictures:
    """Pictures of a source, brought to a size; those near to another are left out, so that a copy is a copy.

    Parameters
    ----------
    data : str
        "digits" for scikit-learn's handwritten digits, or anything that `dedupkit.clean` takes.
    side : int
        Pixels a side; digits have 8.
    most : int
        Samples that are looked at.

    Raises
    ------
    UsageError
        If the source cannot be opened.
    """
    pictures = _digits(most) if data == DIGITS else _from_source(data, side, most)
    return pictures.rows(_distinct(pictures.images))


def draw_sets(pictures: Pictures, plan: Plan, seed: int) -> tuple[Pictures, Pictures, Pictures]:
    """Pictures to train on, controls, and what canaries are made of, by chance out of one source.

    Raises
    ------
    UsageError
        If there are too few.
    """
    sizes = plan.pictures, plan.controls, _HELD_OUT * 2 * plan.canaries
    if len(pictures) < sum(sizes):
        raise UsageError(
            f"{sum(sizes)} different pictures are needed, the source has {len(pictures)}; name a larger one"
        )
    order = np.random.default_rng([seed, 1]).permutation(len(pictures))
    members, controls, held_out, _ = np.split(order, np.cumsum(sizes))
    return pictures.rows(members), pictures.rows(controls), pictures.rows(held_out)


def write_set(pictures: Pictures, path: Path, seed: int, counts: NDArray[np.int64] | None = None) -> None:
    """A Parquet file with each picture as often as `counts` says, or once: encoded anew, every other time brighter.

    The first of each is a PNG and has the picture's pixels; keys say which picture it is, see `picture_of`.
    """
    counts = np.ones(len(pictures), np.int64) if counts is None else counts
    rng = np.random.default_rng([seed, 2])
    rows = [
        {
            "key": f"{number:05d}-{copy:03d}",
            "image": _encoded(pictures.images[number], copy, rng),
            "caption": pictures.captions[number],
        }
        for number, count in enumerate(counts.tolist())
        for copy in range(count)
    ]
    pq.write_table(pa.Table.from_pylist([rows[row] for row in rng.permutation(len(rows))]), path)


def picture_of(key: str) -> int:
    """The picture that a sample of `write_set` shows."""
    return int(key.partition("-")[0])


def read_set(path: str | Path, side: int) -> TrainingSet:
    """All samples of a set: a source, or a folder that `dedupkit.clean` wrote."""
    samples = [each for each in _samples(str(path)) if each.image is not None]
    return TrainingSet(
        np.stack([fitted(each.image or b"", (side, side)) for each in samples]),
        tuple(each.caption or "" for each in samples),
        tuple(each.key for each in samples),
        tuple(hashlib.sha256(each.image or b"").digest() for each in samples),
    )


def _samples(data: str) -> Iterator[Sample]:
    source = open_source(data)
    return (sample for shard in source.shards() for sample in source.read(shard))


def _digits(most: int) -> Pictures:
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.rint(digits.images[:most] * (255 / 16)).astype(np.uint8)
    # A page and a line make each caption one picture's own, as captions of photographs mostly are.
    captions = [
        f"a handwritten {_NAMES[digit]}, page {1 + row // 30}, line {1 + row % 30}"
        for row, digit in enumerate(digits.target[:most].tolist())
    ]
    return Pictures(np.repeat(grey[..., None], 3, axis=3), tuple(captions))


def _from_source(data: str, side: int, most: int) -> Pictures:
    images, captions = [], []
    for sample in islice(_samples(data), most):
        try:
            images.append(fitted(sample.image or b"", (side, side)))
        except RunError:
            continue
        captions.append(sample.caption or "a picture")
    if not images:
        raise UsageError(f"{data} holds no usable image; name another source with --data")
    return Pictures(np.stack(images), tuple(captions))


def _distinct(images: NDArray[np.uint8], min_l2: float = 0.06) -> NDArray[np.int64]:
    """Numbers of pictures that are not flat, nor near another one that is kept."""
    kept: list[int] = []
    for number in np.flatnonzero(images.reshape(len(images), -1).std(axis=1) >= _LEAST_CONTRAST).tolist():
        if not kept or l2(images[kept], images[number : number + 1]).min() >= min_l2:
            kept.append(number)
    return np.array(kept, np.int64)


def _encoded(image: NDArray[np.uint8], copy: int, rng: np.random.Generator) -> bytes:
    kind, quality = _ENCODINGS[0 if copy == 0 else int(rng.integers(len(_ENCODINGS)))]
    brighter = 1.0 + 0.04 * float(rng.random()) * (copy % 2)
    levels = np.rint(image * brighter).clip(0, 255).astype(np.uint8)
    grey = bool((image == image[..., :1]).all())
    buffer = io.BytesIO()
    how: dict[str, Any] = {"quality": quality, "subsampling": 0} if kind == "JPEG" else {}
    Image.fromarray(levels[..., 0] if grey else levels).save(buffer, kind, **how)
    return buffer.getvalue()
