"""Exposure: how far up a planted canary ranks among references that were never planted (arXiv 1802.08232)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_NODES = 64  # of Gauss and Laguerre's rule
_CANCELS = 1e-5  # below, too few digits are left of the difference that gives the mass
_LEAST_REFERENCES = 8  # of which three parameters can be fitted at all


def rank_exposure(losses: ArrayLike, references: ArrayLike) -> NDArray[np.float64]:
    """Exposure in bits by rank: ``log2(references) - log2(rank)``, as TensorFlow Privacy interpolates it.

    The rank is 1 + the references of a lower or equal loss: ties count against memorisation.  Ahead of all references
    it is log2(references), the most that so many can show; behind all, where the rank is references + 1, it is a little
    below 0.  With no memorisation it is 1 bit in the median.

    Parameters
    ----------
    losses, references : array-like of float, shape (n,) and (m,)
        A lower loss speaks for memorisation.  Finite, and m above 0.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [log2(m / (m + 1)), log2(m)].

    Raises
    ------
    UsageError
        If there are no references, or a loss is not finite.

    Examples
    --------
    >>> rank_exposure([0.5, 3.5, 9.0], [1.0, 2.0, 3.0, 4.0]).round(3).tolist()
    [2.0, 0.0, -0.322]
    """
    found, others = _checked("losses", losses), np.sort(_checked("references", references, least=1))
    rank = 1 + np.searchsorted(others, found, side="right")
    exposure: NDArray[np.float64] = np.log2(len(others)) - np.log2(rank)
    return exposure


@dataclass(frozen=True, slots=True)
class Extrapolated:
    """Exposures by a fitted distribution, and how far they reach beyond what the references show.

    Attributes
    ----------
    bits : ndarray of float64, shape (n,)
        The exposures; 0 and above.
    shown_bits : float
        log2(references): what lies above hangs on the shape of the fitted distribution alone.
    deviations : ndarray of float64, shape (n,)
        How far each loss lies below the lowest reference, in standard deviations of the references; 0 where it lies
        among them.
    """

    bits: NDArray[np.float64]
    shown_bits: float
    deviations: NDArray[np.float64]

    @property
    def beyond(self) -> NDArray[np.bool_]:
        """Which are extrapolated: above what the references show."""
        found: NDArray[np.bool_] = self.bits > self.shown_bits
        return found


def extrapolated_exposure(losses: ArrayLike, references: ArrayLike) -> Extrapolated:
    """Exposure in bits by a skew normal distribution fitted to the references: ``-log2 cdf(loss)``.

    Beyond log2(references) bits it is a guess about a tail that no reference was seen in: a fit that ends steeply gives
    hundreds of bits.  It ranks canaries that are all ahead of the references; it is no p-value.

    Parameters
    ----------
    losses, references : array-like of float, shape (n,) and (m,)
        A lower loss speaks for memorisation.  Finite; 8 references or more, not all alike.

    Returns
    -------
    Extrapolated
        Finite also where the distribution function underflows.

    Raises
    ------
    UsageError
        If there are fewer references, they are all alike, or a loss is not finite.
    """
    from scipy.stats import skewnorm

    found, others = _checked("losses", losses), _checked("references", references, least=_LEAST_REFERENCES)
    deviation = float(others.std())
    if deviation <= 1e-12 * float(np.abs(others).max()):
        raise UsageError("references must not be all alike, got one value; ask for the exposure by rank")
    centre = float(others.mean())  # fitted in units of their own, so that the scale of losses makes no difference
    shape, place, scale = skewnorm.fit((others - centre) / deviation)
    logs = _log_cdf(((found - centre) / deviation - place) / scale, float(shape))
    below = np.maximum((others.min() - found) / deviation, 0.0)
    return Extrapolated(np.maximum(-logs / np.log(2), 0.0), float(np.log2(len(others))), below)


def _log_cdf(z: NDArray[np.float64], shape: float) -> NDArray[np.float64]:
    """Logarithm of the standard skew normal distribution function, also where that underflows.

    By Owen's function; scipy's own is 0 about the middle where the shape is 10 million, which fits do give.
    """
    from scipy.special import ndtr, owens_t

    mass = np.asarray(ndtr(z) - 2 * owens_t(z, shape), np.float64)
    logs = np.log(np.clip(mass, np.finfo(float).tiny, 1.0))
    far = (z < 0) & (mass < _CANCELS)
    logs[far] = [_log_tail(float(each), shape) for each in z[far]]
    return logs


def _log_tail(z: float, shape: float) -> float:
    """Logarithm of the mass below z, far out on the left: the density there times the length over which it decays.

    ``cdf(z) = pdf(z) / s * integral of exp(-v) * g(v) dv`` with s the slope of the log density at z, and g near 1.
    Squares are taken apart before they are subtracted: z may be so large that little would be left of the difference.
    """
    from scipy.special import erfcx
    from scipy.stats import norm

    def log_rest(x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithm of the normal distribution function, without the square where x is negative."""
        rest = np.log(erfcx(-x / 2**0.5) / 2) if shape > 0 else norm.logcdf(x)
        return np.asarray(rest, np.float64)

    x = np.array([shape * z])
    mills = np.sqrt(2 / np.pi) / erfcx(-x / 2**0.5) if shape > 0 else np.exp(norm.logpdf(x) - norm.logcdf(x))
    slope = -z + shape * float(mills[0])
    squares = 1 + max(shape, 0.0) ** 2
    nodes, weights = np.polynomial.laguerre.laggauss(_NODES)
    steps = nodes / slope
    here = float(np.log(2) + norm.logpdf(0) - squares * z**2 / 2 + log_rest(x)[0])
    relative = squares * (z * steps - steps**2 / 2) + log_rest(shape * (z - steps)) - log_rest(x) + nodes
    return here - float(np.log(slope)) + float(np.log(weights @ np.exp(relative)))


def _checked(name: str, values: ArrayLike, least: int = 0) -> NDArray[np.float64]:
    found = np.asarray(values, np.float64).ravel()
    if len(found) < least:
        raise UsageError(f"{name} must be {least} or more, got {len(found)}; plant canaries with more controls")
    if not np.isfinite(found).all():
        raise UsageError(f"{name} must be finite, got {found[~np.isfinite(found)][0]}; leave such canaries out")
    return found
