"""SecMI and PIA against their formulas, by hand for the best denoiser of a Gaussian: a multiple of its input."""

from __future__ import annotations

import numpy as np
import pytest

from dedupkit.audit.query_cheap import PIA, SecMI
from dedupkit.errors import UsageError
from tests.audit_models import FreshModel, LookupModel

BETAS = np.linspace(1e-4, 0.02, 1000)
SIGNAL = np.sqrt(np.cumprod(1 - BETAS))
LEVEL = np.sqrt(1 - SIGNAL**2)


def noise_seen(timestep: int, deviation: float) -> float:
    """Mean of the noise given x_t = 1: the regression of e on s x + l e, both Gaussian."""
    return float(LEVEL[timestep] / (SIGNAL[timestep] ** 2 * deviation**2 + LEVEL[timestep] ** 2))


def led(at: int, to: int, deviation: float) -> float:
    """What a deterministic step of DDIM (eq. 12 of arXiv 2010.02502 with sigma 0) multiplies x_t by."""
    noise = noise_seen(at, deviation)
    return float(SIGNAL[to] * (1 - LEVEL[at] * noise) / SIGNAL[at] + LEVEL[to] * noise)


def test_secmi_is_its_formula_at_the_official_timesteps() -> None:
    model = FreshModel(size=8)
    clean = model.encode(model.images(7, seed=1))
    there = np.prod([led(at, at + 10, 0.3) for at in range(0, 90, 10)])
    back = there * led(90, 100, 0.3) * led(100, 90, 0.3)
    expected = (there - back) ** 2 * np.square(clean).mean(axis=(1, 2, 3))
    found = SecMI().errors(model, clean, [None] * 7, batch=3)
    assert found == pytest.approx(expected, rel=2e-3)  # float32 in between
    assert SecMI().timesteps(model) == list(range(0, 101, 10))


@pytest.mark.parametrize("normalised", [False, True])
def test_pia_is_its_formula(normalised: bool) -> None:
    model = FreshModel(size=8)
    clean = model.encode(model.images(7, seed=1))
    first = noise_seen(0, 0.3) * clean.astype(np.float64)
    if normalised:  # mean absolute value of a unit Gaussian is the square root of 2 / pi
        first *= np.sqrt(2 / np.pi) / np.abs(first).mean(axis=(1, 2, 3), keepdims=True)
    second = noise_seen(200, 0.3) * (SIGNAL[200] * clean + LEVEL[200] * first)
    expected = (np.abs(first - second) ** 4).mean(axis=(1, 2, 3))
    assert PIA(normalised=normalised).errors(model, clean, [None] * 7, batch=3) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("attack", [SecMI(), PIA(), PIA(normalised=True)])
def test_it_asks_as_often_as_it_says(attack: SecMI | PIA) -> None:
    asked = []

    class Counting(FreshModel):
        def predict(self, noisy, timesteps, captions):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            asked.append(list(captions))
            return super().predict(noisy, timesteps, captions)

    model = Counting(size=4)
    attack.errors(model, model.encode(model.images(5, 0)), list("abcde"), batch=2)
    assert len(asked) == 3 * attack.calls(model)
    assert asked.count(["e"]) == attack.calls(model)


@pytest.mark.parametrize("attack", [SecMI(), PIA(), PIA(normalised=True)])
def test_a_lookup_table_gives_its_images_away(attack: SecMI | PIA) -> None:
    images = FreshModel().images(80, seed=3)
    model = LookupModel(images[:40])
    errors = attack.errors(model, model.encode(images), [None] * 80)
    assert errors[:40].max() < errors[40:].min()


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UsageError, match=r"stride < end < 1, got 0.2 and 0.1; 0.01"):
        SecMI(stride=0.2)
    with pytest.raises(UsageError, match=r"share in \(0, 1\), got 1.0; 0.2 is usual"):
        PIA(at=1.0)
    with pytest.raises(UsageError, match=r"power must be above 0, got 0; 4 is"):
        PIA(power=0)
