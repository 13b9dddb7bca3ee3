"""Images that were generated elsewhere, with their captions and seeds as far as those are known."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dedupkit.sample import Fault, Sample
    from dedupkit.sources import Source


class GeneratedBatch(NamedTuple):
    """Some generated images, all of one size.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, height, width, 3), RGB
    captions : list of str or None
        What each was drawn for; None where that is not known, or it was nothing.
    seeds : list of int or None
        Of each; None where it is not known.
    keys : list of str
        Names of the files.
    """

    images: NDArray[np.uint8]
    captions: list[str | None]
    seeds: list[int | None]
    keys: list[str]


@dataclass(frozen=True, slots=True)
class Generations:
    """Generated images in files: what attacks that only look at generations take in place of a model.

    Captions stand in ``metadata.jsonl`` or ``metadata.csv`` or in a ``.txt`` beside each image, as `open_source` reads
    them; seeds in the metadata's column ``seed``.

    Attributes
    ----------
    source : Source
        Where they are.
    batch : int
        Images at once; a batch is cut where their size changes.
    skipped : Counter of str
        How many could not be read in the latest pass, by reason.
    """

    source: Source
    batch: int = 64
    skipped: Counter[str] = field(default_factory=Counter, compare=False)

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UsageError(f"batch must be 1 or more, got {self.batch}")

    def batches(self) -> Iterator[GeneratedBatch]:
        """All images, in the order of their names; the same each time.  Holds one batch in memory.

        Raises
        ------
        UsageError
            If not one image can be read.
        """
        self.skipped.clear()
        rows: list[_Row] = []
        found = False
        for row in self._rows():
            if rows and (len(rows) == self.batch or row.image.shape != rows[0].image.shape):
                yield _joined(rows)
                rows = []
            rows.append(row)
            found = True
        if not found:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.skipped.items()) or "there is none"
            raise UsageError(f"no generated image can be read ({reasons}); name the folder that holds them")
        yield _joined(rows)

    def _rows(self) -> Iterator[_Row]:
        for shard in self.source.shards():
            for sample in self.source.read(shard):
                image = _image(sample)
                if isinstance(image, np.ndarray):
                    yield _Row(image, sample.caption or None, _seed(sample.fields.get("seed")), sample.key)
                else:
                    self.skipped[image.reason.value] += 1


class _Row(NamedTuple):
    image: NDArray[np.uint8]
    caption: str | None
    seed: int | None
    key: str


def _joined(rows: list[_Row]) -> GeneratedBatch:
    images, captions, seeds, keys = zip(*rows, strict=True)
    return GeneratedBatch(np.stack(images), list(captions), list(seeds), list(keys))


def _image(sample: Sample) -> NDArray[np.uint8] | Fault:
    from dedupkit.fingerprints.decode import decode
    from dedupkit.recipe import Limits

    if sample.fault is not None:
        return sample.fault
    decoded = decode(sample.image or b"", Limits(), draft=False)
    return np.asarray(decoded.rgb, np.uint8) if hasattr(decoded, "rgb") else decoded


def _seed(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
