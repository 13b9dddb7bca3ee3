"""Which captions a model has an image ready for, told from its first prediction (Wen et al. 2024, arXiv 2407.21720)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dedupkit.audit.diffusion import shared_noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dedupkit.audit.model import Denoiser

_BATCH = 32


def text_noise_norms(model: Denoiser, captions: Sequence[str], *, draws: int = 4, seed: int = 0) -> NDArray[np.float64]:
    """How far a caption moves what a model sees in pure noise.

    The norm of the difference of two predictions at the noisiest timestep, with the caption and without one, averaged
    over draws of noise.  A caption whose image is memorised pulls from the first step on; `draws` * 2 model calls a
    caption, where drawing an image takes some hundred.

    Parameters
    ----------
    model : Denoiser
        The model.
    captions : sequence of str
        What is asked.
    draws : int
        Draws of noise, the same for all captions.
    seed : int
        Of the noise.

    Returns
    -------
    ndarray of float64, shape (n,)
        Per value of the model's space, so that sizes compare.
    """
    blank = model.encode(np.zeros((1, *model.image_size, 3), np.uint8))
    last = model.timesteps - 1
    norms = np.zeros(len(captions))
    for draw in range(draws):
        noise = shared_noise(blank.shape[1:], seed, last, draw)
        for start in range(0, len(captions), _BATCH):
            asked = captions[start : start + _BATCH]
            noisy, at = np.repeat(noise[None], len(asked), 0), np.full(len(asked), last, np.int64)
            moved = model.predict(noisy, at, asked).noise - model.predict(noisy, at, [None] * len(asked)).noise
            norms[start : start + len(asked)] += np.sqrt(np.square(moved, dtype=np.float64).mean(axis=(1, 2, 3)))
    return norms / draws
