"""The networks that predict the change of a state: plain MLPs, or a Llama read at signal tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .ensemble import EnsembleLinear, ensemble_mlp, select_members

BACKBONES = ("mlp", "llama")


class MlpBackbone(nn.Module):
    """One MLP per member over state and action."""

    def __init__(
        self, members: int, state: int, action: int, outputs: int, width: int, layers: int
    ) -> None:
        """Build ``members`` networks with ``layers`` hidden layers of ``width``."""
        super().__init__()
        self.body = ensemble_mlp(members, state + action, width, outputs, layers)

    def forward(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return ``(K, B, outputs)`` of ``(K, B, state)`` and ``(K, B, action)``."""
        return self.body(torch.cat([states, actions], dim=-1))

    def keep_members(self, members: Tensor) -> None:
        """Keep only ``members``, in place."""
        select_members(self, members)


class LlamaBackbone(nn.Module):
    """A small Llama over ``[state, action, signal token]``, read at the signal token.

    The read-out is that of WorldGPT §3.1. Each member has a signal token and a head of its own; the
    Llama is shared, so members differ less than separate networks do.
    """

    def __init__(
        self, members: int, state: int, action: int, outputs: int, width: int, layers: int
    ) -> None:
        """Build a Llama with ``layers`` layers of ``width``, a multiple of 8."""
        super().__init__()
        from transformers import LlamaConfig, LlamaModel

        self.llama = LlamaModel(
            LlamaConfig(
                hidden_size=width,
                intermediate_size=2 * width,
                num_hidden_layers=layers,
                num_attention_heads=4,
                vocab_size=2,  # tokens come in as embeddings
                bos_token_id=None,
                eos_token_id=None,
                max_position_embeddings=8,
            )
        )
        self.state = nn.Linear(state, width)
        self.action = nn.Linear(action, width)
        self.signal = nn.Parameter(torch.randn(members, 1, width) * 0.5)
        self.head = nn.Sequential(
            EnsembleLinear(members, width, width),
            nn.SiLU(),
            EnsembleLinear(members, width, outputs),
        )

    def forward(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return ``(K, B, outputs)`` of ``(K, B, state)`` and ``(K, B, action)``."""
        members, rows, _ = states.shape
        signal = self.signal.expand(members, rows, -1)
        tokens = torch.stack([self.state(states), self.action(actions), signal], dim=2)
        read = self.llama(inputs_embeds=tokens.flatten(0, 1), use_cache=False).last_hidden_state
        return self.head(read[:, -1].view(members, rows, -1))  # (K*B, 3, D) to (K, B, D)

    def keep_members(self, members: Tensor) -> None:
        """Keep only ``members``, in place."""
        self.signal = nn.Parameter(self.signal.detach()[members], requires_grad=False)
        select_members(self, members)
