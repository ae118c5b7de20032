"""Imagination: many episodes predicted side by side, one forward pass a step."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ..batch import Prediction
from ..configuration import WorldGPTConfig
from ..contexts import Contexts
from ..dynamics.backbone import Backbone
from ..dynamics.dynamics import Dynamics
from ..dynamics.heads import ReadOut
from ..dynamics.layout import Block
from ..errors import MissingModalityError, NonFiniteError
from ..modalities import Modality
from ..noise import fold, gumbel
from ..processor import Processor
from ..states import Presence, State
from .fused_llama import FusedLlama
from .ring import Ring, RingCache


class TransformersLoop:
    """The step loop for any backbone of transformers."""

    def __init__(self, backbone: Backbone, ring: Ring) -> None:
        """Build the cache of ``ring`` for ``backbone``."""
        self.backbone, self.ring = backbone, ring
        self.cache = RingCache(ring, backbone.inverse_frequencies())

    @property
    def keys(self) -> list[Tensor]:
        """The cached keys of each layer, ``(B, kv, S, head)``."""
        return self.cache.keys

    @property
    def values(self) -> list[Tensor]:
        """The cached values of each layer, ``(B, kv, S, head)``."""
        return self.cache.values

    def forward(self, tokens: Tensor) -> Tensor:
        """Run one block, ``(B, size, D)``; return ``(B, 1 + signals, D)``."""
        positions = self.ring.positions[self.ring.slot]  # (B, size)
        hidden = self.backbone(tokens, self.ring.mask(), positions, self.cache)
        return hidden[:, self.ring.block.kept - 1 :]

    def turn_back(self, rows: Tensor) -> None:
        """Turn the keys of ``rows`` back by the length of the ring."""
        self.cache.turn_back(rows)


class Imagination:
    """A bounded memory of what was imagined, and one step further for every row.

    Args:
        processor: gives the latents of predicted states.
        dynamics: predicts; its weights are read when the engine is built.
        config: gives the calibration of the ends.
        rows: episodes side by side.
        temperature: of the sampled codes; 0 takes the most likely ones.
        block: the combination that is read and predicted.
        fused: use the hand-written loop where the backbone allows it.
    """

    def __init__(
        self,
        processor: Processor,
        dynamics: Dynamics,
        config: WorldGPTConfig,
        rows: int,
        temperature: float,
        block: Block,
        fused: bool = True,
    ) -> None:
        """See the class."""
        self.processor, self.dynamics, self.config = processor, dynamics, config
        self.rows, self.temperature, self.block = rows, temperature, block
        self.device = next(dynamics.parameters()).device
        self.ring = Ring(rows, dynamics.context, block, self.device)
        self.loop: FusedLlama | TransformersLoop
        backbone = dynamics.backbone.merged()
        if fused and FusedLlama.supports(backbone.model):
            self.loop = FusedLlama(backbone.model, self.ring)
        else:
            self.loop = TransformersLoop(backbone, self.ring)

    @torch.inference_mode()
    def reset(self, rows: Tensor | None = None) -> None:
        """Forget the history of ``rows`` (bool mask or indices; all by default)."""
        self.ring.forget(rows)

    @torch.inference_mode()
    def step(
        self,
        state: State,
        action: Tensor,
        noise: Tensor | None = None,
        present: Presence | None = None,
        expected: bool = False,
        contexts: Contexts | None = None,
    ) -> Prediction:
        """Predict what follows ``action`` in ``state``, given what each row has seen before.

        Args:
            state: the present state, ``(B, C, G)`` codes per input modality.
            action: ``(B,)`` int64, ``(B, parts)`` int64 or ``(B, n)`` float32.
            noise: ``(B,)`` int64 keys, needed when the temperature is above 0; a key's row is the
                same bits at any batch size.
            present: which rows have a modality of ``state``, ``(B,)`` bool; all if not named.
            expected: give the expected latent of the next state too.
            contexts: transitions in front of this step, as many as the block reads.

        Raises:
            MissingModalityError: if ``state`` lacks a modality that this engine reads.
            NonFiniteError: if the model gives NaN or infinity.
        """
        missing = [str(m) for m in self.block.inputs if m not in state]
        if missing:
            raise MissingModalityError(f"the state lacks {missing}, which this engine reads.")
        dynamics = self.dynamics
        step = dynamics.embedding(state, action, self.block, present, contexts)
        self.ring.note_presence(step.presence(self.block, present or {}))
        hidden = self.loop.forward(step.tokens)
        out = dynamics.state(hidden, step.state, self.block)
        next_state = self._next_state(out, noise)
        known = dynamics.embedding.cells(next_state) if dynamics.outcome.reads_next_state else {}
        outcome = dynamics.outcome(out.hidden, step.state, known)
        latent = self.processor.latent(next_state)
        prediction = Prediction(
            state=next_state,
            rewards=dynamics.outcome.reward_head.expect(outcome.reward),
            termination=self._calibrated(outcome.termination),
            uncertainty=dynamics.ensemble.disagreement(out.hidden),
            consistency=dynamics.consistency(latent) if latent else torch.ones(self.rows),
            latent=self.processor.expected_latent(out.logits, out.vectors) if expected else None,
            state_latent=latent,
        )
        self._check(prediction, out.logits | out.vectors)
        over = self.ring.advance()
        if over is not None:
            self.loop.turn_back(over)
        return prediction

    @torch.inference_mode()
    def snapshot(self) -> dict[str, Tensor]:
        """Return all that is remembered, as tensors (copies)."""
        tensors = {"steps": self.ring.steps.clone()}
        if self.ring.absent is not None:
            tensors["absent"] = self.ring.absent.clone()
        for number, (keys, values) in enumerate(zip(self.loop.keys, self.loop.values, strict=True)):
            tensors[f"keys/{number}"], tensors[f"values/{number}"] = keys.clone(), values.clone()
        return tensors

    @torch.inference_mode()
    def restore(self, snapshot: dict[str, Tensor]) -> None:
        """Return to a :meth:`snapshot` of an engine of the same rows and combination."""
        self.ring.set_steps(snapshot["steps"].clone())
        self.ring.absent = self._own(snapshot["absent"]) if "absent" in snapshot else None
        layers = sum(name.startswith("keys/") for name in snapshot)
        self.loop.keys[:] = [self._own(snapshot[f"keys/{n}"]) for n in range(layers)]
        self.loop.values[:] = [self._own(snapshot[f"values/{n}"]) for n in range(layers)]

    def _own(self, tensor: Tensor) -> Tensor:
        """Return a copy where the model computes."""
        return tensor.to(self.device, copy=True)

    @torch.inference_mode()
    def select(self, rows: Tensor) -> Imagination:
        """Return a fork: a new engine whose rows continue ``rows`` (indices, repeats allowed)."""
        other = copy.copy(self)
        fused = isinstance(self.loop, FusedLlama)
        parts = (self.processor, self.dynamics, self.config)
        other.__init__(*parts, len(rows), self.temperature, self.block, fused)  # type: ignore[misc]
        chosen = {name: t[rows.to(t.device)] for name, t in self.snapshot().items()}
        other.restore(chosen)
        return other

    def _next_state(self, out: ReadOut, noise: Tensor | None) -> State:
        """Return sampled codes, and embeddings of unit length as the codecs give them."""
        state = {m: self._choose(m, logits, noise) for m, logits in out.logits.items()}
        state |= {m: torch.nn.functional.normalize(x, dim=-1) for m, x in out.vectors.items()}
        return {m: state[m] for m in self.block.outputs}

    def _choose(self, modality: Modality, logits: Tensor, noise: Tensor | None) -> Tensor:
        if self.temperature == 0:
            return logits.argmax(-1)
        if noise is None:
            raise ValueError("a temperature above 0 needs noise keys; pass noise=, (B,) int64.")
        keys = fold(noise, list(Modality).index(modality))
        jitter = gumbel(keys, logits[0].numel()).view_as(logits)
        return (logits / self.temperature + jitter).argmax(-1)

    def _calibrated(self, logits: Tensor) -> Tensor:
        calm = logits / self.config.termination_temperature
        pairs = torch.stack([torch.zeros_like(calm), calm], -1)
        return pairs.softmax(-1)[:, 1]  # a plain sigmoid rounds by the place of a row in the batch

    def _check(self, prediction: Prediction, logits: State) -> None:
        total = prediction.rewards.sum() + prediction.termination.sum()
        total = total + prediction.uncertainty.sum() + prediction.consistency.sum()
        total = total + sum(part.sum() for part in logits.values())
        if not torch.isfinite(total):
            raise NonFiniteError(
                "the world model gave NaN or infinity, and the step was not taken; its weights are "
                "damaged or did not converge. Load another checkpoint, or train with a lower rate."
            )
