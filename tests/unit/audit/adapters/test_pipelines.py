"""Pipelines of diffusers as models to audit, against what the pipelines themselves do."""

from __future__ import annotations

import logging
import shutil
import socket
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest

from dedupkit.audit.adapters import open_model
from dedupkit.audit.adapters.prior_networks import PRIOR_SEED
from dedupkit.audit.model import Denoiser, Generator, Inpainter, can
from dedupkit.errors import UsageError
from tests import tiny_pipelines as tiny

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
KINDS = list(tiny.PARTS)
TOLD = [kind for kind in KINDS if kind not in ("ddpm", "ddim")]
STEPS = 2
CAPTION = "a red heron, 7 of them"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: tiny.saved(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def models(folders: dict[str, Path]) -> dict[str, Any]:
    return {kind: open_model(folder, steps=STEPS) for kind, folder in folders.items()}


def _images(model: Any, count: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *model.image_size, 3), np.uint8)


def _generators(*seeds: int) -> list[Any]:
    import torch

    return [torch.Generator().manual_seed(seed) for seed in seeds]


def _drawn(kind: str, folder: Path, captions: list[str], generators: list[Any], **options: Any) -> Any:
    """Images as diffusers' own pipelines draw them, floats."""
    pipes = tiny.PARTS[kind](folder / "again")
    for pipe in pipes:
        pipe.set_progress_bar_config(disable=True)
    told = {"generator": generators, "output_type": "np"}
    steps = {"num_inference_steps": STEPS}
    if kind in ("ddpm", "ddim"):
        return pipes[0](batch_size=len(captions), **told, **steps).images
    if kind == "if":
        first = pipes[0](captions, clean_caption=False, **{**told, **steps, "output_type": "pt"}, **options).images
        return pipes[1](captions, image=first, clean_caption=False, **told, **steps).images
    if kind == "kandinsky":
        found = pipes[1](captions, generator=generators)
        embeds = {"image_embeds": found.image_embeds, "negative_image_embeds": found.negative_image_embeds}
        return pipes[0](**embeds, height=16, width=16, **told, **steps, **options).images
    if kind == "unclip":
        return pipes[0](captions, decoder_num_inference_steps=STEPS, **told, **options).images
    return pipes[0](captions, **told, **steps, **options).images


def _denoiser(model: Any) -> Any:
    pipe = model.network._pipe
    return next(getattr(pipe, name) for name in ("unet", "transformer", "decoder") if hasattr(pipe, name))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws_tells_its_noise_and_fills_in(models: dict[str, Any], kind: str) -> None:
    model = models[kind]
    assert can(model, Generator, Denoiser, Inpainter)
    assert model.timesteps == 1000
    assert model.image_size == (16, 16)
    images = _images(model)
    clean = model.encode(images)
    assert clean.dtype == np.float32
    assert clean.shape[0] == 3
    decoded = model.decode(clean)
    assert (decoded.shape, decoded.dtype) == (images.shape, np.uint8)
    if kind in ("ddpm", "ddim", "if", "unclip"):
        np.testing.assert_array_equal(decoded, images)
    np.testing.assert_array_equal(model.encode(images), clean)


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_those_that_the_pipeline_draws(models: dict[str, Any], kind: str, tmp_path: Path) -> None:
    theirs = _drawn(kind, tmp_path, [CAPTION, "b"], _generators(5, 6))
    ours = models[kind].generate([CAPTION, "b"], [5, 6]).astype(int)
    assert np.abs(ours - np.rint(theirs * 255)).max() <= 1
    assert ours.std(axis=(1, 2, 3)).min() > 5  # something is in them


@pytest.mark.parametrize("kind", KINDS)
def test_a_seeds_image_does_not_depend_on_the_rest(models: dict[str, Any], kind: str) -> None:
    model = models[kind]
    together = model.generate(["x", CAPTION, None], [1, 2**63 - 1, 3]).astype(int)
    alone = model.generate([CAPTION], [2**63 - 1]).astype(int)
    assert np.abs(together[1] - alone[0]).max() <= 1
    assert np.abs(together[1] - together[2]).max() > 20


@pytest.mark.parametrize("kind", TOLD)
def test_noise_is_what_the_network_answers_inside_the_pipeline(
    models: dict[str, Any], folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    model = models[kind]
    seen: list[tuple[Any, float, Any]] = []
    kinds = {"UNet2DConditionModel", "SD3Transformer2DModel"}

    def keep(module: Any, args: Any, given: Any, output: Any) -> None:
        if type(module).__name__ in kinds and not seen:
            places = dict(zip(("sample", "timestep"), args, strict=False)) | given
            noisy = places.get("hidden_states", places.get("sample"))
            answer = output[0] if isinstance(output, tuple) else output.sample
            seen.append((noisy.numpy(), float(places["timestep"].max()), answer.numpy()))

    import torch

    hook = torch.nn.modules.module.register_module_forward_hook(keep, with_kwargs=True)
    try:
        _drawn(kind, tmp_path, [CAPTION], _generators(PRIOR_SEED))
    finally:
        hook.remove()
    noisy, told, answer = seen[0]  # guidance asks for both at once: without the caption, then with it
    (at,) = np.flatnonzero(np.isclose(model.network.schedule.told, told))
    found = model.predict(noisy, np.array([at, at]), ["", CAPTION])
    ours = found.noise - found.clean if kind == "sd3" else found.noise
    np.testing.assert_allclose(ours, answer[:, : noisy.shape[1]], atol=2e-5)
    assert np.abs(answer[0] - answer[1]).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_both_parts_of_a_prediction_make_up_what_was_asked(models: dict[str, Any], kind: str) -> None:
    model = models[kind]
    clean = model.encode(_images(model))
    noise = np.random.default_rng(1).standard_normal(clean.shape, np.float32)
    at = np.array([3, 400, 900])
    signal, level = (each[:, None, None, None] for each in model.coefficients(at))
    noisy = (signal * clean + level * noise).astype(np.float32)
    seen = model.predict(noisy, at, [CAPTION, None, ""])
    np.testing.assert_allclose(signal * seen.clean + level * seen.noise, noisy, atol=1e-4)
    alone = model.predict(noisy[2:], at[2:], [None])
    np.testing.assert_allclose(alone.noise, seen.noise[2:], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_captions_count_where_they_are_told(models: dict[str, Any], kind: str) -> None:
    model = models[kind]
    noisy = np.repeat(model.encode(_images(model, 1)), 4, axis=0)
    seen = model.predict(noisy, np.full(4, 500), ["a", "b", None, ""]).noise
    np.testing.assert_allclose(seen[2], seen[3], atol=1e-6)
    if kind in TOLD:
        assert min(np.abs(seen[0] - seen[1]).max(), np.abs(seen[0] - seen[2]).max()) > 1e-4
    else:
        np.testing.assert_allclose(seen, seen[:1].repeat(4, axis=0), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_filling_in_leaves_what_is_known_and_looks_at_nothing_else(models: dict[str, Any], kind: str) -> None:
    model = models[kind]
    images = _images(model, 2)
    missing = np.zeros((2, 16, 16), bool)
    missing[0, :, 9:] = missing[1, 5:11, 3:6] = True
    hidden = np.where(missing[..., None], 255 - images, images)
    found = model.inpaint(images, missing, [CAPTION, None], [1, 2])
    np.testing.assert_array_equal(found[~missing], images[~missing])
    assert np.abs(found[missing].astype(int) - images[missing]).max() > 20
    np.testing.assert_array_equal(model.inpaint(hidden, missing, [CAPTION, None], [1, 2]), found)


@pytest.mark.parametrize(
    ("scheduler", "prediction"),
    [("DDIMScheduler", "v_prediction"), ("DDPMScheduler", "sample"), ("DDIMScheduler", "epsilon")],
)
def test_the_clean_image_is_that_of_the_pipelines_scheduler(scheduler: str, prediction: str, tmp_path: Path) -> None:
    import torch

    pipe = tiny.stable_diffusion(tmp_path, scheduler=scheduler, prediction_type=prediction)
    model: Any = open_model(pipe)
    noisy = np.random.default_rng(0).standard_normal((1, 4, 8, 8), np.float32)
    with torch.no_grad():
        embeds = pipe.encode_prompt(CAPTION, "cpu", 1, False)[0]
        answer = pipe.unet(torch.from_numpy(noisy), 300, encoder_hidden_states=embeds).sample
    pipe.scheduler.set_timesteps(1000)
    theirs = pipe.scheduler.step(answer, 300, torch.from_numpy(noisy)).pred_original_sample.numpy()
    np.testing.assert_allclose(model.predict(noisy, np.array([300]), [CAPTION]).clean, theirs, atol=1e-4)


def test_latents_are_the_mean_of_the_posterior_scaled_and_shifted(models: dict[str, Any], tmp_path: Path) -> None:
    import torch

    images = _images(models["sd3"])
    pipe = tiny.stable_diffusion_3(tmp_path)
    values = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        mean = pipe.vae.encode(values).latent_dist.mean.numpy()
    theirs = (mean - 0.06) * pipe.vae.config.scaling_factor
    np.testing.assert_allclose(models["sd3"].encode(images), theirs, atol=1e-5)


def test_a_model_of_grey_images_takes_and_gives_colours() -> None:
    model: Any = open_model(tiny.unconditional(channels=1), steps=STEPS)
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), np.uint8), 3, axis=3)
    assert model.encode(grey).shape == (2, 1, 16, 16)
    np.testing.assert_array_equal(model.decode(model.encode(grey)), grey)
    drawn = model.generate([None], [0])
    assert drawn.shape == (1, 16, 16, 3)
    assert (drawn == drawn[..., :1]).all()


def test_a_cascade_without_its_second_stage_draws_small(folders: dict[str, Path]) -> None:
    model: Any = open_model(folders["if"] / "part-0", steps=STEPS)
    assert model.generate(["a"], [0]).shape == (1, 16, 16, 3)
    both: Any = open_model([folders["if"] / "part-1", folders["if"] / "part-0"], steps=STEPS)
    assert both.generate(["a"], [0]).shape == (1, 32, 32, 3)


def test_kandinskys_two_pipelines_may_come_as_one(models: dict[str, Any], tmp_path: Path) -> None:
    import diffusers

    decoder, prior = tiny.PARTS["kandinsky"](tmp_path / "tokens")
    parts = {f"prior_{name}": each for name, each in prior.components.items()}
    combined = diffusers.KandinskyV22CombinedPipeline(**decoder.components, **parts)
    combined.save_pretrained(tmp_path / "model")  # type: ignore[attr-defined, unused-ignore]
    for each in (combined, tmp_path / "model", [prior, decoder]):
        model: Any = open_model(each, steps=STEPS)
        found = model.generate([CAPTION], [5]).astype(int)
        assert np.abs(found - models["kandinsky"].generate([CAPTION], [5])).max() <= 1


def test_stable_diffusion_3_may_come_without_t5(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion_3(tmp_path / "tokens", t5=False)
    pipe.save_pretrained(tmp_path / "model")
    model: Any = open_model(tmp_path / "model", steps=STEPS)
    assert model.network._pipe.text_encoder_3 is None
    theirs = pipe([CAPTION], generator=_generators(1), num_inference_steps=STEPS, output_type="np").images
    assert np.abs(model.generate([CAPTION], [1]) - theirs * 255).max() <= 1


def test_the_safety_checker_is_left_off_with_a_note(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion(tmp_path / "tokens", checker=True)
    pipe.save_pretrained(tmp_path / "model")
    options = {"num_inference_steps": STEPS, "output_type": "np"}
    assert pipe("a", generator=_generators(0), **options).images.max() == 0  # it blacks everything out
    shutil.rmtree(tmp_path / "model" / "safety_checker")  # nor is it needed
    for each in (pipe, tmp_path / "model"):
        model: Any = open_model(each, steps=STEPS)
        assert model.generate(["a"], [0]).max() > 0
        assert "The safety checker of the StableDiffusionPipeline is left off" in model.notes[0]
    assert pipe.safety_checker is not None


def test_a_pipeline_handed_in_stays_as_it_is(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion(tmp_path)
    pipe.scheduler.set_timesteps(7)
    model: Any = open_model(pipe, steps=STEPS)
    model.generate(["a"], [0])
    assert len(pipe.scheduler.timesteps) == 7
    assert _denoiser(model) is pipe.unet
    assert not getattr(pipe, "_progress_bar_config", {}).get("disable")


def test_nothing_is_written_to_the_terminal_and_no_caption_is_quoted(
    folders: dict[str, Path], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    long = "the secret of the heron is a very long one that no model reads to its end " * 3
    for folder in folders.values():
        with caplog.at_level(logging.DEBUG):
            model: Any = open_model(folder, steps=STEPS)
            model.generate([long], [0])
            model.predict(model.encode(_images(model, 1)), np.array([500]), [long])
    written = capfd.readouterr()
    assert written.err == written.out == ""
    assert "secret" not in caplog.text


def test_nothing_goes_over_the_network(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for folder in folders.values():
        (folder / "README.md").write_text("---\nprior:\n- somebody/prior\n---\n")  # diffusers fetches what it names
        open_model(folder)


def test_weights_may_be_there_in_half_precision_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["sd"], tmp_path / "model")
    for file in list((tmp_path / "model").rglob("*.safetensors")):
        file.rename(file.with_name(f"{file.stem}.fp16.safetensors"))
    model: Any = open_model(tmp_path / "model")
    assert model.generate(["a"], [0]).shape == (1, 16, 16, 3)


def test_a_model_that_is_not_whole_is_told_in_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["sd"], tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / "unet")
    with pytest.raises(UsageError, match=r"cannot be loaded: .*; save the model again") as error:
        open_model(tmp_path / "model")
    assert "\n" not in str(error.value)


def test_half_precision_is_near_to_the_whole(folders: dict[str, Path], models: dict[str, Any]) -> None:
    half: Any = open_model(folders["sd"], dtype="bfloat16")
    images = _images(half, 2)
    noisy = models["sd"].encode(images)
    assert np.abs(half.encode(images) - noisy).max() < 0.2
    at, captions = np.array([100, 500]), ["a", None]
    whole = models["sd"].predict(noisy, at, captions).noise
    assert np.abs(half.predict(noisy, at, captions).noise - whole).mean() < 0.05 * whole.std()


def test_a_latent_model_may_be_run_at_another_size(folders: dict[str, Path]) -> None:
    model: Any = open_model(folders["sd"], steps=STEPS, image_size=(24, 16))
    assert model.generate(["a"], [0]).shape == (1, 24, 16, 3)
    assert model.encode(_images(model)).shape == (3, 4, 12, 8)
    with pytest.raises(UsageError, match="must be multiples of 2"):
        open_model(folders["sd"], image_size=(15, 16))
    with pytest.raises(UsageError, match="has one alone"):
        open_model(folders["ddpm"], image_size=(32, 32))


def test_wrong_sizes_and_lengths_are_told(models: dict[str, Any]) -> None:
    model = models["sd"]
    with pytest.raises(UsageError, match=r"takes uint8 images of shape \(n, 16, 16, 3\), got uint8 \(1, 8, 8, 3\)"):
        model.encode(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(UsageError, match="got 2 captions, 1 seeds"):
        model.generate(["a", "b"], [1])
    with pytest.raises(UsageError, match="at least one sample"):
        model.generate([], [])
    with pytest.raises(UsageError, match="at least one sample"):
        model.encode(np.zeros((0, 16, 16, 3), np.uint8))


def test_a_bare_network_is_no_model(models: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="a UNet2DModel alone cannot be asked for images"):
        open_model(_denoiser(models["ddpm"]))


def test_an_inpainting_network_is_refused(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion(tmp_path / "tokens")
    pipe.unet.register_to_config(in_channels=9)
    with pytest.raises(UsageError, match="takes 9 channels and its autoencoder gives 4"):
        open_model(pipe)


def test_a_device_that_is_none_is_told(folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="device must be auto, cpu, cuda"):
        open_model(folders["ddpm"], device="toaster")


def test_captions_are_read_once(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = open_model(folders["sd"], steps=STEPS)
    read: list[str] = []
    encode = model.network._pipe.encode_prompt

    def counting(prompt: Any, *given: Any, **named: Any) -> Any:
        read.append(prompt)
        return encode(prompt, *given, **named)

    monkeypatch.setattr(model.network._pipe, "encode_prompt", counting)
    noisy = model.encode(_images(model))
    for _ in range(2):
        model.predict(noisy, np.full(3, 10), ["a", "b", "a"])
    assert read == ["a", "b"]


@pytest.mark.parametrize(("guidance", "asked"), [(1.0, 11), (3.0, 22)])
def test_filling_in_asks_as_often_as_the_docs_say(folders: dict[str, Path], guidance: float, asked: int) -> None:
    model: Any = open_model(folders["sd"], steps=3, guidance=guidance)
    count = 0

    def counting(*_: Any) -> None:
        nonlocal count
        count += 1

    hook = _denoiser(model).register_forward_hook(counting)
    model.inpaint(_images(model, 1), np.ones((1, 16, 16), bool), ["a"], [0])
    hook.remove()
    assert count == asked
