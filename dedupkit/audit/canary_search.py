"""Which planted canaries come out among a model's images, and how many controls seem to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.coins import SHUFFLES, Losses, RankTest, Standing, rank_test, standing
from dedupkit.audit.distances import TILES, distances
from dedupkit.audit.images import fitted
from dedupkit.audit.statistics import CONFIDENCE, Share, holm
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from dedupkit.canaries.manifest import Manifest

MAX_L2 = 0.15  # of pixels in [0, 1]: what arXiv 2301.13188 counts as extracted
_PIXELS_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Found:
    """Which canaries come out among images.

    Attributes
    ----------
    farthest_tile, whole : ndarray of float64, shape (canaries,)
        Distance of the nearest image to each canary of the manifest, in its order, in [0, 1]: in the tile that is
        farthest, and over all pixels.
    nearest : ndarray of int64, shape (canaries,)
        Number of the image that is nearest in its farthest tile.
    images : int
        How many were searched.
    losses : Losses
        The distances in the farthest tile, with what the coins need to know.
    standing : Standing
        Where the planted ones stand among the controls.
    test : RankTest
        Whether the planted ones come nearer as a whole.
    max_l2 : float
        Up to where a canary counts as extracted.
    """

    farthest_tile: NDArray[np.float64] = field(repr=False)
    whole: NDArray[np.float64] = field(repr=False)
    nearest: NDArray[np.int64] = field(repr=False)
    images: int
    losses: Losses = field(repr=False)
    standing: Standing = field(repr=False)
    test: RankTest
    max_l2: float

    @property
    def near(self) -> NDArray[np.bool_]:
        """Which canaries have an image within `max_l2` in every tile, in the manifest's order."""
        found: NDArray[np.bool_] = self.farthest_tile <= self.max_l2
        return found

    @property
    def extracted(self) -> Share:
        """The planted canaries that have an image within `max_l2`."""
        return Share(int((self.near & self.losses.planted).sum()), int(self.losses.planted.sum()))

    @property
    def false_hits(self) -> Share:
        """The controls that have an image within `max_l2`, though no model can know them."""
        return Share(int((self.near & ~self.losses.planted).sum()), int((~self.losses.planted).sum()))

    @property
    def nearer_than_controls(self) -> int:
        """The planted canaries that have an image nearer than any control that they are compared with ever has."""
        return int((self.standing.ranks == 1).sum())

    def by_repetitions(self) -> dict[int, Share]:
        """The share that is extracted, by how often they stand."""
        planted = self.losses.planted
        times = {int(each): planted & (self.losses.repetitions == each) for each in self.losses.repetitions[planted]}
        return {each: Share(int((self.near & who).sum()), int(who.sum())) for each, who in sorted(times.items())}

    @property
    def answer(self) -> str:
        """How many come out, and by how many that would be so without any memory."""
        low, high = self.extracted.interval
        hits = self.false_hits
        said = (
            f"{self.extracted.successes} of {self.extracted.trials} planted canaries come out among {self.images:,} "
            f"images (l2 {self.max_l2:g} or less in every tile; {100 * low:.0f} to {100 * high:.0f} %), against "
            f"{hits.successes} of {hits.trials} controls; {self.nearer_than_controls} are nearer to an image than any "
            f"control (p = {self.test.p_value:.2g} for all together)"
        )
        if self.test.p_value > 1 - CONFIDENCE:
            return f"{said}: by this nothing planted is told from what the model never saw."
        return f"{said}: the model gives planted pictures away."

    @property
    def limits(self) -> tuple[str, ...]:
        """What this does not show."""
        _, high = self.extracted.interval
        least = 1 / (1 + int(self.standing.references.max()))
        said = [
            f"{self.images:,} images were searched; with more, or with other captions, more may come out.",
            f"Of such canaries up to {100 * high:.0f} % may come out by as many images, with 95 % confidence.",
            f"The least p-value of one canary is {least:.2g}, with {self.false_hits.trials} controls.",
            "It holds if captions of planted canaries and of controls were asked for equally often.",
            "A canary that comes out mirrored, shifted or recoloured is not found.",
        ]
        if self.false_hits.successes:
            said.append(
                f"{self.false_hits.successes} controls are within l2 {self.max_l2:g} too, so that limit is too loose "
                "for such pictures; go by those that are nearer than any control."
            )
        return tuple(said)

    def to_json(self, *, canaries: bool = False) -> dict[str, Any]:
        """All of it in plain types.

        Parameters
        ----------
        canaries : bool
            Also distances, nearest image and p-value of each planted canary, in the manifest's order.
        """
        found: dict[str, Any] = {
            "answer": self.answer,
            "limits": list(self.limits),
            "images": self.images,
            "max_l2": self.max_l2,
            "extracted": self.extracted.to_json(),
            "controls": self.false_hits.to_json(),
            "nearer_than_controls": self.nearer_than_controls,
            "p_value": self.test.p_value,
            "by_repetitions": {str(times): share.to_json() for times, share in self.by_repetitions().items()},
        }
        return found | ({"canaries": self._rows()} if canaries else {})

    def _rows(self) -> list[dict[str, Any]]:
        planted = self.losses.planted
        columns = {
            "farthest_tile_l2": self.farthest_tile[planted],
            "l2": self.whole[planted],
            "image": self.nearest[planted],
            "p_value": self.standing.p_values,
            "holm": holm(self.standing.p_values),
        }
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]


def found_among(
    generations: NDArray[np.uint8] | Iterable[NDArray[np.uint8]],
    manifest: Manifest,
    *,
    max_l2: float = MAX_L2,
    tiles: int = TILES,
    shuffles: int = SHUFFLES,
    seed: int = 0,
) -> Found:
    """Search images that a model drew for canaries.

    A planted canary counts as extracted if some image is within `max_l2` in every tile, as in arXiv 2301.13188; the
    controls say how often that happens by itself.  Where flat pictures make that limit too loose, count those that are
    nearer to some image than any control ever is.

    Parameters
    ----------
    generations : ndarray of uint8, shape (n, height, width, 3), RGB, or iterable of such
        The images, all of one size; canaries are fitted to it.  Ask for planted canaries and controls alike.
    manifest : Manifest
        The canaries.
    max_l2 : float
        Root of the mean squared difference of pixels in [0, 1], in (0, 1].
    tiles : int
        Tiles a side.
    shuffles, seed : int
        Of the test.

    Returns
    -------
    Found

    Raises
    ------
    UsageError
        If there are no images, they are not of one size, or there are no planted canaries or no controls.

    Notes
    -----
    Takes images * canaries * pixels operations: for 10,000 images of 64 by 64 pixels and 128 canaries about a second.
    """
    if not 0 < max_l2 <= 1:
        raise UsageError(f"max_l2 must be in (0, 1], got {max_l2}; 0.15 is usual")
    canaries, count = np.empty((0, 0, 0, 3), np.uint8), 0
    best = np.full((2, len(manifest.canaries)), np.inf)
    nearest = np.full(len(manifest.canaries), -1, np.int64)
    for images in _batches(generations):
        if not count:
            canaries = np.stack([fitted(each.data, (images.shape[1], images.shape[2])) for each in manifest.canaries])
        whole, farthest = distances(images, canaries, tiles)
        closer = farthest.min(axis=0) < best[0]
        nearest[closer] = count + farthest.argmin(axis=0)[closer]
        best = np.minimum(best, [farthest.min(axis=0), whole.min(axis=0)])
        count += len(images)
    if not count:
        raise UsageError("generations must hold some images, got none; draw some first")
    losses = Losses.of(best[0], manifest)
    test = rank_test(losses, losses.planted, level=1 - CONFIDENCE, shuffles=shuffles, seed=seed)
    return Found(best[0], best[1], nearest, count, losses, standing(losses), test, max_l2)


def _batches(generations: NDArray[np.uint8] | Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Images in batches small enough to compare."""
    for images in [generations] if isinstance(generations, np.ndarray) else generations:
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise UsageError(
                f"generations must be uint8 of shape (n, height, width, 3), got {images.dtype} of {images.shape}; "
                "convert them to RGB"
            )
        step = max(1, _PIXELS_AT_ONCE // max(1, images[:1].size))
        yield from (images[start : start + step] for start in range(0, len(images), step))
