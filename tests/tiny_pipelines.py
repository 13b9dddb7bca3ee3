"""Pipelines of every kind that the adapters know, tiny and with random weights, as diffusers itself builds them."""

from __future__ import annotations

import json
import string
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CHARACTERS = string.ascii_lowercase + string.digits + ".,!'-"
_TEXT: dict[str, Any] = {
    "vocab_size": 2 * len(_CHARACTERS) + 2,
    "max_position_embeddings": 24,
    "num_attention_heads": 2,
}
_TEXT |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "intermediate_size": 32, "num_hidden_layers": 2}
_DOWN, _UP = ("DownBlock2D", "CrossAttnDownBlock2D"), ("CrossAttnUpBlock2D", "UpBlock2D")
_UNET: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "attention_head_dim": 8,
}
_WIDTH = 32  # of all text embeddings


def unconditional(*, kind: str = "DDPM", channels: int = 3, **schedule: Any) -> Any:
    """A `DDPMPipeline` or `DDIMPipeline` of 16x16 pixels."""
    import diffusers

    unet = diffusers.UNet2DModel(
        sample_size=16,
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        **_UNET,
    )
    scheduler = getattr(diffusers, f"{kind}Scheduler")(**schedule)
    return getattr(diffusers, f"{kind}Pipeline")(unet=_seeded(unet), scheduler=scheduler)


def stable_diffusion(folder: Path, *, scheduler: str = "DDIMScheduler", checker: bool = False, **schedule: Any) -> Any:
    """A `StableDiffusionPipeline` of 16x16 pixels, 8x8 latents."""
    import diffusers

    unet = diffusers.UNet2DConditionModel(
        sample_size=8, cross_attention_dim=_WIDTH, down_block_types=_DOWN, up_block_types=_UP, **_UNET
    )
    betas: dict[str, Any] = {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "steps_offset": 1,
    }
    betas |= {"clip_sample": False} if scheduler in ("DDIMScheduler", "DDPMScheduler") else {}
    return diffusers.StableDiffusionPipeline(
        vae=_vae(),
        unet=_seeded(unet),
        text_encoder=_clip_text(),
        tokenizer=clip_tokenizer(folder),
        scheduler=getattr(diffusers, scheduler)(**{**betas, **schedule}),
        safety_checker=_checker() if checker else None,
        feature_extractor=_images_for_clip() if checker else None,
        requires_safety_checker=checker,
    )


def stable_diffusion_xl(folder: Path) -> Any:
    """A `StableDiffusionXLPipeline` of 16x16 pixels."""
    import diffusers

    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        cross_attention_dim=2 * _WIDTH,
        down_block_types=_DOWN,
        up_block_types=_UP,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + _WIDTH,
        **_UNET,
    )
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(force_upcast=True),
        unet=_seeded(unet),
        text_encoder=_clip_text(),
        text_encoder_2=_clip_text(projected=True),
        tokenizer=clip_tokenizer(folder),
        tokenizer_2=clip_tokenizer(folder),
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
    )


def stable_diffusion_3(folder: Path, *, t5: bool = True, **schedule: Any) -> Any:
    """A `StableDiffusion3Pipeline` of 16x16 pixels."""
    import diffusers

    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=2 * _WIDTH,
        pooled_projection_dim=2 * _WIDTH,
        out_channels=4,
    )
    return diffusers.StableDiffusion3Pipeline(
        vae=_vae(shift_factor=0.06),
        transformer=_seeded(transformer),
        text_encoder=_clip_text(projected=True),
        text_encoder_2=_clip_text(projected=True),
        text_encoder_3=_t5(2 * _WIDTH) if t5 else None,
        tokenizer=clip_tokenizer(folder),
        tokenizer_2=clip_tokenizer(folder),
        tokenizer_3=t5_tokenizer() if t5 else None,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**{"shift": 3.0, **schedule}),
    )


def deepfloyd(**schedule: Any) -> Any:
    """An `IFPipeline` of 16x16 pixels; its UNet tells the variance too."""
    import diffusers

    return diffusers.IFPipeline(unet=_deepfloyd_unet(16, 3), **_deepfloyd_parts(**schedule))


def deepfloyd_second() -> Any:
    """An `IFSuperResolutionPipeline` to 32x32 pixels."""
    import diffusers

    noising = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    unet = _deepfloyd_unet(32, 6, class_embed_type="timestep", mid_block_scale_factor=1.414)
    return diffusers.IFSuperResolutionPipeline(unet=unet, image_noising_scheduler=noising, **_deepfloyd_parts())


def kandinsky_prior(folder: Path) -> Any:
    """A `KandinskyV22PriorPipeline`."""
    import diffusers

    return diffusers.KandinskyV22PriorPipeline(
        prior=_prior(),
        image_encoder=_clip_vision(),
        text_encoder=_clip_text(projected=True),
        tokenizer=clip_tokenizer(folder),
        scheduler=_prior_scheduler(),
        image_processor=_images_for_clip(),
    )


def kandinsky() -> Any:
    """A `KandinskyV22Pipeline` of 16x16 pixels; its UNet tells the variance too."""
    import diffusers

    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=8,
        addition_embed_type="image",
        encoder_hid_dim=_WIDTH,
        encoder_hid_dim_type="image_proj",
        cross_attention_dim=_WIDTH,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        resnet_time_scale_shift="scale_shift",
        class_embed_type=None,
        **_UNET,
    )
    movq = diffusers.VQModel(
        block_out_channels=(32, 32),  # its spatial norm has 32 groups
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        num_vq_embeddings=12,
        vq_embed_dim=4,
        norm_num_groups=8,
        norm_type="spatial",
        layers_per_block=1,
    )
    scheduler = diffusers.DDIMScheduler(
        beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, prediction_type="epsilon"
    )
    return diffusers.KandinskyV22Pipeline(unet=_seeded(unet), scheduler=scheduler, movq=_seeded(movq))


def unclip(folder: Path) -> Any:
    """A `UnCLIPPipeline`: 16x16 pixels by the decoder, 32x32 drawn."""
    import diffusers
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

    decoder = diffusers.UNet2DConditionModel(
        sample_size=16,
        in_channels=3,
        out_channels=6,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        cross_attention_dim=_WIDTH,
        resnet_time_scale_shift="scale_shift",
        class_embed_type="identity",
        **_UNET,
    )
    text_proj = UnCLIPTextProjModel(
        clip_embeddings_dim=_WIDTH, time_embed_dim=4 * _UNET["block_out_channels"][0], cross_attention_dim=_WIDTH
    )
    learned = diffusers.UnCLIPScheduler(variance_type="learned_range", clip_sample=False, num_train_timesteps=1000)
    return diffusers.UnCLIPPipeline(
        prior=_prior(),
        decoder=_seeded(decoder),
        text_encoder=_clip_text(projected=True),
        tokenizer=clip_tokenizer(folder),
        text_proj=_seeded(text_proj),
        super_res_first=_larger(1),
        super_res_last=_larger(2),
        prior_scheduler=_prior_scheduler(),
        decoder_scheduler=learned,
        super_res_scheduler=diffusers.UnCLIPScheduler(num_train_timesteps=1000),
    )


PARTS: dict[str, Callable[[Path], list[Any]]] = {
    "ddpm": lambda folder: [unconditional()],
    "ddim": lambda folder: [unconditional(kind="DDIM")],
    "sd": lambda folder: [stable_diffusion(folder)],
    "sdxl": lambda folder: [stable_diffusion_xl(folder)],
    "sd3": lambda folder: [stable_diffusion_3(folder)],
    "if": lambda folder: [deepfloyd(), deepfloyd_second()],
    "kandinsky": lambda folder: [kandinsky(), kandinsky_prior(folder)],
    "unclip": lambda folder: [unclip(folder)],
}
"""The pipelines of a model of each kind; the folder is for files that tokenizers are made of."""


def saved(kind: str, folder: Path) -> Path:
    """A model of some kind as `save_pretrained` writes it: a folder, or one with a folder for each of its parts."""
    parts = PARTS[kind](folder / "tokens")
    model = folder / kind
    for number, pipe in enumerate(parts):
        pipe.set_progress_bar_config(disable=True)
        pipe.save_pretrained(model if len(parts) == 1 else model / f"part-{number}")
    return model


def clip_tokenizer(folder: Path) -> Any:
    """A `CLIPTokenizer` of single characters."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["<|startoftext|>", "<|endoftext|>", *_CHARACTERS, *(f"{each}</w>" for each in _CHARACTERS)]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=_TEXT["max_position_embeddings"])


def t5_tokenizer() -> Any:
    """A `T5TokenizerFast` of single characters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    transformers: Any = import_module("transformers")
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary + [(each, -3.0) for each in _CHARACTERS], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return transformers.T5TokenizerFast(
        tokenizer_object=tokenizer, extra_ids=0, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def _seeded(model: Any, seed: int = 0) -> Any:
    """The model with all its weights drawn afresh: those that begin as zeros would hide what is handed to them."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            drawn = torch.randn(weight.shape, generator=generator)
            if weight.ndim > 1:
                weight.copy_(drawn * weight[0].numel() ** -0.5)
            else:  # a bias, or a norm's weight
                weight.copy_(0.1 * drawn + float(name.endswith("weight")))
    return model.eval()


def _vae(**options: Any) -> Any:
    import diffusers

    return _seeded(
        diffusers.AutoencoderKL(
            block_out_channels=(16, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=8,
            **options,
        )
    )


def _clip_text(*, projected: bool = False) -> Any:
    import transformers

    config = transformers.CLIPTextConfig(hidden_size=_WIDTH, projection_dim=_WIDTH, **_TEXT)
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return _seeded(kind(config))


def _clip_vision() -> Any:
    import transformers

    config = transformers.CLIPVisionConfig(
        hidden_size=_WIDTH,
        projection_dim=_WIDTH,
        image_size=16,
        patch_size=8,
        num_attention_heads=2,
        num_hidden_layers=1,
        intermediate_size=32,
    )
    return _seeded(transformers.CLIPVisionModelWithProjection(config))


def _images_for_clip() -> Any:
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(crop_size=16, size=16)


def _checker() -> Any:
    """A safety checker that blacks everything out, as its limits are below every similarity."""
    import torch
    import transformers
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    vision = {"hidden_size": _WIDTH, "image_size": 16, "patch_size": 8, "num_attention_heads": 2}
    vision |= {"num_hidden_layers": 1, "intermediate_size": 32}
    config = transformers.CLIPConfig(projection_dim=_WIDTH, vision_config=vision)
    checker = _seeded(StableDiffusionSafetyChecker(config))
    with torch.no_grad():
        checker.concept_embeds_weights.fill_(-2)
    return checker


def _t5(width: int) -> Any:
    import transformers

    config = transformers.T5Config(
        vocab_size=4 + len(_CHARACTERS), d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=0
    )
    return _seeded(transformers.T5EncoderModel(config))


def _deepfloyd_parts(**schedule: Any) -> dict[str, Any]:
    import diffusers

    options = {"beta_schedule": "squaredcos_cap_v2", "variance_type": "learned_range", "thresholding": True}
    options |= {"sample_max_value": 1.5, "dynamic_thresholding_ratio": 0.95, **schedule}
    return {
        "text_encoder": _t5(_WIDTH),
        "tokenizer": t5_tokenizer(),
        "scheduler": diffusers.DDPMScheduler(**options),
        "safety_checker": None,
        "feature_extractor": None,
        "watermarker": None,
        "requires_safety_checker": False,
    }


def _deepfloyd_unet(size: int, channels: int, **options: Any) -> Any:
    import diffusers

    return _seeded(
        diffusers.UNet2DConditionModel(
            sample_size=size,
            in_channels=channels,
            out_channels=6,
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            only_cross_attention=True,
            cross_attention_dim=_WIDTH,
            encoder_hid_dim=_WIDTH,
            cross_attention_norm="group_norm",
            resnet_time_scale_shift="scale_shift",
            addition_embed_type="text",
            addition_embed_type_num_heads=2,
            time_embedding_act_fn="gelu",
            act_fn="gelu",
            **{**_UNET, **options},
        )
    )


def _prior() -> Any:
    import diffusers

    return _seeded(
        diffusers.PriorTransformer(
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=1,
            embedding_dim=_WIDTH,
            num_embeddings=_TEXT["max_position_embeddings"],
        )
    )


def _prior_scheduler() -> Any:
    import diffusers

    return diffusers.UnCLIPScheduler(prediction_type="sample", num_train_timesteps=1000, clip_sample_range=5.0)


def _larger(seed: int) -> Any:
    import diffusers

    unet = diffusers.UNet2DModel(
        sample_size=32,
        in_channels=6,
        out_channels=3,
        down_block_types=("ResnetDownsampleBlock2D",) * 2,
        up_block_types=("ResnetUpsampleBlock2D",) * 2,
        **_UNET,
    )
    return _seeded(unet, seed)
