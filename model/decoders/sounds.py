"""Sounds through AudioLDM2, and through Stable Audio starting from the present sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..codecs.preparation import resample
from ..errors import ConfigurationError
from ..modalities import AudioSpec
from .pipeline import DecoderConfig, PipelineDecoder
from .projection import Condition


class AudioDecoder(PipelineDecoder):
    """AudioLDM2 (mono; it cannot start from a sound) or Stable Audio (stereo; it can)."""

    pipelines: ClassVar[tuple[str, ...]] = ("AudioLDM2Pipeline", "StableAudioPipeline")
    spec: AudioSpec

    def __init__(self, spec: AudioSpec, config: DecoderConfig) -> None:
        """Load the pipeline; refuse more channels than two."""
        if spec.channels > 2:
            raise ConfigurationError(f"sounds have {spec.channels} channels; decoders make 1 or 2.")
        super().__init__(spec, config)

    @property
    def stable(self) -> bool:
        """Whether this is Stable Audio."""
        return type(self.pipeline).__name__ == "StableAudioPipeline"

    def conditions(self) -> list[Condition]:
        """Return T5's tokens, and for AudioLDM2 those that its GPT-2 generates."""
        pipeline = self.pipeline
        if self.stable:
            length, width = (
                pipeline.tokenizer.model_max_length,
                pipeline.text_encoder.config.d_model,
            )
            return [Condition("prompt_embeds", min(length, 512), width)]
        generated = pipeline.language_model.config
        return [
            Condition(
                "prompt_embeds",
                self.config.words,
                pipeline.text_encoder_2.config.d_model,
                "attention_mask",
            ),
            Condition("generated_prompt_embeds", generated.max_new_tokens, generated.n_embd),
        ]

    @torch.no_grad()
    def describe(self, sentences: Sequence[str]) -> dict[str, Tensor]:
        """Return what the text encoders give.

        ``prompt_embeds`` ``(B, words, width)`` are T5's, zero past the end; for AudioLDM2 with
        their ``attention_mask`` ``(B, words)``, and with ``generated_prompt_embeds``.
        """
        pipeline, texts = self.pipeline, list(sentences)
        second = not self.stable
        tokenizer = pipeline.tokenizer_2 if second else pipeline.tokenizer
        encoder = pipeline.text_encoder_2 if second else pipeline.text_encoder
        length = self.projection.conditions[0].length
        inputs = tokenizer(texts, padding="max_length", max_length=length, return_tensors="pt")
        if inputs.input_ids.shape[1] > length:
            raise ConfigurationError(
                f"a description is {inputs.input_ids.shape[1]} tokens long; this decoder reads "
                f"{length}: raise words."
            )
        ids, mask = inputs.input_ids.to(encoder.device), inputs.attention_mask.to(encoder.device)
        hidden = encoder(ids, attention_mask=mask)[0] * mask[..., None]
        if self.stable:
            return {"prompt_embeds": hidden}
        generated = pipeline.encode_prompt(texts, encoder.device, 1, False)[2]
        return {
            "prompt_embeds": hidden,
            "attention_mask": mask,
            "generated_prompt_embeds": generated,
        }

    def unconditional(self, rows: int) -> dict[str, Tensor]:
        """Return the empty description's; Stable Audio sets its own to zero."""
        return {} if self.stable else super().unconditional(rows)

    def render(
        self, conditions: dict[str, Tensor], previous: Tensor | None, noise: list[torch.Generator]
    ) -> Tensor:
        """Return sounds ``(B, S, channels)`` float32, cut to [-1, 1].

        Raises:
            ConfigurationError: for AudioLDM2 with a present sound.
        """
        if previous is not None and not self.stable:
            raise ConfigurationError(
                "AudioLDM2 cannot start from a sound; call it without the present one, or use a "
                "Stable Audio pipeline."
            )
        seconds = self.spec.samples / self.spec.rate
        settings: dict[str, Any] = {
            "num_inference_steps": self.config.steps,
            "guidance_scale": self.config.guidance,
            "output_type": "pt",
            "generator": noise,
        }
        if self.stable:
            sound = self._stable(conditions, previous, seconds, settings)
            rate = self.pipeline.vae.config.sampling_rate
        else:
            sound, rate = self._latent(conditions, seconds, settings)
        channels = sound.shape[1]
        sound = resample(sound.float().flatten(0, 1), rate, self.spec.rate)
        sound = sound.unflatten(0, (-1, channels))[..., : self.spec.samples]  # (B, channels, S)
        if self.spec.channels < channels:
            sound = sound.mean(1, keepdim=True)
        sound = sound.expand(-1, self.spec.channels, -1)
        return sound.clamp(-1, 1).transpose(1, 2).contiguous()

    def _latent(
        self, conditions: dict[str, Tensor], seconds: float, settings: dict[str, Any]
    ) -> tuple[Tensor, int]:
        """Return mono sounds ``(B, 1, S)`` of AudioLDM2 and their rate; it has a least length."""
        pipeline = self.pipeline
        vocoder = pipeline.vocoder.config
        hop = 1.0
        for rate in vocoder.upsample_rates:
            hop *= rate
        least = pipeline.vae_scale_factor * hop / vocoder.sampling_rate
        length = max(seconds + 0.01, least)
        sound = pipeline(**conditions, **settings, audio_length_in_s=length).audios
        return torch.as_tensor(sound)[:, None], int(vocoder.sampling_rate)

    def _stable(
        self,
        conditions: dict[str, Tensor],
        previous: Tensor | None,
        seconds: float,
        settings: dict[str, Any],
    ) -> Tensor:
        """Return sounds ``(B, channels, S)`` of Stable Audio.

        With a present sound, denoising starts from it under less noise: between the least and the
        most noise of the schedule, at ``strength`` on a logarithmic scale.
        """
        from diffusers import StableAudioPipeline

        parts = dict(self.pipeline.components)
        if previous is not None:
            scheduler = parts["scheduler"]
            low, high = scheduler.config.sigma_min, scheduler.config.sigma_max
            start = low ** (1 - self.config.strength) * high**self.config.strength
            parts["scheduler"] = type(scheduler).from_config(scheduler.config, sigma_max=start)
            settings["initial_audio_waveforms"] = self._own_sound(previous)
            settings["initial_audio_sampling_rate"] = self.pipeline.vae.config.sampling_rate
        pipeline: Any = StableAudioPipeline(**parts)
        pipeline.set_progress_bar_config(disable=True)
        sound: Tensor = pipeline(**conditions, **settings, audio_end_in_s=seconds + 0.01).audios
        return sound

    def _own_sound(self, previous: Tensor) -> Tensor:
        """Return the present sound ``(B, channels, S)`` at the pipeline's rate, and its length."""
        vae = self.pipeline.vae
        sound = previous.transpose(1, 2)
        if self.spec.channels < vae.config.audio_channels:
            sound = sound.expand(-1, vae.config.audio_channels, -1)
        flat = resample(sound.flatten(0, 1), self.spec.rate, vae.config.sampling_rate)
        sound = flat.unflatten(0, sound.shape[:2])
        length = int(self.pipeline.transformer.config.sample_size) * vae.hop_length
        sound = sound[..., :length]
        return torch.nn.functional.pad(sound, (0, length - sound.shape[-1]))
