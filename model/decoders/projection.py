"""From predicted embeddings to what a pipeline's text encoder would give: learned queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import ConfigurationError


@dataclass(frozen=True)
class Condition:
    """One input of a pipeline that a description would fill.

    Attributes:
        name: the keyword, such as ``"prompt_embeds"``.
        length: tokens.
        width: of a token.
        mask: the keyword of its attention mask; empty where the pipeline reads all tokens.
    """

    name: str
    length: int
    width: int
    mask: str = ""


class DecoderProjection(nn.Module):
    """Turns states ``(B, C, E)`` into the conditions of a diffusion pipeline.

    As in the paper's output head (WorldGPT §3.1), learned queries look at the state and at each
    other: one for each token of each condition.

    Args:
        width: ``E``, of a cell of the state.
        conditions: what the pipeline reads.
        hidden: width of the queries.
        layers: of attention.
    """

    fitted: Tensor

    def __init__(
        self, width: int, conditions: Sequence[Condition], hidden: int = 256, layers: int = 2
    ) -> None:
        """Build the queries and their layers."""
        super().__init__()
        if hidden % 32 or layers < 1 or not conditions:
            raise ConfigurationError(
                f"the projection is {hidden} wide with {layers} layers for {len(conditions)} "
                "conditions; the width is a multiple of 32, and neither count is zero."
            )
        self.conditions, self.hidden, self.layers = tuple(conditions), hidden, layers
        self.into = nn.Linear(width, hidden)
        total = sum(condition.length for condition in conditions)
        self.queries = nn.Parameter(torch.randn(total, hidden))
        layer = nn.TransformerDecoderLayer(
            hidden, hidden // 32, 4 * hidden, dropout=0.0, batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, layers, norm=nn.LayerNorm(hidden))
        self.outputs = nn.ModuleDict({c.name: nn.Linear(hidden, c.width) for c in conditions})
        self.masks = nn.ModuleDict({c.mask: nn.Linear(hidden, 1) for c in conditions if c.mask})
        for c in conditions:
            self.register_buffer(f"mean_{c.name}", torch.zeros(c.length, c.width))
            self.register_buffer(f"scale_{c.name}", torch.ones(()))
        self.register_buffer("fitted", torch.tensor(False))

    @torch.no_grad()
    def fit_statistics(self, targets: Mapping[str, Tensor]) -> None:
        """Start from the mean description, in units of how far descriptions are from it.

        Args:
            targets: as :meth:`loss` wants them.
        """
        for condition in self.conditions:
            target = targets[condition.name].float()
            kept = torch.ones(target.shape[:2]).to(target)
            if condition.mask:
                kept = targets[condition.mask].to(target)
            mean = (target * kept[..., None]).sum(0) / kept.sum(0).clamp(min=1)[:, None]
            error = ((target - mean).square().mean(-1) * kept).sum() / kept.sum().clamp(min=1)
            self.get_buffer(f"mean_{condition.name}").copy_(mean)
            self.get_buffer(f"scale_{condition.name}").copy_(error.sqrt().clamp(min=1e-4))
        self.fitted.fill_(True)

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Return each condition ``(B, length, width)``, and the logit ``(B, length)`` of its mask.

        Args:
            tokens: the state, ``(B, C, E)``.
        """
        memory = self.into(tokens)  # (B, C, hidden)
        hidden = self.decoder(self.queries.expand(len(tokens), -1, -1), memory)
        parts = hidden.split([condition.length for condition in self.conditions], 1)
        found: dict[str, Tensor] = {}
        for condition, part in zip(self.conditions, parts, strict=True):
            mean, scale = self._statistics(condition)
            found[condition.name] = mean + scale * self.outputs[condition.name](part)
            if condition.mask:
                found[condition.mask] = self.masks[condition.mask](part).squeeze(-1)
        return found

    def _statistics(self, condition: Condition) -> tuple[Tensor, Tensor]:
        name = condition.name
        return self.get_buffer(f"mean_{name}"), self.get_buffer(f"scale_{name}")

    @torch.no_grad()
    def conditions_of(self, tokens: Tensor) -> dict[str, Tensor]:
        """Return what the pipeline is called with: conditions, and masks of 0 and 1 (int64)."""
        found = self(tokens)
        for mask in self.masks:
            kept = (found[mask] > 0).long()
            kept[:, 0] = 1  # no description is empty: it has its end at least
            found[mask] = kept
        return found

    def loss(self, tokens: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the squared error against the text encoder's output, and that of the masks.

        Args:
            tokens: the states of what is described, ``(B, C, E)``.
            targets: what the pipeline's own text encoder gives for the true descriptions: each
                condition ``(B, length, width)``, and its mask ``(B, length)``.

        Returns:
            A scalar: over the conditions, the mean squared error of the tokens that count, in
            units of their variance, plus the cross-entropy of the mask.
        """
        found = self(tokens)
        total = tokens.new_zeros(())
        for condition in self.conditions:
            _, scale = self._statistics(condition)
            error = (found[condition.name] - targets[condition.name].float()) / scale
            error = error.square().mean(-1)  # (B, length)
            if not condition.mask:
                total = total + error.mean()
                continue
            kept = targets[condition.mask].float()  # (B, length)
            total = total + (error * kept).sum() / kept.sum().clamp(min=1)
            logits = found[condition.mask]
            total = total + nn.functional.binary_cross_entropy_with_logits(logits, kept)
        return total


def train_projection(
    projection: DecoderProjection,
    tokens: Tensor,
    targets: Mapping[str, Tensor],
    *,
    updates: int = 1000,
    rows: int = 64,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> list[float]:
    """Train ``projection`` on states and what their descriptions say to the pipeline.

    Args:
        projection: of a decoder; nothing else of the decoder trains.
        tokens: ``(N, C, E)``.
        targets: as :meth:`DecoderProjection.loss` wants them, of ``N`` descriptions.
        updates: optimiser steps.
        rows: states of a step.
        learning_rate: of AdamW, falling linearly to 0.
        seed: of the order of the rows.

    Returns:
        The loss of every update.
    """
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(projection.parameters(), lr=learning_rate)
    losses = []
    if not projection.fitted:
        projection.fit_statistics(targets)
    projection.train()
    for update in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - update / updates)
        chosen = torch.randint(len(tokens), (min(rows, len(tokens)),), generator=draw)
        chosen = chosen.to(tokens.device)
        part = {name: target[chosen] for name, target in targets.items()}
        loss = projection.loss(tokens[chosen], part)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(projection.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    projection.eval()
    return losses
