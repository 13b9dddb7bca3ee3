"""DALL-E's kind: a prior draws a CLIP image embedding for a caption, a decoder draws the image (arXiv 2204.06125)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dedupkit.audit.adapters.latent_networks import image_size
from dedupkit.audit.adapters.networks import Conditions, default, refuse_image_size, sides
from dedupkit.audit.adapters.schedules import schedule_of
from dedupkit.audit.adapters.spaces import LatentSpace, PixelSpace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedupkit.audit.adapters.running import Running

PRIOR_SEED = 0
"""Of the embedding that a decoder is told for a caption when asked for its noise; when drawing, the image's seed is."""


class Kandinsky:
    """A `KandinskyV22Pipeline` with its `KandinskyV22PriorPipeline`: latents, told the image embedding alone."""

    def __init__(self, pipe: Any, running: Running, prior: Any) -> None:
        self._pipe, self._prior, self._unet = pipe, prior, pipe.unet
        self.device, self.dtype = self._unet.device, self._unet.dtype
        factor = pipe.movq_scale_factor
        size = image_size(pipe, running, self._unet.config.sample_size, factor)
        self.space = LatentSpace(
            image_size=size,
            autoencoder=pipe.movq,
            factor=factor,
            decoding={"force_not_quantize": True},
            batch=running.batch,
        )
        self.schedule = schedule_of(pipe.scheduler)
        self.guidance = default(pipe, "guidance_scale") if running.guidance is None else running.guidance
        self._options: dict[str, Any] = {"height": size[0], "width": size[1]}
        if running.steps is not None:
            self._options["num_inference_steps"] = running.steps
        self._conditions = Conditions(self._encode, self.device)

    def output(self, noisy: Any, told: Any, captions: Sequence[str]) -> Any:
        """The decoder's answer: noise, then variance."""
        added = self._conditions.of(captions)
        return self._unet(noisy, told, encoder_hidden_states=None, added_cond_kwargs=added).sample

    def draw(self, captions: Sequence[str], generators: list[Any]) -> Any:
        """As prior and decoder draw, one after the other with the same generators."""
        found = self._prior(list(captions), generator=generators)
        embeds = {"image_embeds": found.image_embeds, "negative_image_embeds": found.negative_image_embeds}
        embeds = {name: each.to(self.device, self.dtype) for name, each in embeds.items()}
        options = {**embeds, **self._options, "guidance_scale": self.guidance}
        return self._pipe(generator=generators, output_type="np", **options).images

    def _encode(self, caption: str) -> dict[str, Any]:
        """No caption is the embedding of an image of zeros, what guidance takes for none."""
        if not caption:
            return {"image_embeds": self._prior.get_zero_embed(1, self._prior.device).to(self.dtype)}
        found = self._prior(caption, generator=_prior_generator())
        return {"image_embeds": found.image_embeds.to(self.dtype)}


class UnCLIP:
    """A `UnCLIPPipeline`: pixels, told the text and the image embedding; two further networks enlarge what is drawn.

    Noise is told by the decoder alone.
    """

    def __init__(self, pipe: Any, running: Running) -> None:
        refuse_image_size(pipe, running)
        self._pipe, self._decoder = pipe, pipe.decoder
        self.device, self.dtype = self._decoder.device, self._decoder.dtype
        self.space = PixelSpace(sides(self._decoder.config.sample_size))
        self.schedule = schedule_of(pipe.decoder_scheduler)
        self.guidance = default(pipe, "decoder_guidance_scale") if running.guidance is None else running.guidance
        self._options = {} if running.steps is None else {"decoder_num_inference_steps": max(running.steps, 2)}
        self._conditions = Conditions(self._encode, self.device)

    def output(self, noisy: Any, told: Any, captions: Sequence[str]) -> Any:
        """The decoder's answer: noise, then variance."""
        return self._decoder(noisy, told, **self._conditions.of(captions)).sample

    def draw(self, captions: Sequence[str], generators: list[Any]) -> Any:
        """As the pipeline draws."""
        options = {**self._options, "decoder_guidance_scale": self.guidance}
        return self._pipe(list(captions), generator=generators, output_type="np", **options).images

    def _encode(self, caption: str) -> dict[str, Any]:
        """As the pipeline does it with guidance: row 0 is what it tells the decoder without a caption, row 1 with."""
        from torch.nn.functional import pad

        pipe = self._pipe
        texts, hidden, mask = pipe._encode_prompt([caption], self.device, 1, True)
        embedding = self._embedding(texts, hidden, mask)
        hidden, labels = pipe.text_proj(
            image_embeddings=embedding,
            prompt_embeds=texts,
            text_encoder_hidden_states=hidden,
            do_classifier_free_guidance=True,
        )
        mask = pad(mask, (pipe.text_proj.clip_extra_context_tokens, 0), value=True)
        row = slice(1, 2) if caption else slice(0, 1)
        return {"encoder_hidden_states": hidden[row], "class_labels": labels[row], "attention_mask": mask[row]}

    def _embedding(self, texts: Any, hidden: Any, mask: Any) -> Any:
        """The prior's part of the pipeline, which cannot be called alone."""
        import torch

        pipe, scheduler, generator = self._pipe, self._pipe.prior_scheduler, _prior_generator()
        scheduler.set_timesteps(default(pipe, "prior_num_inference_steps"), device=self.device)
        guidance = default(pipe, "prior_guidance_scale")
        shape = (1, pipe.prior.config.embedding_dim)
        found = pipe.prepare_latents(shape, texts.dtype, self.device, generator, None, scheduler)
        conditions = {"proj_embedding": texts, "encoder_hidden_states": hidden, "attention_mask": mask}
        for timestep, after in zip(scheduler.timesteps, [*scheduler.timesteps[1:], None], strict=True):
            both = pipe.prior(torch.cat([found] * 2), timestep=timestep, **conditions).predicted_image_embedding
            plain, told = both.chunk(2)
            seen = plain + guidance * (told - plain)
            step = {"timestep": timestep, "sample": found, "prev_timestep": after, "generator": generator}
            found = scheduler.step(seen, **step).prev_sample
        return pipe.prior.post_process_latents(found)


def _prior_generator() -> Any:
    import torch

    return torch.Generator("cpu").manual_seed(PRIOR_SEED)
