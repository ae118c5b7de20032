"""A step loop over the weights of a Llama, for imagination on few cores.

The same numbers as the transformers forward pass (tested to 1e-5), with norms and scales folded
into the weights, one product for queries, keys and values and their rotated halves, the cache
written in place, and the last layer computed only where something is read. It pays most for one or
few rows, where the cost is the number of operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaModel

from ..batch_invariant import attend, matmul_rows, silu
from .ring import Ring


@dataclass(frozen=True)
class FusedLayer:
    """The weights of a decoder layer, each contiguous ``(inputs, outputs)``."""

    attend: Tensor  # (D, (2 heads + 3 kv) head): queries and keys, values, queries and keys rotated
    merge: Tensor  # (heads head, D)
    gate_up: Tensor  # (D, 2 I)
    down: Tensor  # (I, D)


class FusedLlama:
    """Runs the blocks of a step through a Llama with the ring as its cache."""

    def __init__(self, model: LlamaModel, ring: Ring) -> None:
        """Fold the weights of ``model`` and make the buffers of ``ring``."""
        config: Any = model.config
        self.ring = ring
        self.heads, self.kv = config.num_attention_heads, config.num_key_value_heads
        self.head = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps = config.rms_norm_eps
        with torch.no_grad():
            self.layers = [self._fold(layer) for layer in model.layers]
            self.gain = model.norm.weight.detach().clone()
            self.frequencies = model.rotary_emb.inv_freq.float()
            angles = ring.positions[..., None] * self.frequencies  # (slots, size, head/2)
            self.cos = torch.cat([angles.cos()] * 2, -1)[:, :, None]  # (slots, size, 1, head)
            self.sin = torch.cat([angles.sin()] * 2, -1)[:, :, None]
        shape = (ring.rows, self.kv, ring.length, self.head)
        self.keys = [self.gain.new_zeros(shape) for _ in self.layers]
        self.values = [self.gain.new_zeros(shape) for _ in self.layers]
        group = self.heads // self.kv
        self.masks = ring.masks.repeat(1, 1, group, 1)  # (slots, ages, group size, S)
        block = ring.block
        self.read = slice(block.kept - 1, block.kept + block.signals)  # action and signals
        self.last_masks = ring.masks[:, :, self.read].repeat(1, 1, group, 1).contiguous()

    @staticmethod
    def supports(model: object) -> bool:
        """Return whether the weights of ``model`` can be run by this loop."""
        config: Any = getattr(model, "config", None)
        return (
            isinstance(model, LlamaModel)
            and config.hidden_act == "silu"
            and not config.attention_bias
            and not config.mlp_bias
            and model.rotary_emb.rope_type == "default"
        )

    def _fold(self, layer: Any) -> FusedLayer:  # a LlamaDecoderLayer
        attention, mlp = layer.self_attn, layer.mlp
        scale = self.head**-0.5
        gain = layer.input_layernorm.weight[:, None]
        turned = torch.cat([attention.q_proj.weight * scale, attention.k_proj.weight])
        pairs = turned.view(-1, 2, self.head // 2, turned.shape[1])
        rotated = torch.stack([-pairs[:, 1], pairs[:, 0]], 1).reshape(turned.shape)
        attend = torch.cat([turned, attention.v_proj.weight, rotated]).T * gain
        gate_up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]).T
        return FusedLayer(
            attend.contiguous(),
            attention.o_proj.weight.T.contiguous(),
            (gate_up * layer.post_attention_layernorm.weight[:, None]).contiguous(),
            mlp.down_proj.weight.T.contiguous(),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Run one block, ``(B, size, D)``; return the action's and signals' hidden states.

        Returns:
            ``(B, 1 + signals, D)``.
        """
        ring, x = self.ring, tokens
        slot = ring.slot if ring.shared is None else ring.shared
        rotation = (self.cos[slot], self.sin[slot])  # (B or none, size, 1, head) each
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            masks = self.last_masks if number == last else self.masks
            mask = ring.hidden(masks[ring.slot, ring.age][:, None])  # (B, 1, group Q, S)
            asked = self.read if number == last else slice(None)
            mixed = self._attention(layer, number, self._norm(x), mask, rotation, asked)
            x = x[:, asked] + matmul_rows(mixed, layer.merge)
            gate, up = matmul_rows(self._norm(x), layer.gate_up).chunk(2, -1)
            x = x + matmul_rows(silu(gate) * up, layer.down)
        return self._norm(x) * self.gain

    def turn_back(self, rows: Tensor) -> None:
        """Turn the keys of ``rows`` back by the length of the ring, as theirs starts over."""
        for keys in self.keys:
            self.ring.turn_back(keys, rows, self.frequencies)

    def _norm(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps)

    def _attention(
        self,
        layer: FusedLayer,
        number: int,
        x: Tensor,
        mask: Tensor,
        rotation: tuple[Tensor, Tensor],
        asked: slice,
    ) -> Tensor:
        cos, sin = rotation
        rows, size, both = x.shape[0], x.shape[1], self.heads + self.kv
        projected = matmul_rows(x, layer.attend).view(rows, size, -1, self.head)
        turned = torch.addcmul(projected[:, :, :both] * cos, projected[:, :, both + self.kv :], sin)
        keys, values = self.keys[number], self.values[number]
        self.ring.write(keys, turned[:, :, self.heads :])
        self.ring.write(values, projected[:, :, both : both + self.kv])
        queries = turned[:, asked, : self.heads].transpose(1, 2)  # (B, heads, Q, head)
        count = queries.shape[2]
        queries = queries.reshape(rows, self.kv, -1, self.head)  # (B, kv, group Q, head)
        mixed = attend(queries, keys, values, mask).view(rows, self.heads, count, self.head)
        return mixed.transpose(1, 2).reshape(rows, count, -1)  # (B, Q, heads head)
