"""Membership inference: was a sample in the set that a model was trained on?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dedupkit.audit.dataset_inference import dataset_inference
from dedupkit.audit.lira import calibrated, likelihood_ratios, shadow_controls
from dedupkit.audit.losses import Queries
from dedupkit.audit.membership_result import Attack, Membership
from dedupkit.audit.model import Denoiser, require
from dedupkit.audit.query_cheap import PIA, SecMI
from dedupkit.audit.statistics import FALSE_POSITIVE_RATES, Curve
from dedupkit.audit.told_apart import told_apart
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.audit.dataset_inference import DatasetInference
    from dedupkit.audit.lira import Shadows
    from dedupkit.audit.samples import Samples
    from dedupkit.audit.told_apart import ToldApart

_LEAST_ERROR = 1e-300  # the logarithm of an error of 0 would be infinite
_FEW = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipOptions:
    """Which attacks are run, and how.

    Parameters
    ----------
    queries : Queries
        Of the loss threshold and LiRA.
    secmi : SecMI or None
        None leaves it out; so with the others.
    pia, pian : PIA or None
    fixed_variance : bool, optional
        LiRA with one variance for all samples; by default with fewer than 64 shadow models.
    rates : tuple of float
        False positive rates at which true positive rates are given, each in (0, 1).
    permutations : int
        Of the test whether members and controls differ by looks.
    batch : int
        Samples predicted at once by SecMI and PIA.
    seed : int
        Of that test, and of the halves of the test of the whole set.
    """

    queries: Queries = field(default_factory=Queries)
    secmi: SecMI | None = field(default_factory=SecMI)
    pia: PIA | None = field(default_factory=PIA)
    pian: PIA | None = field(default_factory=lambda: PIA(normalised=True))
    fixed_variance: bool | None = None
    rates: tuple[float, ...] = FALSE_POSITIVE_RATES
    permutations: int = 99
    batch: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for rate in self.rates:
            if not 0 < rate < 1:
                raise UsageError(f"rates must be in (0, 1), got {rate}; 0.001 and 0.01 are usual")

    def calls(self, model: Denoiser) -> int:
        """Times that the model is asked for each sample, all attacks together."""
        cheap = (each for each in (self.secmi, self.pia, self.pian) if each)
        return self.queries.calls(model) + sum(each.calls(model) for each in cheap)


def membership(
    model: Denoiser,
    members: Samples,
    controls: Samples,
    *,
    options: MembershipOptions | None = None,
    shadows: Shadows | None = None,
) -> Membership:
    """Try to tell samples that a model was trained on from others that it never saw.

    Runs the loss threshold (Yeom et al. 2018, with the window and the averages of arXiv 2301.13188), SecMI, PIA and
    PIAN, and LiRA where there are shadow models; then the test of the whole set, over the scores of all of these.

    Parameters
    ----------
    model : Denoiser
        The model.
    members, controls : Samples
        Drawn from the same source by a coin flip; members were trained on, controls not.
    options : MembershipOptions, optional
        Attacks and how they are run; by default 55 calls of the model a sample.
    shadows : Shadows, optional
        Of members and controls, in this order, with the options' queries; see `Shadows.asked`.

    Returns
    -------
    Membership

    Raises
    ------
    UsageError
        If the model cannot be asked for its noise, pictures are not of its size, or shadows are of other samples.
    """
    options = options or MembershipOptions()
    require(model, "membership inference", Denoiser)
    members.check_size(model)
    controls.check_size(model)
    losses = [options.queries.losses(model, each) for each in (members, controls)]
    attacks = (
        Attack("loss threshold", Curve(*(-each.mean(axis=1) for each in losses)), options.queries.calls(model)),
        *_cheap_attacks(model, members, controls, options),
        *_lira_attacks(losses[0], losses[1], shadows, options, options.queries.calls(model)),
    )
    return Membership(attacks, options.rates, *_of_the_sets(members, controls, attacks, options))


def _cheap_attacks(model: Denoiser, members: Samples, controls: Samples, options: MembershipOptions) -> list[Attack]:
    asked = {"SecMI": options.secmi, "PIA": options.pia, "PIAN": options.pian}

    clean = [(each.encoded(model, options.batch), each.prompts) for each in (members, controls)]

    def curve(how: SecMI | PIA) -> Curve:
        errors = (how.errors(model, *each, options.batch) for each in clean)
        return Curve(*(-np.log(np.maximum(each, _LEAST_ERROR)) for each in errors))

    return [Attack(name, curve(how), how.calls(model)) for name, how in asked.items() if how is not None]


def _lira_attacks(
    members: NDArray[np.float64],
    controls: NDArray[np.float64],
    shadows: Shadows | None,
    options: MembershipOptions,
    calls: int,
) -> list[Attack]:
    """LiRA offline, and online where every sample was in some shadow model."""
    if shadows is None:
        return []
    found = []
    for online in (True, False) if shadows.inside.any(axis=0).all() else (False,):
        scores = likelihood_ratios(
            np.concatenate([members, controls]), shadows, online=online, fixed_variance=options.fixed_variance
        )
        curve = Curve(scores[: len(members)], scores[len(members) :])
        held = shadow_controls(shadows, online=online, fixed_variance=options.fixed_variance)
        points = [calibrated(curve.members, curve.controls, held, rate) for rate in options.rates if len(held)]
        found.append(Attack(f"LiRA {'online' if online else 'offline'}", curve, calls, tuple(points)))
    return found


def _of_the_sets(
    members: Samples, controls: Samples, attacks: tuple[Attack, ...], options: MembershipOptions
) -> tuple[ToldApart | None, DatasetInference | None]:
    if min(len(members), len(controls)) < _FEW:
        return None, None
    looks = told_apart(members, controls, permutations=options.permutations, seed=options.seed)
    scores = [{each.name: getattr(each.curve, side) for each in attacks} for side in ("members", "controls")]
    return looks, dataset_inference(*scores, seed=options.seed)
