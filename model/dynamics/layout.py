"""The step block: where observation, action and signal tokens stand, and who may look at whom.

A block is ``[observation tokens of the modalities present][action][signal tokens of the outputs]``
(WorldGPT §3.1); an action in words has a token for each word in front of the action slot. Every
token has a fixed offset in the block, whatever else is present, so that a missing modality never
moves another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor

from ..batch import Presence
from ..errors import ConfigurationError, MissingModalityError
from ..modalities import Modality

PREFIX, OBSERVATION, ACTION, SIGNAL = -1, 0, 1, 2


@dataclass(frozen=True)
class Reading:
    """How transitions beside the present one are read: in front of every step.

    Attributes:
        contexts: transitions in front of each step.
        reflected: each as a few tokens of the reflector, or raw, as all of its own tokens.
        queries: tokens of a reflected context.
    """

    contexts: int
    reflected: bool = True
    queries: int = 4

    def __post_init__(self) -> None:
        """Refuse a reading of nothing."""
        if self.contexts < 1 or self.queries < 1:
            raise ConfigurationError(
                f"a reading of {self.contexts} contexts in {self.queries} tokens each reads "
                "nothing; leave it out, or use at least 1."
            )


@dataclass(frozen=True)
class TokenCounts:
    """Backbone tokens of each modality of a world, in token order.

    Attributes:
        counts: observation tokens of each modality.
        signal_counts: signal tokens of each modality; as many as it has observation tokens if
            empty.
        words: tokens of the words of an action.
    """

    counts: tuple[tuple[Modality, int], ...]
    signal_counts: tuple[tuple[Modality, int], ...] = ()
    words: int = 0

    def __getitem__(self, modality: Modality) -> int:
        """Return the observation tokens of one modality."""
        return dict(self.counts)[modality]

    def signals(self, modality: Modality) -> int:
        """Return the signal tokens of one modality."""
        return dict(self.signal_counts or self.counts)[modality]

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
        signals = sum(self.signals(modality) for modality in self.modalities)
        return self.total + self.words + 1 + signals

    def block(
        self,
        inputs: Sequence[Modality] | None = None,
        outputs: Sequence[Modality] | None = None,
        reading: Reading | None = None,
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
        return Block(self, chosen[0], chosen[1], reading)


@dataclass(frozen=True)
class Block:
    """The tokens of one step for a given combination (input modalities to output modalities).

    Contexts have the positions in front of all others, while their tokens lie behind the signal
    tokens: neither stays in the cache.
    """

    tokens: TokenCounts
    inputs: tuple[Modality, ...]
    outputs: tuple[Modality, ...]
    reading: Reading | None = None

    @cached_property
    def kept(self) -> int:
        """Tokens that stay in the cache: observation and action; the action slot is the last."""
        return self.observed + self.tokens.words + 1

    @cached_property
    def observed(self) -> int:
        """Observation tokens."""
        return sum(self.tokens[m] for m in self.inputs)

    @cached_property
    def signals(self) -> int:
        """Signal tokens; they are read out and never cached."""
        return sum(self.tokens.signals(m) for m in self.outputs)

    @cached_property
    def prefix(self) -> int:
        """Tokens of contexts; like the signal tokens they are never cached."""
        if self.reading is None:
            return 0
        raw = 2 * self.tokens.total + self.tokens.words + 1
        return self.reading.contexts * (self.reading.queries if self.reading.reflected else raw)

    @cached_property
    def passing(self) -> int:
        """Tokens that do not stay in the cache: of signals and of contexts."""
        return self.signals + self.prefix

    @cached_property
    def size(self) -> int:
        """All tokens of the block."""
        return self.kept + self.signals + self.prefix

    @cached_property
    def offsets(self) -> list[int]:
        """Position of each token within the stride of a block, ``(size,)``."""
        tokens = self.tokens
        starts = accumulate((count for _, count in tokens.counts), initial=0)
        first = dict(zip(tokens.modalities, starts, strict=False))
        observation = [first[m] + n for m in self.inputs for n in range(tokens[m])]
        action = [tokens.total + n for n in range(tokens.words + 1)]
        behind = tokens.total + tokens.words + 1
        starts = accumulate((tokens.signals(m) for m in tokens.modalities), initial=behind)
        first = dict(zip(tokens.modalities, starts, strict=False))
        signals = [first[m] + n for m in self.outputs for n in range(tokens.signals(m))]
        return observation + action + signals + list(range(-self.prefix, 0))

    @cached_property
    def kinds(self) -> list[int]:
        """``OBSERVATION``, ``ACTION``, ``SIGNAL`` or ``PREFIX`` for each token, ``(size,)``."""
        kept = [OBSERVATION] * self.observed + [ACTION] * (self.tokens.words + 1)
        return kept + [SIGNAL] * self.signals + [PREFIX] * self.prefix

    @cached_property
    def observation_slices(self) -> dict[Modality, slice]:
        """Where the observation tokens of each input stand in the block."""
        return _runs(self.inputs, [self.tokens[m] for m in self.inputs], 0)

    @cached_property
    def signal_slices(self) -> dict[Modality, slice]:
        """Where the signal tokens of each output stand in the block."""
        return _runs(self.outputs, [self.tokens.signals(m) for m in self.outputs], self.kept)

    def own_visibility(self) -> Tensor:
        """Return who sees whom inside a block, ``(size, size)`` bool, query by key.

        The tokens of contexts see each other alone, and all see them. Observation tokens see each
        other (bidirectional), the action sees them and itself, signal tokens see everything.
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
        kept = (kind == OBSERVATION) | (kind == ACTION)
        earlier = (back > 0) & (back < context) & kept & (kind != PREFIX)[:, None]
        own = (back == 0) & self.own_visibility().repeat(steps, steps)
        return earlier | own

    def presence_mask(self, present: Presence) -> Tensor | None:
        """Return which kept tokens of a block are there, ``(B, kept)`` bool; None if all are."""
        partial = {m: there for m, there in present.items() if m in self.inputs}
        if not partial:
            return None
        some = next(iter(partial.values()))
        visible = torch.ones(len(some), self.kept, dtype=torch.bool, device=some.device)
        for modality, span in self.observation_slices.items():
            if modality in partial:
                visible[:, span] = partial[modality][:, None]
        return visible  # (B, kept)

    def window_positions(self, steps: int) -> Tensor:
        """Return the position of each token of ``steps`` blocks, ``(1, steps size)`` int64."""
        starts = torch.arange(steps)[:, None] * self.tokens.stride
        return (starts + torch.tensor(self.offsets)).reshape(1, -1)


def _runs(modalities: Sequence[Modality], counts: list[int], start: int) -> dict[Modality, slice]:
    """Return one slice a modality, one behind the other from ``start``."""
    ends = list(accumulate(counts, initial=start))
    return {m: slice(*ends[n : n + 2]) for n, m in enumerate(modalities)}


def additive(visible: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a mask to add to attention scores: 0 where ``visible``, else the least number."""
    return torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)
