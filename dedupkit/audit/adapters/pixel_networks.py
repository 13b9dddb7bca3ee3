"""Pipelines that work on pixels: unconditional DDPM and DDIM, and DeepFloyd IF's cascade, Imagen's kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dedupkit.audit.adapters.networks import Conditions, default, refuse_image_size, sides
from dedupkit.audit.adapters.schedules import schedule_of
from dedupkit.audit.adapters.spaces import PixelSpace
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.audit.adapters.running import Running


class Unconditional:
    """A `DDPMPipeline` or `DDIMPipeline` (arXiv 2006.11239, 2010.02502); captions are not looked at.

    Raises
    ------
    UsageError
        If it draws neither colours nor greys.
    """

    def __init__(self, pipe: Any, running: Running) -> None:
        refuse_image_size(pipe, running)
        channels = pipe.unet.config.in_channels
        if channels not in (1, 3):
            raise UsageError(f"a {type(pipe).__name__} of 1 or 3 channels is needed, got {channels}; hand in another")
        self._pipe, self._options = pipe, {} if running.steps is None else {"num_inference_steps": running.steps}
        self.schedule = schedule_of(pipe.scheduler)
        self.space = PixelSpace(sides(pipe.unet.config.sample_size), channels)
        self.device, self.dtype, self.guidance = pipe.unet.device, pipe.unet.dtype, 1.0

    def output(self, noisy: Any, told: Any, captions: Sequence[str]) -> Any:
        """The UNet's answer."""
        return self._pipe.unet(noisy, told).sample

    def draw(self, captions: Sequence[str], generators: list[Any]) -> Any:
        """As the pipeline draws."""
        return self._pipe(batch_size=len(generators), generator=generators, output_type="np", **self._options).images


class DeepFloyd:
    """An `IFPipeline`, and if there is one an `IFSuperResolutionPipeline` that draws on; T5 reads captions for both.

    Noise is told by the first stage alone.  Captions are lower-cased and stripped, not cleaned further, whichever
    packages are installed.
    """

    def __init__(self, pipe: Any, running: Running, second: Any = None) -> None:
        refuse_image_size(pipe, running)
        self._pipe, self._second = pipe, second
        self._options = {} if running.steps is None else {"num_inference_steps": running.steps}
        self.schedule = schedule_of(pipe.scheduler)
        self.space = PixelSpace(sides(pipe.unet.config.sample_size))
        self.device, self.dtype = pipe.unet.device, pipe.unet.dtype
        self.guidance = default(pipe, "guidance_scale") if running.guidance is None else running.guidance
        self._conditions = Conditions(self._encode, self.device)

    def output(self, noisy: Any, told: Any, captions: Sequence[str]) -> Any:
        """The first stage's answer: noise, then variance."""
        return self._pipe.unet(noisy, told, encoder_hidden_states=self._conditions.of(captions)["prompt_embeds"]).sample

    def draw(self, captions: Sequence[str], generators: list[Any]) -> Any:
        """As the pipeline draws, the second stage with its own guidance."""
        told, plain = self._conditions.of(captions), self._conditions.of([""] * len(captions))
        both = {"prompt_embeds": told["prompt_embeds"], "negative_prompt_embeds": plain["prompt_embeds"]}
        options = {**both, **self._options, "generator": generators}
        kind = "np" if self._second is None else "pt"
        drawn = self._pipe(guidance_scale=self.guidance, output_type=kind, **options).images
        return drawn if self._second is None else self._second(image=drawn, output_type="np", **options).images

    def _encode(self, caption: str) -> dict[str, Any]:
        return {"prompt_embeds": self._pipe.encode_prompt(caption, False, device=self.device, clean_caption=False)[0]}
