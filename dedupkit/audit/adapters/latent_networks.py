"""The Stable Diffusion family: a denoiser of an autoencoder's latents that is told a caption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.audit.adapters.networks import Conditions, default, sides
from dedupkit.audit.adapters.schedules import schedule_of
from dedupkit.audit.adapters.spaces import LatentSpace
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.audit.adapters.running import Running


class StableDiffusion:
    """A `StableDiffusionPipeline` (arXiv 2112.10752), of any prediction type.

    Raises
    ------
    UsageError
        If its denoiser takes other channels than its autoencoder gives, as that of inpainting models does.
    """

    def __init__(self, pipe: Any, running: Running) -> None:
        self._pipe, self._denoiser = pipe, self._denoiser_of(pipe)
        self.device, self.dtype = self._denoiser.device, self._denoiser.dtype
        factor = pipe.vae_scale_factor
        size = image_size(pipe, running, self._denoiser.config.sample_size, factor)
        self.space = latent_space(pipe.vae, size, factor, running.batch)
        self.schedule = schedule_of(pipe.scheduler, self._tokens())
        self.guidance = default(pipe, "guidance_scale") if running.guidance is None else running.guidance
        self._options: dict[str, Any] = {"height": size[0], "width": size[1]}
        if running.steps is not None:
            self._options["num_inference_steps"] = running.steps
        self._conditions = Conditions(self._encode, self.device)
        channels = self._denoiser.config.in_channels, pipe.vae.config.latent_channels
        if channels[0] != channels[1]:
            raise UsageError(
                f"the denoiser of this {type(pipe).__name__} takes {channels[0]} channels and its autoencoder gives "
                f"{channels[1]}; hand in the model that draws whole images"
            )

    def output(self, noisy: Any, told: Any, captions: Sequence[str]) -> Any:
        """The UNet's answer."""
        conditions = self._conditions.of(captions)
        return self._denoiser(noisy, told, encoder_hidden_states=conditions["prompt_embeds"]).sample

    def draw(self, captions: Sequence[str], generators: list[Any]) -> Any:
        """As the pipeline draws."""
        told, plain = self._conditions.of(captions), self._conditions.of([""] * len(captions))
        options = {**told, **{f"negative_{name}": each for name, each in plain.items()}, **self._options}
        return self._pipe(generator=generators, guidance_scale=self.guidance, output_type="np", **options).images

    def _denoiser_of(self, pipe: Any) -> Any:
        return pipe.unet

    def _tokens(self) -> int | None:
        return None

    def _encode(self, caption: str) -> dict[str, Any]:
        return {"prompt_embeds": self._pipe.encode_prompt(caption, self.device, 1, False)[0]}


class StableDiffusionXL(StableDiffusion):
    """A `StableDiffusionXLPipeline` (arXiv 2307.01952): two text encoders; told the size, and that nothing is cropped.

    No caption is what the pipeline takes for none: zeros, or where its configuration says so an empty text.
    """

    def output(self, noisy: Any, told: Any, captions: Sequence[str]) -> Any:
        """The UNet's answer."""
        conditions = self._conditions.of(captions)
        added = {"text_embeds": conditions["pooled_prompt_embeds"], "time_ids": self._time_ids(len(noisy))}
        embeds = conditions["prompt_embeds"]
        return self._denoiser(noisy, told, encoder_hidden_states=embeds, added_cond_kwargs=added).sample

    def _time_ids(self, count: int) -> Any:
        size, width = self.space.image_size, self._pipe.text_encoder_2.config.projection_dim
        found = self._pipe._get_add_time_ids(size, (0, 0), size, self.dtype, width)
        return found.to(self.device).repeat(count, 1)

    def _encode(self, caption: str) -> dict[str, Any]:
        told, plain, pooled, plain_pooled = self._pipe.encode_prompt(
            caption, device=self.device, do_classifier_free_guidance=not caption
        )
        return (
            {"prompt_embeds": told, "pooled_prompt_embeds": pooled}
            if caption
            else {"prompt_embeds": plain, "pooled_prompt_embeds": plain_pooled}
        )


class StableDiffusion3(StableDiffusion):
    """A `StableDiffusion3Pipeline` (arXiv 2403.03206): a transformer, flow matching, two CLIP text encoders and T5.

    Without T5 its part of the caption is zeros, as the pipeline has it.
    """

    def output(self, noisy: Any, told: Any, captions: Sequence[str]) -> Any:
        """The transformer's answer: the velocity."""
        conditions = self._conditions.of(captions)
        return self._denoiser(
            hidden_states=noisy,
            timestep=told,
            encoder_hidden_states=conditions["prompt_embeds"],
            pooled_projections=conditions["pooled_prompt_embeds"],
        ).sample

    def _denoiser_of(self, pipe: Any) -> Any:
        return pipe.transformer

    def _tokens(self) -> int | None:
        height, width = (side // self.space.factor for side in self.space.image_size)
        patch: int = self._denoiser.config.patch_size
        return (height // patch) * (width // patch)

    def _encode(self, caption: str) -> dict[str, Any]:
        told, _, pooled, _ = self._pipe.encode_prompt(
            caption, None, None, device=self.device, do_classifier_free_guidance=False
        )
        return {"prompt_embeds": told, "pooled_prompt_embeds": pooled}


def latent_space(vae: Any, size: tuple[int, int], factor: int, batch: int) -> LatentSpace:
    """The space of an `AutoencoderKL`, scaled and shifted as its configuration says."""
    config = vae.config
    scale: Any = config.scaling_factor
    shift: Any = getattr(config, "shift_factor", None) or 0.0
    if getattr(config, "latents_mean", None) is not None and getattr(config, "latents_std", None) is not None:
        mean, deviation = (np.reshape(each, (1, -1, 1, 1)) for each in (config.latents_mean, config.latents_std))
        scale, shift = scale / deviation, mean
    return LatentSpace(image_size=size, autoencoder=vae, factor=factor, scale=scale, shift=shift, batch=batch)


def image_size(pipe: Any, running: Running, sample_size: Any, factor: int) -> tuple[int, int]:
    """Height and width in pixels: those asked for, or what the model's files say.

    Raises
    ------
    UsageError
        If they do not fill the grid of latents.
    """
    found = running.image_size or sides(sample_size, factor)
    if any(side % factor for side in found):
        raise UsageError(f"image_size of a {type(pipe).__name__} must be multiples of {factor}, got {found}")
    return found
