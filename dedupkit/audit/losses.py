"""The loss of each sample, measured so that it can be compared: the questions that Yeom's attack and LiRA share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.audit.diffusion import denoising_errors, within
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.audit.model import Denoiser
    from dedupkit.audit.samples import Samples

_LEAST = 1e-14  # square of what float32 rounds a prediction of unit size by: no error below that tells anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """At which timesteps, how often and from which side a sample's loss is measured.

    Parameters
    ----------
    window : tuple of float
        Between which timesteps, in shares of the schedule; [50, 300] of 1,000 in arXiv 2301.13188.
    timesteps : int
        How many, spread evenly over it.
    draws : int
        Draws of noise at each, whose errors are averaged; the same for all samples and models.
    flips : bool
        Whether the mirrored picture is asked about too.  Leave it off where training did not mirror pictures: there
        it asks about a picture that was never in the set.
    seed : int
        Of the noise.
    batch : int
        Samples predicted at once.

    Raises
    ------
    UsageError
        If one of them is out of range.
    """

    window: tuple[float, float] = (0.05, 0.3)
    timesteps: int = 5
    draws: int = 4
    flips: bool = True
    seed: int = 0
    batch: int = 64

    def __post_init__(self) -> None:
        low, high = self.window
        if not 0 <= low <= high <= 1:
            raise UsageError(f"window must be two shares of the schedule, 0 <= low <= high <= 1, got {self.window}")
        for name in ("timesteps", "draws", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be 1 or more, got {getattr(self, name)}")

    def visited(self, model: Denoiser) -> list[int]:
        """The timesteps."""
        return within(model, *self.window, self.timesteps)

    def calls(self, model: Denoiser) -> int:
        """Times that the model is asked for each sample."""
        return len(self.visited(model)) * self.draws * (1 + self.flips)

    def losses(self, model: Denoiser, samples: Samples) -> NDArray[np.float64]:
        """Logarithm of the mean error of each sample, for each timestep and side.

        An error is a mean of squares: positive, skewed to the right, and of another size at each timestep.  Its
        logarithm is nearly Gaussian, which LiRA presumes, and differences of it mean the same at every timestep, so
        that none drowns the others in an average.

        Parameters
        ----------
        model : Denoiser
        samples : Samples

        Returns
        -------
        ndarray of float64, shape (n, queries)
            `queries` is the number of timesteps, or twice that with mirrored pictures; lower speaks for a member.

        Raises
        ------
        UsageError
            If the pictures are not of the model's size.
        """
        samples.check_size(model)
        sides = [samples, samples.flipped()] if self.flips else [samples]
        errors = [
            denoising_errors(
                model,
                side.encoded(model, self.batch),
                side.prompts,
                timesteps=self.visited(model),
                draws=self.draws,
                seed=self.seed,
                batch=self.batch,
            ).mean(axis=2)
            for side in sides
        ]
        found: NDArray[np.float64] = np.log(np.maximum(np.concatenate(errors, axis=1), _LEAST))
        return found
