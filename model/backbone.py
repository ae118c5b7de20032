"""The language model in the middle: any causal LM of transformers, fed with embeddings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from .errors import ConfigurationError


def backbone_config(settings: dict[str, Any]) -> PreTrainedConfig:
    """Return the transformers configuration of ``settings`` (its fields and a ``model_type``)."""
    settings = dict(settings)
    try:
        config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            f"no transformers backbone can be built from {settings}: {error}. "
            "Give the fields of a causal LM's configuration and its 'model_type'."
        ) from error
    config._attn_implementation = "eager"  # faster than sdpa with a 4-D mask in training on CPU
    return config


class Backbone(nn.Module):
    """A causal language model without its vocabulary head, run on embeddings under own masks."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Build the model of ``settings``, randomly initialised."""
        super().__init__()
        self.model = AutoModel.from_config(backbone_config(settings))

    @property
    def hidden(self) -> int:
        """Width D of the hidden states."""
        return self.model.config.hidden_size

    def forward(self, tokens: Tensor, mask: Tensor, positions: Tensor, cache: Any = None) -> Tensor:
        """Return hidden states ``(B, L, D)`` of ``tokens`` ``(B, L, D)``.

        Args:
            tokens: embeddings.
            mask: additive, ``(B or 1, 1, L, S)`` float; S counts cached and new keys.
            positions: ``(1 or B, L)`` int64.
            cache: a transformers ``Cache`` for step-by-step prediction.
        """
        output = self.model(
            inputs_embeds=tokens,
            attention_mask=mask.to(tokens.dtype),
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state

    @torch.no_grad()
    def inverse_frequencies(self) -> Tensor:
        """Return the rotary frequencies ``(head/2,)``, needed to turn cached keys back."""
        rotary = getattr(self.model, "rotary_emb", None)
        if rotary is None or not hasattr(rotary, "inv_freq"):
            raise ConfigurationError(
                f"{type(self.model).__name__} has no rotary positions; imagination past the "
                "context needs them. Use a Llama, Qwen, Mistral, Gemma or SmolLM backbone."
            )
        return rotary.inv_freq
