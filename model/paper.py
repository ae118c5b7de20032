"""The model of the paper in the words of our configuration: pretrained parts around a LoRA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import ConfigurationError
from .modalities import Modality

SIGNAL_TOKENS = 16
LORA: dict[str, Any] = {
    "r": 32,
    "alpha": 32,
    "dropout": 0.1,
    "targets": ["q_proj", "k_proj", "v_proj", "o_proj"],
}


def paper_settings(
    language_model: str,
    encoders: Mapping[Modality, tuple[str, str]],
    *,
    embed_weights: bool = False,
    dtype: str = "float32",
) -> dict[str, Any]:
    """Return the fields of a ``WorldGPTConfig`` as in WorldGPT §3.1 and §5.1.

    A pretrained language model that only LoRA changes (rank 32, alpha 32, dropout 0.1 on the maps
    of queries, keys, values and outputs), frozen encoders that give one vector and so one input
    token a modality, and 16 signal tokens for each modality that is predicted. The width of the
    model is the checkpoint's.

    Args:
        language_model: name on the hub, or folder (the paper: Vicuna 7B).
        encoders: per modality the encoder and its name or folder (the paper: LanguageBind); a
            modality that is not named keeps the codec that is trained with the model.
        embed_weights: save all weights with the model instead of their names and hashes.
        dtype: what the language model's weights are kept in.

    Returns:
        ``backbone``, ``codecs``, ``signal_tokens`` and ``cell_width``; join them with the
        ``modalities`` and the ``action`` of a world.

    Raises:
        ConfigurationError: if no modality has an encoder.
    """
    if not encoders:
        raise ConfigurationError(
            "the paper's model sees through pretrained encoders; name one for a modality at least."
        )
    codecs = {
        str(Modality(modality)): {
            "encoder": encoder,
            "path": path,
            "tokens": "pooled",
            "embed_weights": embed_weights,
        }
        for modality, (encoder, path) in encoders.items()
    }
    backbone = {
        "checkpoint": language_model,
        "lora": dict(LORA),
        "dtype": dtype,
        "embed_weights": embed_weights,
    }
    return {
        "backbone": backbone,
        "codecs": codecs,
        "signal_tokens": SIGNAL_TOKENS,
        "cell_width": 768,
    }
