"""The step block: where observation, action and signal tokens stand, and who may look at whom.

A block is ``[observation tokens of the modalities present][action][signal tokens of the outputs]``
(WorldGPT §3.1). Every token has a fixed offset in the block, whatever else is present, so that a
missing modality never moves another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .errors import MissingModalityError
from .modalities import Modality

OBSERVATION, ACTION, SIGNAL = 0, 1, 2


@dataclass(frozen=True)
class TokenCounts:
    """Backbone tokens of each modality of a world, in token order."""

    counts: tuple[tuple[Modality, int], ...]

    def __getitem__(self, modality: Modality) -> int:
        """Return the tokens of one modality."""
        return dict(self.counts)[modality]

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """All modalities of the world."""
        return tuple(modality for modality, _ in self.counts)

    @property
    def total(self) -> int:
        """Tokens of a complete observation."""
        return sum(count for _, count in self.counts)

    @property
    def stride(self) -> int:
        """Positions from one block to the next: observation, action and signal tokens."""
        return 2 * self.total + 1

    def block(
        self, inputs: Sequence[Modality] | None = None, outputs: Sequence[Modality] | None = None
    ) -> Block:
        """Return the block that reads ``inputs`` and predicts ``outputs`` (both default to all)."""
        chosen = []
        for wanted in (inputs, outputs):
            wanted = self.modalities if wanted is None else tuple(wanted)
            unknown = [str(m) for m in wanted if m not in self.modalities]
            if unknown:
                raise MissingModalityError(
                    f"this model has no {unknown}; it knows {[str(m) for m in self.modalities]}."
                )
            chosen.append(tuple(m for m in self.modalities if m in wanted))
        return Block(self, chosen[0], chosen[1])


@dataclass(frozen=True)
class Block:
    """The tokens of one step for a given combination (input modalities to output modalities)."""

    tokens: TokenCounts
    inputs: tuple[Modality, ...]
    outputs: tuple[Modality, ...]

    @cached_property
    def kept(self) -> int:
        """Tokens that stay in the cache: observation and action."""
        return sum(self.tokens[m] for m in self.inputs) + 1

    @cached_property
    def signals(self) -> int:
        """Signal tokens; they are read out and never cached."""
        return sum(self.tokens[m] for m in self.outputs)

    @cached_property
    def size(self) -> int:
        """All tokens of the block."""
        return self.kept + self.signals

    @cached_property
    def offsets(self) -> list[int]:
        """Position of each token within the stride of a block, ``(size,)``."""
        spans, start = {}, 0
        for modality, count in self.tokens.counts:
            spans[modality] = range(start, start + count)
            start += count
        observation = [p for m in self.inputs for p in spans[m]]
        return observation + [start] + [start + 1 + p for m in self.outputs for p in spans[m]]

    @cached_property
    def kinds(self) -> list[int]:
        """``OBSERVATION``, ``ACTION`` or ``SIGNAL`` for each token, ``(size,)``."""
        return [OBSERVATION] * (self.kept - 1) + [ACTION] + [SIGNAL] * self.signals

    def signal_slices(self) -> dict[Modality, slice]:
        """Return where the signal tokens of each output stand in the block."""
        slices, start = {}, self.kept
        for modality in self.outputs:
            slices[modality] = slice(start, start + self.tokens[modality])
            start += self.tokens[modality]
        return slices

    def own_visibility(self) -> Tensor:
        """Return who sees whom inside a block, ``(size, size)`` bool, query by key.

        Observation tokens see each other (bidirectional), the action sees them and itself, signal
        tokens see everything.
        """
        kinds = torch.tensor(self.kinds)
        return kinds[:, None] >= kinds[None, :]  # (size, size)

    def window_visibility(self, steps: int, context: int) -> Tensor:
        """Return who sees whom in ``steps`` consecutive blocks, ``(steps size, steps size)`` bool.

        Earlier blocks are seen through their observation and action tokens, at most ``context``
        blocks back, the present one included.
        """
        step = torch.arange(steps).repeat_interleave(self.size)
        kind = torch.tensor(self.kinds).repeat(steps)
        back = step[:, None] - step[None, :]  # (L, L)
        earlier = (back > 0) & (back < context) & (kind[None, :] != SIGNAL)
        own = (back == 0) & self.own_visibility().repeat(steps, steps)
        return earlier | own

    def window_positions(self, steps: int) -> Tensor:
        """Return the position of each token of ``steps`` blocks, ``(1, steps size)`` int64."""
        starts = torch.arange(steps)[:, None] * self.tokens.stride
        return (starts + torch.tensor(self.offsets)).reshape(1, -1)


def additive(visible: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a mask to add to attention scores: 0 where ``visible``, else the least number."""
    return torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)
