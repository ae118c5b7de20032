"""Tiny diffusion pipelines with random weights, saved in folders as the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from pretrained_parts import LANGUAGE, SIZES, WORDS, save_tokenizer

BLOCKS = {
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
T5 = {"vocab_size": 32, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}


def clip_parts(folder: Path) -> dict[str, Any]:
    """Return the tokenizer, text encoder and autoencoder of Stable Diffusion."""
    save_tokenizer(folder / "words")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "words")
    text = transformers.CLIPTextConfig(**LANGUAGE, bos_token_id=0, eos_token_id=2, pad_token_id=1)
    vae = diffusers.AutoencoderKL(
        **BLOCKS,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        sample_size=32,
    )
    return {"tokenizer": tokenizer, "text_encoder": transformers.CLIPTextModel(text), "vae": vae}


def schedule() -> Any:
    """Return the noise schedule of Stable Diffusion."""
    return diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
    )


def unet() -> Any:
    """Return the denoiser of Stable Diffusion, which works on 16 x 16 latents of 32 x 32 images."""
    return diffusers.UNet2DConditionModel(
        **BLOCKS,
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
    )


def save_stable_diffusion(folder: Path) -> None:
    """Write a Stable Diffusion pipeline without a safety checker."""
    torch.manual_seed(0)
    diffusers.StableDiffusionPipeline(
        **clip_parts(folder / "parts"),
        unet=unet(),
        scheduler=schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder / "pipeline")


def save_animatediff(folder: Path) -> None:
    """Write Stable Diffusion's pipeline with motion, and the motion adapter by itself."""
    torch.manual_seed(0)
    adapter = diffusers.MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_norm_num_groups=4,
        motion_num_attention_heads=2,
        motion_max_seq_length=8,
        use_motion_mid_block=False,
    )
    adapter.save_pretrained(folder / "adapter")
    diffusers.AnimateDiffPipeline(
        **clip_parts(folder / "parts"),
        unet=unet(),
        motion_adapter=adapter,
        scheduler=schedule(),
    ).save_pretrained(folder / "pipeline")


def t5_parts(folder: Path) -> tuple[Any, Any]:
    """Return T5's tokenizer and encoder."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocabulary = [*special, *[(f"▁{word}", -1.0) for word in WORDS]]
    tokenizer = transformers.T5Tokenizer(vocab=vocabulary, extra_ids=0)
    tokenizer.model_max_length = 8
    return tokenizer, transformers.T5EncoderModel(transformers.T5Config(**T5))


def save_audioldm2(folder: Path) -> None:
    """Write an AudioLDM2 pipeline: CLAP, T5, GPT-2, a latent denoiser, a vocoder at 16 kHz."""
    torch.manual_seed(0)
    letters = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}
    letters |= {letter: n + 5 for n, letter in enumerate("abcdefghijklmnopqrstuvwxyzĠ")}
    roberta = transformers.RobertaTokenizer(vocab=letters, merges=[])
    roberta.model_max_length = 12
    text = {**SIZES, "vocab_size": 64, "max_position_embeddings": 40, "pad_token_id": 1}
    sound = {
        "hidden_size": 16,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "num_hidden_layers": 2,
        "spec_size": 64,
        "num_mel_bins": 16,
        "window_size": 2,
    }
    clap = transformers.ClapModel(
        transformers.ClapConfig(audio_config=sound, text_config=text, projection_dim=12)
    )
    t5_tokenizer, t5 = t5_parts(folder)
    gpt = transformers.GPT2Config(
        n_embd=16, n_layer=1, n_head=2, vocab_size=32, bos_token_id=0, eos_token_id=1
    )
    gpt.max_new_tokens = 4
    vae = diffusers.AutoencoderKL(
        **BLOCKS,
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
    )
    denoiser = diffusers.AudioLDM2UNet2DConditionModel(
        **BLOCKS,
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=(16, 16),
        attention_head_dim=4,
    )
    vocoder = transformers.SpeechT5HifiGan(
        transformers.SpeechT5HifiGanConfig(
            model_in_dim=8,
            sampling_rate=16000,
            upsample_initial_channel=16,
            upsample_rates=[2, 2],
            upsample_kernel_sizes=[4, 4],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1]],
            normalize_before=False,
        )
    )
    diffusers.AudioLDM2Pipeline(
        vae=vae,
        text_encoder=clap,
        text_encoder_2=t5,
        projection_model=diffusers.AudioLDM2ProjectionModel(12, 16, 16),
        language_model=transformers.GPT2LMHeadModel(gpt),
        tokenizer=roberta,
        tokenizer_2=t5_tokenizer,
        feature_extractor=transformers.ClapFeatureExtractor(feature_size=16),
        unet=denoiser,
        scheduler=schedule(),
        vocoder=vocoder,
    ).save_pretrained(folder / "pipeline")


def save_stable_audio(folder: Path) -> None:
    """Write a Stable Audio pipeline: T5, a transformer, a stereo autoencoder at 16 kHz."""
    torch.manual_seed(0)
    tokenizer, t5 = t5_parts(folder)
    diffusers.StableAudioPipeline(
        vae=diffusers.AutoencoderOobleck(
            encoder_hidden_size=8,
            downsampling_ratios=[4, 8],
            channel_multiples=[1, 2],
            decoder_channels=8,
            decoder_input_channels=4,
            audio_channels=2,
            sampling_rate=16000,
        ),
        text_encoder=t5,
        projection_model=diffusers.StableAudioProjectionModel(16, 16, 0, 32),
        tokenizer=tokenizer,
        transformer=diffusers.StableAudioDiTModel(
            sample_size=64,
            in_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            num_key_value_attention_heads=2,
            out_channels=4,
            cross_attention_dim=16,
            time_proj_dim=16,
            global_states_input_dim=32,
            cross_attention_input_dim=16,
        ),
        scheduler=diffusers.EDMDPMSolverMultistepScheduler(
            sigma_min=0.3,
            sigma_max=500,
            prediction_type="v_prediction",
            sigma_schedule="exponential",
        ),
    ).save_pretrained(folder / "pipeline")
