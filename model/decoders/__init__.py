"""Decoders of predicted embeddings: diffusion pipelines by name or folder, one a modality."""

from __future__ import annotations

from .pictures import ImageDecoder, VideoDecoder
from .pipeline import DecoderConfig, PipelineDecoder
from .projection import Condition, DecoderProjection, train_projection
from .sounds import AudioDecoder

__all__ = [
    "AudioDecoder",
    "Condition",
    "DecoderConfig",
    "DecoderProjection",
    "ImageDecoder",
    "PipelineDecoder",
    "VideoDecoder",
    "train_projection",
]
