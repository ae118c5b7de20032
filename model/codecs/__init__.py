"""Discrete codecs, one file a modality: raw observations to codes and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigurationError
from ..modalities import AudioSpec, ImageSpec, ModalitySpec, TextSpec, VectorSpec
from .audio import AudioCodec, AudioCodecConfig
from .codec import Codec, CodecOutput
from .fsq import FSQ
from .image import ImageCodec, ImageCodecConfig
from .text import TextCodec
from .vector import VectorCodec, VectorCodecConfig

__all__ = [
    "FSQ",
    "AudioCodec",
    "AudioCodecConfig",
    "Codec",
    "CodecConfig",
    "CodecOutput",
    "ImageCodec",
    "ImageCodecConfig",
    "TextCodec",
    "VectorCodec",
    "VectorCodecConfig",
    "build_codec",
]


@dataclass(frozen=True)
class CodecConfig:
    """The settings of the codecs of a world, one part per modality that has settings."""

    image: ImageCodecConfig = field(default_factory=ImageCodecConfig)
    audio: AudioCodecConfig = field(default_factory=AudioCodecConfig)
    vector: VectorCodecConfig = field(default_factory=VectorCodecConfig)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return the settings as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Mapping[str, Any]]) -> CodecConfig:
        """Return the settings written by :meth:`to_json`; unknown names are an error."""
        try:
            return cls(
                image=ImageCodecConfig(**data.get("image", {})),
                audio=AudioCodecConfig(**data.get("audio", {})),
                vector=VectorCodecConfig(**data.get("vector", {})),
            )
        except TypeError as error:
            raise ConfigurationError(f"the codec settings do not fit: {error}") from error


def build_codec(spec: ModalitySpec, config: CodecConfig | None = None) -> Codec:
    """Return the untrained codec of ``spec``."""
    config = config or CodecConfig()
    if isinstance(spec, ImageSpec):
        return ImageCodec(spec, config.image)
    if isinstance(spec, AudioSpec):
        return AudioCodec(spec, config.audio)
    if isinstance(spec, TextSpec):
        return TextCodec(spec)
    if isinstance(spec, VectorSpec):
        return VectorCodec(spec, config.vector)
    raise ConfigurationError(
        f"there is no codec for {type(spec).__name__}; there are codecs for ImageSpec, AudioSpec, "
        "TextSpec and VectorSpec."
    )
