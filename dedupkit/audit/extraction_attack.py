"""Extraction: does the model give training images back when it is asked for them, or for nothing in particular?

After Carlini et al. 2023 (arXiv 2301.13188, sections 4.2 and 5.1), by the owner of the model, who has the training set
and so needs no guess about what is a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.audit.cliques import largest_clique
from dedupkit.audit.distances import distances, l2, nearest_rows, tiled_l2
from dedupkit.audit.extracted import Asked, Extracted, Extraction
from dedupkit.audit.images import at_size, fitted_pixels
from dedupkit.audit.model import Denoiser, Generator, require
from dedupkit.audit.screening import text_noise_norms
from dedupkit.audit.statistics import Share
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from dedupkit.audit.album import Album
    from dedupkit.audit.training_set import Nearest, TrainingSet

_PAPER_CLIQUE, _PAPER_IMAGES = 10, 500  # a clique of 10 among 500 images of a caption, section 4.2.1
_LEAST_CLIQUE = 3
_NEAR = 5  # by small pictures, are compared at full size
_SCREENED = 4  # captions screened for each that is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionOptions:
    """What is asked of the model, and what counts as a training image.

    Parameters
    ----------
    kind : "auto", "conditional" or "unconditional"
        Whether captions are asked; "auto" asks them where the set has captions and the model takes them.
    captions : int
        Captions asked: those whose image stands most often in the set, and of the others those that screening names.
    images : int
        Images drawn of each caption.
    generations : int
        Images drawn where no captions are asked.
    max_l2 : float
        Largest distance of a copy, in (0, 1]; the paper's is 0.15.
    alpha, neighbours, max_relative : float, int, float
        Where no captions are asked a copy is also nearer than `max_relative` times `alpha` times the mean distance to
        the nearest `neighbours` training pictures; the paper's are 0.5, 50 and 1.
    seed : int
        Of what is drawn.
    """

    kind: str = "auto"
    captions: int = 50
    images: int = 16
    generations: int = 1024
    max_l2: float = 0.15
    alpha: float = 0.5
    neighbours: int = 50
    max_relative: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("auto", "conditional", "unconditional"):
            raise UsageError(f"kind must be auto, conditional or unconditional, got {self.kind!r}")
        if not 0 < self.max_l2 <= 1:
            raise UsageError(f"max_l2 must be in (0, 1], got {self.max_l2}")
        for name in ("captions", "images", "generations", "neighbours"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be 1 or more, got {getattr(self, name)}")

    @property
    def min_clique(self) -> int:
        """Images of one caption that have to be near to one another: 10 of 500 as in the paper, at least 3."""
        return max(_LEAST_CLIQUE, round(self.images * _PAPER_CLIQUE / _PAPER_IMAGES))


def extraction(
    album: Album,
    training: TrainingSet,
    options: ExtractionOptions | None = None,
    *,
    controls: NDArray[np.uint8] | None = None,
) -> Extraction:
    """Ask a model for its training images.

    Parameters
    ----------
    album : Album
        The model, what it may draw, and what it has drawn before.
    training : TrainingSet
        What it was trained on.
    options : ExtractionOptions, optional
        What is asked.
    controls : ndarray of uint8, shape (n, *training.size, 3), optional
        Images like the training images that the model never saw: how often those come out is what chance does.

    Raises
    ------
    UsageError
        If the model cannot draw, or captions are to be asked and there are none.
    """
    options = options or ExtractionOptions()
    require(album.model, "extraction", Generator)
    if _is_conditional(album, training, options):
        return _conditional(album, training, options, controls)
    return _unconditional(album, training, options, controls)


def judge_generations(
    drawn: Iterable[NDArray[np.uint8]],
    training: TrainingSet,
    options: ExtractionOptions | None = None,
    *,
    controls: NDArray[np.uint8] | None = None,
) -> Extraction:
    """Look for training images among images that a model drew, now or elsewhere.

    Parameters
    ----------
    drawn : iterable of ndarray of uint8, shape (n, height, width, 3), RGB
        What it drew, some hundred at a time.
    training, options, controls
        As for `extraction`.
    """
    options = options or ExtractionOptions()
    best: dict[int, Extracted] = {}
    count, null = 0, _Null(controls, training, options, l2)
    for images in (at_size(part, training.size) for part in drawn):
        count += len(images)
        null.add(images)
        near = training.nearest(images)
        relative = training.relative_distances(images, options.neighbours, options.alpha)
        copies = (relative < options.max_relative) & (near.l2 <= options.max_l2)
        for hit in _best_of_each(images, near, copies, training, options, relative):
            picture = int(training.first[hit.row])
            if picture not in best or hit.l2 < best[picture].l2:
                best[picture] = hit
    return Extraction(
        kind="unconditional",
        generations=count,
        asked=(),
        pairs=tuple(sorted(best.values(), key=lambda hit: hit.l2)),
        repetitions=training.repetitions[training.pictures],
        max_l2=options.max_l2,
        false_matches=null.share,
    )


def _is_conditional(album: Album, training: TrainingSet, options: ExtractionOptions) -> bool:
    captioned = any(each for each in training.captions)
    if options.kind == "conditional" and not captioned:
        raise UsageError("captions are to be asked, and the training set has none; leave kind out")
    takes = bool(getattr(album.model, "takes_captions", True))
    return options.kind == "conditional" or (options.kind == "auto" and captioned and takes)


def _unconditional(
    album: Album, training: TrainingSet, options: ExtractionOptions, controls: NDArray[np.uint8] | None
) -> Extraction:
    seeds = np.random.default_rng([options.seed, 1]).integers(0, 1 << 62, options.generations).tolist()
    return judge_generations(album.parts("drawing", [None] * len(seeds), seeds), training, options, controls=controls)


def _conditional(
    album: Album, training: TrainingSet, options: ExtractionOptions, controls: NDArray[np.uint8] | None
) -> Extraction:
    rows = _chosen(album, training, options)
    seeds = np.random.default_rng([options.seed, 2]).integers(0, 1 << 62, len(rows) * options.images).tolist()
    captions = [str(training.captions[row]) for row in rows for _ in range(options.images)]
    asked: list[Asked] = []
    pairs: list[Extracted] = []
    null = _Null(controls, training, options, tiled_l2)
    for row, drawn in zip(rows, album.parts("drawing", captions, seeds, options.images), strict=False):
        if len(drawn) < options.images:
            break
        images = at_size(drawn, training.size)
        null.add(images)
        found, hits = _judged_caption(images, row, training, options)
        asked.append(found)
        pairs += hits
    return Extraction(
        kind="conditional",
        generations=len(asked) * options.images,
        asked=tuple(asked),
        pairs=tuple(pairs),
        repetitions=training.repetitions[training.pictures],
        max_l2=options.max_l2,
        false_matches=null.share,
        not_asked=len(rows) - len(asked),
    )


def _chosen(album: Album, training: TrainingSet, options: ExtractionOptions) -> list[int]:
    """One row a caption: half by how often its image stands in the set, half of the next ones by screening."""
    rng = np.random.default_rng([options.seed, 3])
    pictures = training.pictures
    order = np.lexsort((rng.random(len(pictures)), -training.repetitions[pictures]))
    by_caption: dict[str, int] = {}
    for row in pictures[order].tolist():
        if caption := training.captions[row]:
            by_caption.setdefault(caption, row)
    ranked = list(by_caption.values())
    model: object = album.model
    if not isinstance(model, Denoiser) or len(ranked) <= options.captions:
        return ranked[: options.captions]
    first = ranked[: options.captions - options.captions // 2]
    pool = ranked[len(first) : _SCREENED * options.captions]
    norms = text_noise_norms(model, [str(training.captions[row]) for row in pool], seed=options.seed)
    return first + [pool[each] for each in np.argsort(-norms, kind="stable")[: options.captions - len(first)]]


def _judged_caption(
    images: NDArray[np.uint8], row: int, training: TrainingSet, options: ExtractionOptions
) -> tuple[Asked, list[Extracted]]:
    """What the images of one caption say: how alike they are, and which training image they are."""
    clique = largest_clique(distances(images, images)[1], options.max_l2)
    near = training.nearest(images)
    hits = _best_of_each(images, near, near.tiled_l2 <= options.max_l2, training, options)
    alike = len(clique.members) >= options.min_clique
    confirmed = alike and bool(near.tiled_l2[list(clique.members)].min() <= options.max_l2)
    asked = Asked(
        key=training.keys[row],
        repetitions=int(training.repetitions[row]),
        extracted=any(bool(training.first[hit.row] == training.first[row]) for hit in hits),
        others=sum(bool(training.first[hit.row] != training.first[row]) for hit in hits),
        clique=len(clique.members) if alike else 0,
        clique_distance=clique.mean_distance,
        confirmed=confirmed,
    )
    return asked, hits


def _best_of_each(
    images: NDArray[np.uint8],
    near: Nearest,
    copies: NDArray[np.bool_],
    training: TrainingSet,
    options: ExtractionOptions,
    relative: NDArray[np.float64] | None = None,
) -> list[Extracted]:
    """The nearest image of each training picture that came out."""
    best: dict[int, int] = {}
    for number in np.flatnonzero(copies).tolist():
        picture = int(training.first[near.rows[number]])
        if picture not in best or near.l2[number] < near.l2[best[picture]]:
            best[picture] = number
    numbers = list(best.values())
    shown = training.images(near.rows[numbers])
    return [
        Extracted(
            row=int(near.rows[number]),
            key=training.keys[near.rows[number]],
            caption=training.captions[near.rows[number]],
            repetitions=int(training.repetitions[near.rows[number]]),
            l2=float(near.l2[number]),
            tiled_l2=float(near.tiled_l2[number]),
            cosine=None if np.isnan(near.cosine[number]) else float(near.cosine[number]),
            relative=None if relative is None else float(relative[number]),
            within=training.within(shown[place], options.max_l2),
            generated=images[number],
            trained=shown[place],
        )
        for place, number in enumerate(numbers)
    ]


class _Null:
    """How near what is drawn comes to images that the model never saw."""

    def __init__(
        self,
        controls: NDArray[np.uint8] | None,
        training: TrainingSet,
        options: ExtractionOptions,
        distance: Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float64]],
    ) -> None:
        self._distance = distance  # the one that copies are judged by
        self._controls = controls if controls is not None and len(controls) else None
        self._size, self._max_l2 = training.small.shape[1:3], options.max_l2
        self._nearest = np.full(0 if self._controls is None else len(self._controls), np.inf)

    def add(self, images: NDArray[np.uint8]) -> None:
        """Take in some of what was drawn."""
        if self._controls is None or not len(images):
            return
        drawn, theirs = (
            np.stack([fitted_pixels(each, self._size).ravel() for each in rows]) for rows in (images, self._controls)
        )
        _, near = nearest_rows(theirs.astype(np.float32), drawn, _NEAR)
        apart = [self._distance(self._controls, images[column]) for column in near.T]
        self._nearest = np.minimum(self._nearest, np.min(apart, axis=0))

    @property
    def share(self) -> Share | None:
        """Of the images that the model never saw, those that came out as near as what counts as a copy."""
        return Share(int((self._nearest <= self._max_l2).sum()), len(self._nearest)) if len(self._nearest) else None
