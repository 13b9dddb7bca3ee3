"""One loss for each canary: how well a model takes noise off it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dedupkit.audit.diffusion import denoising_errors, within
from dedupkit.audit.images import fitted
from dedupkit.audit.model import Denoiser, require
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dedupkit.canaries.manifest import Canary, Manifest

WINDOW = (0.05, 0.3)  # of all timesteps: 50 to 300 of 1000, where arXiv 2301.13188 finds members told best
_BATCH = 64


def canary_losses(
    model: Denoiser,
    manifest: Manifest,
    *,
    window: tuple[float, float] = WINDOW,
    timesteps: int = 6,
    draws: int = 4,
    less_unconditional: bool = False,
    seed: int = 0,
    batch: int = _BATCH,
) -> NDArray[np.float64]:
    """Ask a model for its error on each canary, planted or not, with the canary's caption.

    Parameters
    ----------
    model : Denoiser
        The model.
    manifest : Manifest
        The canaries; their images are fitted to the model's size as training does it.
    window : tuple of float
        Lowest and highest timestep, as shares of all, in [0, 1].
    timesteps : int
        How many of it, spread evenly.
    draws : int
        Draws of noise at each, the same for all canaries.
    less_unconditional : bool
        Take off the error without the caption: what is left tells of image and caption together.
    seed : int
        Of the noise.
    batch : int
        Images in the model at once.

    Returns
    -------
    ndarray of float64, shape (n,)
        Mean squared error over timesteps and draws, in the manifest's order; a lower one speaks for memorisation.

    Raises
    ------
    UsageError
        If the model is no `Denoiser`, the window is none, or canaries have no captions whose effect could be told.

    Notes
    -----
    Asks the model n * timesteps * draws times, twice as often with `less_unconditional`.
    """
    require(model, "canary exposure", Denoiser)
    low, high = window
    if not 0 <= low <= high <= 1 or timesteps < 1 or draws < 1:
        raise UsageError(
            f"window must be two shares in [0, 1], ascending, with 1 timestep and draw or more, got {window}, "
            f"{timesteps} and {draws}; (0.05, 0.3), 6 and 4 are usual"
        )
    if less_unconditional and any(each.caption is None for each in manifest.canaries):
        raise UsageError("canaries without captions have no error with a caption; leave less_unconditional out")
    at = within(model, low, high, timesteps)
    parts = [manifest.canaries[start : start + batch] for start in range(0, len(manifest.canaries), batch)]
    losses = [_errors(model, part, at, draws, seed, less_unconditional) for part in parts]
    return np.concatenate(losses) if losses else np.empty(0)


def _errors(
    model: Denoiser, canaries: Sequence[Canary], at: list[int], draws: int, seed: int, less_unconditional: bool
) -> NDArray[np.float64]:
    clean = model.encode(np.stack([fitted(each.data, model.image_size) for each in canaries]))

    def mean_error(captions: list[str | None]) -> NDArray[np.float64]:
        errors = denoising_errors(model, clean, captions, timesteps=at, draws=draws, seed=seed, batch=len(clean))
        found: NDArray[np.float64] = errors.mean(axis=(1, 2))
        return found

    told = mean_error([each.caption for each in canaries])
    return told - mean_error([None] * len(canaries)) if less_unconditional else told
