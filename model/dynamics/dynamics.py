"""Dynamics: one step is one forward pass of the language model, and all is read from it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..batch import Batch, LossOutput
from ..configuration import WorldGPTConfig
from ..modalities import Modality
from ..processor import Processor
from ..states import flatten_time
from .backbone import Backbone
from .embeddings import StepEmbedding
from .heads import Consistency, Ensemble, ReadOut, StateReader
from .layout import Block, Reading, TokenCounts, additive
from .losses import LossWeights, mean, outcome_losses, state_loss
from .reward_heads import Outcome, OutcomeReader


class Dynamics(nn.Module):
    """Predicts the next state, reward and end from a state and an action (WorldGPT §3.1).

    The hidden states at the signal tokens give all codes of the next state in parallel; reward,
    end and uncertainty are read at the action slot of the same pass.

    Args:
        config: sizes of the model.
        processor: gives the shape of the codes and the actions; it is not kept.
    """

    def __init__(self, config: WorldGPTConfig, processor: Processor) -> None:
        """Build or load the backbone and the heads."""
        super().__init__()
        self.context = config.context
        self.tokens = count_tokens(config, processor)
        self.backbone = Backbone(config.backbone)
        hidden = self.backbone.hidden
        self.embedding = StepEmbedding(config, processor, self.tokens, hidden)
        self.state = StateReader(config, processor, self.tokens, hidden)
        self.outcome = OutcomeReader(config, processor, hidden)
        sizes = processor.latent_sizes
        self.ensemble = Ensemble(hidden, sum(sizes.values()), config.ensemble)
        self.consistency = Consistency(sizes)
        if config.reflector_config is not None:
            self.embedding.add_reflector(config.reflector_config, hidden)

    def reading(self, contexts: int, reflected: bool) -> Reading:
        """Return how ``contexts`` transitions in front of a step are read."""
        reflector = self.embedding.reflector
        return Reading(contexts, reflected, reflector.config.queries if reflector else 4)

    def read_window(self, batch: Batch, block: Block) -> tuple[ReadOut, Outcome]:
        """Run windows ``(B, T)`` through the backbone in one pass; the results have rows ``B T``.

        The outcome may be read from the true next state, as it is known here.
        """
        rows, steps = batch.reward.shape
        present = flatten_time(batch.present_now)
        action, contexts = batch.action.flatten(0, 1), batch.contexts
        step = self.embedding(flatten_time(batch.now), action, block, present, contexts)
        tokens = step.tokens.view(rows, steps * block.size, -1)  # (B, T size, D)
        visible = block.window_visibility(steps, self.context).to(tokens.device)[None, None]
        mask = step.presence(block, present)  # (B T, size)
        if mask is not None:
            visible = visible & mask.view(rows, 1, 1, -1)
        positions = block.window_positions(steps).to(tokens.device)
        hidden = self.backbone(tokens, additive(visible), positions)
        hidden = hidden.view(rows * steps, block.size, -1)[:, block.kept - 1 :]
        out = self.state(hidden, step.state, block)
        target, known = flatten_time(batch.next), flatten_time(batch.present_next)
        next_state = {m: target[m] for m in out.predicted}
        cells = self.embedding.cells(next_state, known) if self.outcome.reads_next_state else {}
        return out, self.outcome(out.hidden, step.state, cells)

    def forward(
        self,
        batch: Batch,
        latent: dict[Modality, Tensor],
        inputs: Sequence[Modality] | None = None,
        outputs: Sequence[Modality] | None = None,
        weights: LossWeights | None = None,
        reading: Reading | None = None,
    ) -> LossOutput:
        """Return the weighted loss of a batch of windows, and its parts.

        Args:
            batch: windows of transitions, with targets.
            latent: of the next states, per modality ``(B T, F)``; zeros where one is absent.
            inputs: modalities that are read, all by default.
            outputs: modalities that are predicted, all by default.
            weights: of the parts.
            reading: how the batch's contexts are read.
        """
        weights = weights or LossWeights()
        out, outcome = self.read_window(batch, self.tokens.block(inputs, outputs, reading))
        valid = batch.valid.flatten()  # (B T,)
        present = flatten_time(batch.present_next)
        metrics: dict[str, Tensor] = {}
        loss, state = torch.zeros((), device=valid.device), torch.zeros((), device=valid.device)
        for modality in out.predicted:
            known = valid * present[modality] if modality in present else valid
            part, figures = state_loss(out, batch, modality, known, weights)
            loss = loss + part
            state += part.detach() / len(out.predicted)
            metrics |= {f"{name}/{modality}": value for name, value in figures.items()}
        parts = outcome_losses(self.outcome.reward_head, outcome, batch, valid)
        whole = torch.cat(list(latent.values()), -1)
        parts["ensemble"] = self.ensemble.loss(out.hidden, whole, valid)
        some = {m: mask[::4] for m, mask in present.items()}
        parts["consistency"] = self.consistency.loss({m: x[::4] for m, x in latent.items()}, some)
        if out.signal_nats is not None:
            parts["signal"] = mean(out.signal_nats, valid)
        for name, value in parts.items():
            loss = loss + getattr(weights, name) * value
        metrics |= {name: value.detach() for name, value in parts.items()}
        return LossOutput(loss, metrics | {"state": state, "total": loss.detach()})


def count_tokens(config: WorldGPTConfig, processor: Processor) -> TokenCounts:
    """Return how many backbone tokens each modality and an action in words have."""
    counts, signals = {}, {}
    for modality in processor.specs:
        codec = processor.codec(modality)
        rows = codec.grid[0] if config.image_tokens == "rows" else codec.cells
        pictures = modality in (Modality.IMAGE, Modality.VIDEO)
        counts[modality] = codec.cells if codec.continuous else rows if pictures else 1
        signals[modality] = config.signal_tokens if codec.continuous else counts[modality]
    spec = processor.action_spec
    words = spec.sizes[0] if spec.kind == "text" else 0
    return TokenCounts(tuple(counts.items()), tuple(signals.items()), words)
