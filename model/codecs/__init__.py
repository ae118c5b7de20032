"""Codecs, one file a modality: raw observations to states and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bounds import from_fields
from ..errors import ConfigurationError
from ..modalities import AudioSpec, ImageSpec, ModalitySpec, TextSpec, VectorSpec, VideoSpec
from .audio import AudioCodec, AudioCodecConfig
from .codec import Codec, CodecOutput
from .fsq import FSQ
from .image import ImageCodec, ImageCodecConfig
from .text import TextCodec, TextCodecConfig
from .vector import VectorCodec, VectorCodecConfig
from .video import VideoCodec, VideoCodecConfig

__all__ = [
    "FSQ",
    "AudioCodec",
    "AudioCodecConfig",
    "Codec",
    "CodecOutput",
    "ImageCodec",
    "ImageCodecConfig",
    "TextCodec",
    "TextCodecConfig",
    "VectorCodec",
    "VectorCodecConfig",
    "VideoCodec",
    "VideoCodecConfig",
    "build_codec",
]


def build_codec(spec: ModalitySpec, settings: Mapping[str, Any] | None = None) -> Codec:
    """Return the untrained codec of ``spec``.

    Args:
        spec: what the modality looks like.
        settings: fields of the config of its codec that differ from the defaults, as
            :meth:`Codec.to_json` gives them; with an ``"encoder"``, those of a
            :class:`~.pretrained.PretrainedCodecConfig`.

    Raises:
        ConfigurationError: for a spec without a codec, and for settings its codec does not have.
    """
    settings = {} if settings is None else settings
    what = f"the codec of {type(spec).__name__}"
    if isinstance(settings, Mapping) and "encoder" in settings:
        from .pretrained import PretrainedCodec, PretrainedCodecConfig

        return PretrainedCodec(spec, from_fields(PretrainedCodecConfig, settings, what))
    if isinstance(spec, ImageSpec):
        return ImageCodec(spec, from_fields(ImageCodecConfig, settings, what))
    if isinstance(spec, VideoSpec):
        return VideoCodec(spec, from_fields(VideoCodecConfig, settings, what))
    if isinstance(spec, AudioSpec):
        return AudioCodec(spec, from_fields(AudioCodecConfig, settings, what))
    if isinstance(spec, TextSpec):
        return TextCodec(spec, from_fields(TextCodecConfig, settings, what))
    if isinstance(spec, VectorSpec):
        return VectorCodec(spec, from_fields(VectorCodecConfig, settings, what))
    raise ConfigurationError(
        f"there is no codec for {type(spec).__name__}; there are codecs for ImageSpec, VideoSpec, "
        "AudioSpec, TextSpec and VectorSpec."
    )
