"""ContextReflector: what a retrieved or remembered transition means for the present step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..batch_invariant import by_rows
from ..configuration import ReflectorConfig


class ReflectorLayer(nn.TransformerDecoderLayer):
    """A decoder layer that carries its few queries to the context, not the context to them.

    ``q (W x)`` is ``(q W) x``: with four queries and forty tokens a context, to turn the queries
    instead of all keys and values is the same attention for a quarter of the work.
    """

    def _mha_block(
        self,
        x: Tensor,
        mem: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool = False,
    ) -> Tensor:
        """Attend from the queries ``x`` ``(R, Q, W)`` to the context ``mem`` ``(R, n, W)``."""
        attention = self.multihead_attn
        rows, count, width = x.shape
        heads, head = attention.num_heads, attention.head_dim
        into, keys, values = attention.in_proj_weight.chunk(3)  # (W, W) each
        shift, _, mean = attention.in_proj_bias.chunk(3)  # that of the keys moves all scores alike
        query = nn.functional.linear(x, into, shift).view(rows, count, heads, head)
        query = torch.einsum("rqhd,hdw->rhqw", query, keys.view(heads, head, width) * head**-0.5)
        scores = query.flatten(1, 2) @ mem.transpose(1, 2)  # (R, heads Q, n)
        if key_padding_mask is not None:
            scores = scores.masked_fill(key_padding_mask[:, None], float("-inf"))
        seen = (scores.softmax(-1) @ mem).view(rows, heads, count, width)
        value = torch.einsum("rhqw,hdw->rqhd", seen, values.view(heads, head, width))
        mixed: Tensor = attention.out_proj(value.flatten(2) + mean)
        return mixed


class ContextReflector(nn.Module):
    """Conditional queries cross-attend to each context by itself (WorldGPT §4.1).

    The queries are conditioned on the present state and action, so that one transition says
    different things to different moments. A context becomes as many tokens as there are queries.
    """

    def __init__(self, config: ReflectorConfig, hidden: int) -> None:
        """Build the reflector for a language model of width ``hidden``."""
        super().__init__()
        self.config = config
        width = config.width
        self.queries = nn.Parameter(torch.randn(config.queries, width) * 0.5)
        self.condition = nn.Linear(2 * hidden, width)
        self.project = nn.Linear(hidden, width)
        self.parts = nn.Parameter(torch.randn(3, width) * 0.5)  # before, action, after
        layer = ReflectorLayer(
            width, config.heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, config.layers, nn.LayerNorm(width))
        self.outer = nn.Linear(width, hidden)

    def forward(self, tokens: Tensor, part: Tensor, there: Tensor, present: Tensor) -> Tensor:
        """Return the tokens of all contexts, ``(B, K queries, D)``.

        Outside training, a row has the same bits whoever stands beside it.

        Args:
            tokens: of each context, ``(B, K, n, D)``.
            part: ``(n,)`` int64: 0 for tokens of the state before, 1 of the action, 2 after.
            there: ``(B, K, n)`` bool, the tokens that are there.
            present: the present state and action, ``(B, 2 D)``.
        """
        if self.training:
            return self._reflect(tokens, part, there, present)

        def reflect(tokens: Tensor, there: Tensor, present: Tensor) -> Tensor:
            return self._reflect(tokens, part, there, present)

        return by_rows(reflect, [tokens, there, present], "reflect", self)

    def _reflect(self, tokens: Tensor, part: Tensor, there: Tensor, present: Tensor) -> Tensor:
        """Reflect some rows; see :meth:`forward`."""
        rows, contexts, count, _ = tokens.shape
        asked = self.queries + self.condition(present)[:, None]  # (B, queries, W)
        asked = asked.repeat_interleave(contexts, 0)  # (B K, queries, W)
        seen = self.project(tokens.flatten(0, 1)) + self.parts[part]  # (B K, n, W)
        hidden = ~there.view(rows * contexts, count)
        hidden = hidden & ~hidden.all(1, keepdim=True)  # an empty context is hidden as a whole
        reflected = self.outer(self.decoder(asked, seen, memory_key_padding_mask=hidden))
        return reflected.view(rows, contexts * self.config.queries, -1)
