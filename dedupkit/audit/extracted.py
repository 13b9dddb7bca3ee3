"""What extraction found, in pictures, counts and words."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.statistics import Share, percent

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EIDETIC = (1, 10, 100)


@dataclass(frozen=True, slots=True)
class Extracted:
    """A generated image and the training image that it is.

    Attributes
    ----------
    row : int
        Of the training image in its set.
    key, caption : str
        Of the training image.
    repetitions : int
        How often its picture stands in the set.
    l2, tiled_l2 : float
        Distance, in [0, 1]; see `dedupkit.audit.distances`.
    cosine : float or None
        Of the copy descriptors.
    relative : float or None
        Distance against that to the neighbourhood; where no caption was asked.
    within : int
        Training images that near to it, itself and its copies included: k of (k, l, delta)-eidetic memorisation.
    generated, trained : ndarray of uint8, shape (height, width, 3), RGB
        Both images.
    """

    row: int
    key: str
    caption: str | None
    repetitions: int
    l2: float
    tiled_l2: float
    cosine: float | None
    relative: float | None
    within: int
    generated: NDArray[np.uint8] = field(repr=False)
    trained: NDArray[np.uint8] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """All but the pictures."""
        return {name: getattr(self, name) for name in self.__slots__ if name not in ("generated", "trained")}


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of one caption.

    Attributes
    ----------
    key : str
        Of the training image that it belongs to.
    repetitions : int
        How often that image's picture stands in the set.
    extracted : bool
        Whether that image came out.
    others : int
        Other training images that came out.
    clique : int
        How many of the images drawn are near to one another; 0 where they are fewer than memorisation shows in.
    clique_distance : float
        Their mean distance.
    confirmed : bool
        Whether such a clique is a training image: without the set, it alone would have told.
    """

    key: str
    repetitions: int
    extracted: bool
    others: int
    clique: int
    clique_distance: float
    confirmed: bool

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True)
class Extraction:
    """Training images that came out of a model.

    Attributes
    ----------
    kind : "conditional" or "unconditional"
        Whether captions were asked.
    generations : int
        Images drawn.
    asked : tuple of Asked
        One a caption.
    pairs : tuple of Extracted
        One for each training picture that came out.
    repetitions : ndarray of int64, shape (pictures,)
        How often each picture of the training set stands in it.
    max_l2 : float
        Largest distance of a copy.
    false_matches : Share or None
        Images that the model never saw, and which came out all the same.
    not_asked : int
        Captions that the budget left out.
    """

    kind: str
    generations: int
    asked: tuple[Asked, ...]
    pairs: tuple[Extracted, ...]
    repetitions: NDArray[np.int64] = field(repr=False)
    max_l2: float
    false_matches: Share | None = None
    not_asked: int = 0

    name = "extraction"

    @cached_property
    def share(self) -> Share:
        """Of the captions asked, those whose image came out; without captions, of all pictures of the set."""
        if self.kind == "conditional":
            return Share(sum(each.extracted for each in self.asked), len(self.asked))
        return Share(len(self.pairs), len(self.repetitions))

    @cached_property
    def by_repetitions(self) -> list[tuple[int, int, Share]]:
        """The same for pictures that stand from so often to so often: 1, 2 to 3, 4 to 7, 8 to 15 and so on."""
        if self.kind == "conditional":
            tried = np.array([each.repetitions for each in self.asked], np.int64)
            came = np.array([each.repetitions for each in self.asked if each.extracted], np.int64)
        else:
            tried, came = self.repetitions, np.array([each.repetitions for each in self.pairs], np.int64)
        found = []
        for power in range(int(tried.max()).bit_length() if len(tried) else 0):
            low, high = 1 << power, (2 << power) - 1
            trials, successes = (int(((each >= low) & (each <= high)).sum()) for each in (tried, came))
            if trials:
                found.append((low, high, Share(successes, trials)))
        return found

    @cached_property
    def eidetic(self) -> dict[int, int]:
        """For k of 1, 10 and 100 how many extracted images have at most k training images as near."""
        return {k: sum(pair.within <= k for pair in self.pairs) for k in _EIDETIC}

    @property
    def answer(self) -> str:
        """One sentence that says it."""
        low, high = self.share.interval
        if self.kind == "conditional":
            told = f"{self.share.successes} of {self.share.trials} captions gave their training image back"
        else:
            told = f"{self.share.successes} of {self.share.trials} training pictures came out"
        interval = f"{percent(self.share.value)} %, 95 % interval {percent(low)} to {percent(high)} %"
        return f"{told}, among {self.generations:,} images drawn ({interval}{self._spread()})."

    def _spread(self) -> str:
        """How it depends on repetition, where it can be told."""
        rows = self.by_repetitions
        if len(rows) < 2:
            return ""
        (_, _, once), (often, _, most) = rows[0], rows[-1]
        what = "once" if rows[0][:2] == (1, 1) else f"{rows[0][0]} to {rows[0][1]} times"
        return (
            f"; of those that stand {often} times or more {most.successes} of {most.trials}, "
            f"of those that stand {what} {once.successes} of {once.trials}"
        )

    @property
    def limits(self) -> tuple[str, ...]:
        """What this does not show."""
        found = [
            f"A copy is an image within {self.max_l2:g} of a training image pixel by pixel; a person, logo or scene "
            "that comes out in another pose, crop or colour does not count here."
        ]
        if self.kind == "conditional":
            captions = max(1, len(self.asked))
            high = Share(0, captions).interval[1]
            found.append(
                f"{len(self.asked)} captions were asked, {self.generations // captions} images each; had none given "
                f"its image back, up to {percent(high)} % of such captions still might, and more with more images."
            )
        else:
            found.append(
                f"{self.generations:,} images were drawn; what comes out less often than once in "
                f"{max(1, self.generations // 3):,} images would most likely not have been seen."
            )
        if self.not_asked:
            found.append(f"The budget ended before {self.not_asked} captions were asked.")
        if self.false_matches is None:
            found.append(
                "No images that the model never saw were given, so how often chance comes this near is not known."
            )
        else:
            low, high = self.false_matches.interval
            found.append(
                f"Of {self.false_matches.trials} images that the model never saw {self.false_matches.successes} came "
                f"out as near: chance does so for {percent(low)} to {percent(high)} % of images."
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """All of it but the pictures."""
        cliques = [each for each in self.asked if each.clique]
        return {
            "kind": self.kind,
            "answer": self.answer,
            "limits": list(self.limits),
            "generations": self.generations,
            "max_l2": self.max_l2,
            "extracted": self.share.to_json(),
            "by_repetitions": [
                {"from": low, "to": high, **share.to_json()} for low, high, share in self.by_repetitions
            ],
            "eidetic": {str(k): count for k, count in self.eidetic.items()},
            "cliques": {"found": len(cliques), "confirmed": sum(each.confirmed for each in cliques)},
            "false_matches": None if self.false_matches is None else self.false_matches.to_json(),
            "not_asked": self.not_asked,
            "pairs": [pair.to_json() for pair in self.pairs],
            "captions": [each.to_json() for each in self.asked],
        }
