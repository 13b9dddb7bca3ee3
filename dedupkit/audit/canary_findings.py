"""All that the planted canaries say of a model: their losses, what those bound, and whether they come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.canary_exposure import exposure
from dedupkit.audit.canary_loss import canary_losses
from dedupkit.audit.canary_search import found_among
from dedupkit.audit.epsilon import epsilon_lower_bound
from dedupkit.audit.model import Denoiser, Generator, can

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from dedupkit.audit.album import Album
    from dedupkit.audit.canary_exposure import Exposure
    from dedupkit.audit.canary_search import Found
    from dedupkit.audit.epsilon import EpsilonBound
    from dedupkit.canaries.manifest import Manifest


@dataclass(frozen=True)
class CanaryFindings:
    """What canaries say.

    Attributes
    ----------
    exposure : Exposure or None
        Of their losses; None of a model that gives none.
    epsilon : EpsilonBound or None
        What those bound.
    search : Found or None
        Whether they come out among generated images; None where nothing was drawn.
    """

    exposure: Exposure | None
    epsilon: EpsilonBound | None
    search: Found | None

    @property
    def answer(self) -> str:
        """What the losses say, and what came out."""
        return " ".join(part.answer for part in (self.exposure, self.search) if part is not None)

    @property
    def limits(self) -> tuple[str, ...]:
        """What this does not show."""
        parts = (self.exposure, self.search, self.epsilon)
        said = tuple(limit for part in parts if part is not None for limit in part.limits)
        return tuple(dict.fromkeys(said))

    def to_json(self, *, canaries: bool = False) -> dict[str, Any]:
        """All of it; with `canaries` a line for each of them."""
        return {
            "answer": self.answer,
            "limits": list(self.limits),
            "exposure": None if self.exposure is None else self.exposure.to_json(canaries=canaries),
            "epsilon": None if self.epsilon is None else self.epsilon.to_json(),
            "search": None if self.search is None else self.search.to_json(canaries=canaries),
        }


def ask_about_canaries(album: Album, manifest: Manifest, *, images: int, seed: int = 0) -> CanaryFindings:
    """Ask a model about its canaries.

    Parameters
    ----------
    album : Album
        The model, and what it may draw.
    manifest : Manifest
        The canaries.
    images : int
        Images drawn of each canary's caption, planted or not; 0 draws none.
    seed : int
        Of noise and drawing.
    """
    model: Any = album.model
    losses = canary_losses(model, manifest, seed=seed) if can(model, Denoiser) else None
    drawn = list(_drawn(album, manifest, images, seed)) if images and can(model, Generator) else []
    return CanaryFindings(
        exposure=None if losses is None else exposure(losses, manifest, seed=seed),
        epsilon=None if losses is None else epsilon_lower_bound(losses, manifest, seed=seed),
        search=found_among(drawn, manifest, seed=seed) if drawn else None,
    )


def look_for_canaries(drawn: Iterable[NDArray[np.uint8]], manifest: Manifest, *, seed: int = 0) -> CanaryFindings:
    """Look for canaries among images that were drawn elsewhere, some at a time, all of one size."""
    return CanaryFindings(None, None, found_among(drawn, manifest, seed=seed))


def _drawn(album: Album, manifest: Manifest, images: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    takes = bool(getattr(album.model, "takes_captions", True))
    # the order is drawn too, so that a budget which ends does not end among controls
    order = np.random.default_rng([seed, 5]).permutation(len(manifest.canaries)).tolist()
    captions = [manifest.canaries[number].caption if takes else None for number in order for _ in range(images)]
    seeds = np.random.default_rng([seed, 6]).integers(0, 1 << 62, len(captions)).tolist()
    return album.parts("canaries", captions, seeds)
