"""Noise and predictions, against diffusers' own schedulers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from dedupkit.audit.adapters.schedules import schedule_of
from dedupkit.errors import UsageError

pytestmark = [pytest.mark.extras, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]
_AT = [0, 1, 250, 999]
_RNG = np.random.default_rng(0)
_CLEAN, _NOISE, _ANSWER = (_RNG.standard_normal((4, 3, 4, 4)).astype(np.float32) for _ in range(3))


@pytest.fixture
def diffusers() -> Any:
    pytest.importorskip("diffusers")
    return import_module("diffusers")


def _tensor(values: Any) -> Any:
    import torch

    return torch.from_numpy(np.asarray(values))


@pytest.mark.parametrize("name", ["DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler"])
@pytest.mark.parametrize("betas", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_noise_is_mixed_in_as_the_scheduler_does(diffusers: Any, name: str, betas: str) -> None:
    scheduler = getattr(diffusers, name)(beta_schedule=betas, timestep_spacing="trailing")
    scheduler.set_timesteps(1000)
    theirs = scheduler.add_noise(_tensor(_CLEAN), _tensor(_NOISE), _tensor(_AT))
    schedule = schedule_of(scheduler)
    signal, level = (each[_AT][:, None, None, None] for each in (schedule.signal, schedule.level))
    np.testing.assert_allclose(signal * _CLEAN + level * _NOISE, theirs.numpy(), atol=1e-5)
    np.testing.assert_allclose(schedule.signal**2 + schedule.level**2, 1, atol=1e-12)


@pytest.mark.parametrize("name", ["DDPMScheduler", "DDIMScheduler"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_clean_image_is_the_schedulers(diffusers: Any, name: str, prediction: str) -> None:
    scheduler = getattr(diffusers, name)(prediction_type=prediction, clip_sample=False)
    scheduler.set_timesteps(1000)
    schedule = schedule_of(scheduler)
    seen = schedule.split(_CLEAN, _ANSWER, np.array(_AT))
    for row, timestep in enumerate(_AT):
        step = scheduler.step(_tensor(_ANSWER[row : row + 1]), timestep, _tensor(_CLEAN[row : row + 1]))
        np.testing.assert_allclose(seen.clean[row], step.pred_original_sample[0].numpy(), rtol=1e-3, atol=1e-4)
    signal, level = (each[_AT][:, None, None, None] for each in (schedule.signal, schedule.level))
    np.testing.assert_allclose(signal * seen.clean + level * seen.noise, _CLEAN, atol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_scheduler_that_works_in_levels_gives_the_same_image(diffusers: Any, prediction: str) -> None:
    scheduler = diffusers.EulerDiscreteScheduler(prediction_type=prediction)
    scheduler.set_timesteps(1000)
    schedule = schedule_of(scheduler)
    at = 400
    exploding = schedule.level[at] / schedule.signal[at]
    noisy = _tensor((_CLEAN[:1] * (1 + exploding**2) ** 0.5).astype(np.float32))
    step = scheduler.step(_tensor(_ANSWER[:1]), scheduler.timesteps[999 - at], noisy)
    seen = schedule.split(_CLEAN[:1], _ANSWER[:1], np.array([at]))
    np.testing.assert_allclose(seen.clean, step.pred_original_sample.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_matching_mixes_and_predicts_as_its_scheduler(diffusers: Any, shift: float) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    schedule = schedule_of(scheduler)
    told = schedule.told[_AT]
    theirs = scheduler.scale_noise(_tensor(_CLEAN), _tensor(told), _tensor(_NOISE)).numpy()
    signal, level = (each[_AT][:, None, None, None] for each in (schedule.signal, schedule.level))
    np.testing.assert_allclose(signal * _CLEAN + level * _NOISE, theirs, atol=1e-6)
    seen = schedule.split(_CLEAN, _ANSWER, np.array(_AT))
    for row, timestep in enumerate(_AT):
        last = diffusers.FlowMatchEulerDiscreteScheduler()
        last.set_timesteps(sigmas=[float(schedule.level[timestep])])  # its one step goes down to no noise
        step = last.step(_tensor(_ANSWER[row : row + 1]), last.timesteps[0], _tensor(_CLEAN[row : row + 1]))
        np.testing.assert_allclose(seen.clean[row], step.prev_sample[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(seen.noise - seen.clean, _ANSWER, atol=1e-5)


def test_flow_timesteps_ascend_from_little_noise_to_all_of_it(diffusers: Any) -> None:
    options = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
    schedule = schedule_of(diffusers.FlowMatchEulerDiscreteScheduler(**options), tokens=4096)
    assert (np.diff(schedule.level) > 0).all()
    assert schedule.level[-1] == 1
    middle = np.exp(1.15) / (np.exp(1.15) + 1)  # t = 1/2 under the exponential shift of the largest images
    assert schedule.level[499] == pytest.approx(middle, abs=1e-6)
    assert schedule.told[499] == pytest.approx(1000 * middle, abs=1e-3)


def test_a_schedule_that_ends_in_pure_noise_stays_finite(diffusers: Any) -> None:
    schedule = schedule_of(diffusers.DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction"))
    assert schedule.signal[-1] == 0
    seen = schedule.split(_CLEAN, _ANSWER, np.full(4, 999))
    np.testing.assert_allclose(seen.clean, -_ANSWER)
    np.testing.assert_allclose(seen.noise, _CLEAN)


@pytest.mark.parametrize("dynamic", [False, True])
def test_images_are_held_to_the_range_of_the_scheduler(diffusers: Any, dynamic: bool) -> None:
    options = {"thresholding": True, "sample_max_value": 1.5, "dynamic_thresholding_ratio": 0.9}
    scheduler = diffusers.DDPMScheduler(**(options if dynamic else {"clip_sample_range": 0.7}))
    schedule = schedule_of(scheduler)
    at = np.array(_AT)
    seen = schedule.limited(_CLEAN, schedule.split(_CLEAN, _ANSWER, at), at)
    for row, timestep in enumerate(_AT):
        step = scheduler.step(_tensor(_ANSWER[row : row + 1]), timestep, _tensor(_CLEAN[row : row + 1]))
        np.testing.assert_allclose(seen.clean[row], step.pred_original_sample[0].numpy(), rtol=1e-3, atol=1e-4)


def test_a_scheduler_of_another_kind_is_refused(diffusers: Any) -> None:
    for scheduler in (
        diffusers.EDMEulerScheduler(),
        diffusers.DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction"),
    ):
        with pytest.raises(UsageError, match="is not known here; use one with alphas_cumprod"):
            schedule_of(scheduler)
