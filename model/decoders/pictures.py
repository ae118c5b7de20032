"""Images and videos: the Stable Diffusion family and AnimateDiff, starting from the present."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import ConfigurationError
from ..modalities import ImageSpec, VideoSpec
from .pipeline import DecoderConfig, PipelineDecoder, load_pipeline
from .projection import Condition


class PictureDecoder(PipelineDecoder):
    """What both share: one CLIP text condition, and pictures of the pipeline's own size."""

    spec: ImageSpec | VideoSpec

    def conditions(self) -> list[Condition]:
        """Return one condition: 77 tokens as wide as the cross-attention reads them."""
        length = self.pipeline.tokenizer.model_max_length
        return [Condition("prompt_embeds", length, self.pipeline.unet.config.cross_attention_dim)]

    @torch.no_grad()
    def describe(self, sentences: Sequence[str]) -> dict[str, Tensor]:
        """Return the text encoder's output ``(B, 77, width)``."""
        device = self.pipeline.unet.device
        found, _ = self.pipeline.encode_prompt(list(sentences), device, 1, False)
        return {"prompt_embeds": found}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that the pipeline works at: the spec's shape, its own shorter edge."""
        scale, sample = self.pipeline.vae_scale_factor, self.pipeline.unet.config.sample_size
        edge = self.config.size or scale * (sample if isinstance(sample, int) else min(sample))
        short = min(self.spec.height, self.spec.width)
        sides = (edge * side / short for side in (self.spec.height, self.spec.width))
        height, width = (max(scale, round(side / scale) * scale) for side in sides)
        return height, width

    def settings(self) -> dict[str, Any]:
        """Return what every call says."""
        height, width = self.size
        return {
            "num_inference_steps": self.config.steps,
            "guidance_scale": self.config.guidance,
            "output_type": "pt",
            "height": height,
            "width": width,
        }

    def enlarge(self, pictures: Tensor) -> Tensor:
        """Return ``(N, 3, h, w)`` in [0, 1] of ``(N, H, W, 3)`` uint8, at the pipeline's size."""
        x = pictures.permute(0, 3, 1, 2).float() / 255
        x = torch.nn.functional.interpolate(x, self.size, mode="bicubic", antialias=True)
        return x.clamp(0, 1)

    def shrink(self, pictures: Tensor) -> Tensor:
        """Return ``(N, H, W, 3)`` uint8 of ``(N, 3, h, w)`` in [0, 1]."""
        target = (self.spec.height, self.spec.width)
        x = torch.nn.functional.interpolate(
            pictures.float(), target, mode="bicubic", antialias=True
        )
        return x.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)


class ImageDecoder(PictureDecoder):
    """Stable Diffusion 1 and 2: from the present image where there is one, else from noise."""

    pipelines: ClassVar[tuple[str, ...]] = (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
    )
    spec: ImageSpec

    def render(
        self, conditions: dict[str, Tensor], previous: Tensor | None, noise: list[torch.Generator]
    ) -> Tensor:
        """Return images ``(B, H, W, 3)`` uint8.

        Raises:
            ConfigurationError: if the pipeline's safety checker blanked one of them.
        """
        from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline

        pipeline: Any
        parts, settings = self.pipeline.components, self.settings()
        checked = {"requires_safety_checker": parts["safety_checker"] is not None}
        if previous is None:
            pipeline = StableDiffusionPipeline(**parts, **checked)
        else:
            pipeline = StableDiffusionImg2ImgPipeline(**parts, **checked)
            settings |= {"image": self.enlarge(previous), "strength": self.config.strength}
            del settings["height"], settings["width"]  # the image has them
        pipeline.set_progress_bar_config(disable=True)
        output = pipeline(**conditions, **settings, generator=noise)
        blanked = [n for n, found in enumerate(output.nsfw_content_detected or ()) if found]
        if blanked:
            raise ConfigurationError(
                f"the safety checker of {self.config.path!r} blanked the images of rows {blanked}; "
                "save the pipeline without it, or choose another one."
            )
        return self.shrink(output.images)


class VideoDecoder(PictureDecoder):
    """AnimateDiff: from the present video where there is one, else from noise."""

    pipelines: ClassVar[tuple[str, ...]] = (
        "AnimateDiffPipeline",
        "AnimateDiffVideoToVideoPipeline",
    )
    spec: VideoSpec

    def _load(self, config: DecoderConfig) -> Any:
        if not config.motion_adapter:
            return load_pipeline(config.path, self.pipelines)
        from diffusers import MotionAdapter

        try:
            adapter = MotionAdapter.from_pretrained(config.motion_adapter, use_safetensors=True)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"no motion adapter can be loaded from {config.motion_adapter!r}: {error}"
            ) from error
        return load_pipeline(config.path, self.pipelines, motion_adapter=adapter)

    def render(
        self, conditions: dict[str, Tensor], previous: Tensor | None, noise: list[torch.Generator]
    ) -> Tensor:
        """Return videos ``(B, T, H, W, 3)`` uint8."""
        from diffusers import AnimateDiffPipeline, AnimateDiffVideoToVideoPipeline

        pipeline: Any
        parts, settings = self.pipeline.components, self.settings()
        rows, frames = len(noise), self.spec.frames
        if previous is None:
            pipeline = AnimateDiffPipeline(**parts)
            settings["num_frames"] = frames
        else:
            pipeline = AnimateDiffVideoToVideoPipeline(**parts)
            clips = self.enlarge(previous.flatten(0, 1)).unflatten(0, (rows, frames))
            settings |= {"video": list(clips), "strength": self.config.strength}
        pipeline.set_progress_bar_config(disable=True)
        output = pipeline(**conditions, **settings, generator=noise).frames  # (B, T, 3, h, w)
        return self.shrink(output.flatten(0, 1)).unflatten(0, (rows, frames))
