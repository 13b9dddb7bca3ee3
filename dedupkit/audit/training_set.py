"""What a model was trained on: how often each picture stands in it, and which of it a generated image is nearest to."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property, partial
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dedupkit.audit.distances import l2, nearest_rows, tiled_l2
from dedupkit.audit.images import fitted, fitted_pixels
from dedupkit.errors import RunError, UsageError
from dedupkit.grouping.groups import components
from dedupkit.journey import Journey
from dedupkit.parts import Part, make_parts, read_table, table_name, write_table
from dedupkit.recipe import Hygiene, Recipe
from dedupkit.sample import ROW_BITS
from dedupkit.storage import digest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from dedupkit.engines import Engine
    from dedupkit.parts import Observer
    from dedupkit.sources.base import Shard, Source
    from dedupkit.storage import Folder

STAGE = "small pictures/1"
SMALL = 32
"""Longer side in pixels at which all pictures are compared, 3 KiB each."""
_CANDIDATES = 5  # by small pictures, and as many by descriptor, are compared at full size
_TINY = 64  # of pictures this small hashes say as much as geometry does


@dataclass(frozen=True)
class Nearest:
    """The training image that each of some images is nearest to.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Its row in the training set.
    l2, tiled_l2 : ndarray of float64, shape (n,)
        Distance at the model's size, in [0, 1]; see `dedupkit.audit.distances`.
    cosine : ndarray of float32, shape (n,)
        Of the copy descriptors; NaN where there are none.
    """

    rows: NDArray[np.int64]
    l2: NDArray[np.float64]
    tiled_l2: NDArray[np.float64]
    cosine: NDArray[np.float32]


@dataclass(frozen=True)
class TrainingSet:
    """All usable samples of a set, in its order.

    Attributes
    ----------
    journey : Journey
        The look through the set.
    size : tuple of int
        Height and width in pixels that the model sees.
    positions : ndarray of uint64, shape (n,)
        Where each stands.
    keys, captions : sequence
        One each.
    repetitions : ndarray of int64, shape (n,)
        How often its picture stands in the set, itself included.
    first : ndarray of int64, shape (n,)
        The first row that shows the same picture.
    descriptors : ndarray of float16, shape (n, dimensions), or None
        Copy descriptors.
    small : ndarray of uint8, shape (n, height, width, 3)
        Small pictures.
    """

    journey: Journey
    size: tuple[int, int]
    positions: NDArray[np.uint64]
    keys: Sequence[str]
    captions: Sequence[str | None]
    repetitions: NDArray[np.int64]
    first: NDArray[np.int64]
    descriptors: NDArray[np.float16] | None
    small: NDArray[np.uint8]

    @classmethod
    def open(
        cls,
        data: Any,
        size: tuple[int, int],
        work: Folder,
        engine: Engine,
        observe: Observer,
        *,
        recipe: Recipe | None = None,
        without: Collection[bytes] = (),
    ) -> TrainingSet:
        """Look through a set.

        Parameters
        ----------
        data : path, URL or anything that `dedupkit.clean` takes
            What the model was trained on: the output of `clean`, or any source.
        size : tuple of int
            Height and width in pixels that the model sees.
        work : Folder
            Where the tables of the look lie; what is there and right is used again.
        engine, observe
            As everywhere.
        recipe : Recipe, optional
            How the set is read and copies in it are found.
        without : collection of bytes
            SHA-256 of images that are left out: canaries, which are nobody's business.

        Raises
        ------
        UsageError
            If the set cannot be opened, or holds no image.
        """
        from dedupkit.sources import open_source

        chosen = recipe or Recipe(preset="fast" if max(size) <= _TINY else "thorough")
        chosen = chosen.model_copy(update={"hygiene": _NO_CHECKS})
        source = open_source(data, chosen.source, **chosen.limits.of_files, spool_to=work.below("spool"))
        journey = Journey(source, chosen, work, engine, observe, emits=False)
        reports = journey.fingerprint()
        pairs = journey.match(reports, for_decisions=False).pairs
        small = _small_pictures(journey, size, reports)
        columns = ("position", "key", "caption", "sha256", "fault", "descriptor")
        table = pa.concat_tables([journey.tables.fingerprints(each, columns) for each in range(len(journey.shards))])
        usable = table["fault"].is_null().to_numpy() & np.array([each is not None for each in small])
        if without:
            usable &= ~np.array([each in without for each in table["sha256"].to_pylist()], bool)
        if not usable.any():
            raise UsageError("the training set holds no usable image; name another with data")
        first = _first_of_each(table["position"].to_numpy(), pairs)
        rows = np.flatnonzero(usable)
        alike, label = np.unique(first[rows], return_inverse=True)
        start = np.full(len(alike), len(rows))
        np.minimum.at(start, label, np.arange(len(rows)))
        table = table.take(pa.array(rows))
        return cls(
            journey=journey,
            size=size,
            positions=table["position"].to_numpy(),
            keys=table["key"].to_pylist(),
            captions=table["caption"].to_pylist(),
            repetitions=np.bincount(label)[label],
            first=start[label],
            descriptors=_matrix(table["descriptor"]),
            small=np.stack([each for row in rows.tolist() if (each := small[row]) is not None]),
        )

    def __len__(self) -> int:
        return len(self.positions)

    @cached_property
    def pictures(self) -> NDArray[np.int64]:
        """One row for each picture, the first that shows it."""
        return np.unique(self.first)

    def images(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Some images as the model sees them, shape (n, *size, 3); their shards are read once."""
        wanted = defaultdict(list)
        for place, row in enumerate(np.asarray(rows, np.int64).tolist()):
            wanted[int(self.positions[row])].append(place)
        found = np.empty((len(rows), *self.size, 3), np.uint8)
        for number in sorted({at >> ROW_BITS for at in wanted}):
            for row, sample in enumerate(self.journey.source.read(self.journey.shards[number])):
                places = wanted.get(number << ROW_BITS | row)
                if places and sample.image is not None:
                    found[places] = fitted(sample.image, self.size, self.journey.recipe.limits)
        return found

    def nearest(self, images: NDArray[np.uint8]) -> Nearest:
        """The training image that each of some images is nearest to, by `l2` at the model's size.

        The nearest few by small pictures and by descriptor are compared at full size; where the model's size is 32
        pixels or less, that is exact.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, *size, 3), RGB
        """
        _, near = nearest_rows(self._small_rows(images), self._all_small, _CANDIDATES)
        described = None if self.descriptors is None else self._described(images)
        if described is not None and self.descriptors is not None:
            _, alike = nearest_rows(described, self.descriptors, _CANDIDATES, by_cosine=True)
            near = np.hstack([near, alike])
        kept, place = np.unique(near, return_inverse=True)
        full = self.images(kept)
        apart = np.stack([l2(images, full[column]) for column in place.reshape(near.shape).T], axis=1)
        best = apart.argmin(axis=1)
        at = np.arange(len(images))
        rows = near[at, best]
        shown = full[place.reshape(near.shape)[at, best]]
        return Nearest(rows, apart[at, best], tiled_l2(images, shown), self._cosine(described, rows))

    def relative_distances(self, images: NDArray[np.uint8], neighbours: int, alpha: float) -> NDArray[np.float64]:
        """Distance to the nearest training image against that to its neighbourhood (arXiv 2301.13188, section 5.1).

        ``l2(image, x) / (alpha * mean l2(image, y))`` over the `neighbours` training images y nearest to the image, x
        the nearest: below 1 it is far nearer to x than images of that kind usually are to one another.

        Returns
        -------
        ndarray of float64, shape (n,)
            Measured on small pictures, copies of x counted once.
        """
        distinct = self._all_small[self.pictures]
        square, _ = nearest_rows(self._small_rows(images), distinct, neighbours)
        apart = np.sqrt(np.maximum(square, 0))
        return np.asarray(apart[:, 0] / np.maximum(alpha * apart.mean(axis=1), 1e-12), np.float64)

    def within(self, image: NDArray[np.uint8], max_l2: float) -> int:
        """How many training images lie within a distance of an image, measured on small pictures."""
        gap = self._all_small.astype(np.float32) - self._small_rows(image[None])
        return int((np.sqrt(np.square(gap).mean(axis=1)) / 255 <= max_l2).sum())

    @cached_property
    def _all_small(self) -> NDArray[np.uint8]:
        return self.small.reshape(len(self.small), -1)

    def _small_rows(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        size = self.small.shape[1:3]
        small = np.stack([fitted_pixels(each, size) for each in images])
        return small.reshape(len(images), -1).astype(np.float32)

    def _described(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        from dedupkit.fingerprints.descriptors import open_describer
        from dedupkit.fingerprints.descriptors.base import squeezed

        describer = open_describer(self.journey.recipe.descriptor)
        return describer.describe(np.stack([squeezed(each, describer.side) for each in images]))

    def _cosine(self, described: NDArray[np.float32] | None, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        if described is None or self.descriptors is None:
            return np.full(len(rows), np.nan, np.float32)
        theirs = self.descriptors[rows].astype(np.float32)
        return np.asarray(np.einsum("ij,ij->i", described, theirs), np.float32)


_NO_CHECKS = Hygiene(
    min_side=0, max_aspect=1e9, min_contrast=0, min_brightest=0, max_darkest=255, max_blur=1.0, animated="keep"
)
"""The model saw what it saw."""


def _first_of_each(positions: NDArray[np.uint64], pairs: pa.Table) -> NDArray[np.int64]:
    """For each sample the first row that pairs connect it with."""
    a, b = (np.searchsorted(positions, pairs[name].to_numpy()) for name in ("a", "b"))
    return components(len(positions), a, b)


def _matrix(column: pa.ChunkedArray) -> NDArray[np.float16] | None:
    if column.null_count == len(column):
        return None
    rows = column.combine_chunks()
    there = np.flatnonzero(rows.is_valid().to_numpy(zero_copy_only=False))
    values = np.asarray(rows.drop_null().flatten().to_numpy(zero_copy_only=False)).reshape(len(there), -1)
    found = np.zeros((len(rows), values.shape[1]), np.float16)  # what has no descriptor is near to nothing
    found[there] = values
    return found


def _small_pictures(
    journey: Journey, size: tuple[int, int], reports: Sequence[dict[str, Any]]
) -> list[NDArray[np.uint8] | None]:
    scale = min(1.0, SMALL / max(size))
    small = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    stage = journey.tables.stage("small_pictures")
    choices = {"stage": STAGE, "size": digest([size, small])}
    parts = [
        Part(table_name(number), choices | {"fingerprints": report["sha256"]}, shard, shard.byte_size, shard)
        for number, (shard, report) in enumerate(zip(journey.shards, reports, strict=True))
    ]
    make = partial(_write_small, source=journey.source, size=size, small=small, limits=journey.recipe.limits)
    make_parts("pictures", stage, parts, make, journey.engine, journey.observe)
    found: list[NDArray[np.uint8] | None] = []
    for part in parts:
        for data in read_table(stage, part.name)["pixels"].to_pylist():
            found.append(None if data is None else np.frombuffer(data, np.uint8).reshape(*small, 3))
    return found


def _write_small(
    shard: Shard, handle: IO[bytes], *, source: Source, size: tuple[int, int], small: tuple[int, int], limits: Any
) -> dict[str, Any]:
    """Small pictures of one shard: as the model sees them, and then made small."""
    rows: list[bytes | None] = []
    for sample in source.read(shard):
        try:
            rows.append(fitted_pixels(fitted(sample.image or b"", size, limits), small).tobytes())
        except RunError:  # fingerprints say why
            rows.append(None)
    return write_table(pa.table({"pixels": pa.array(rows, pa.binary())}), handle)
