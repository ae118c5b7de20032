"""What the model reads and writes: states as codes, batches of transitions, predictions."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .contexts import Contexts
from .modalities import Modality
from .states import Presence, State, flatten_time

__all__ = ["Batch", "LossOutput", "Prediction", "Presence", "State", "blur", "flatten_time"]


def blur(codes: Tensor, levels: int, share: float, generator: torch.Generator) -> Tensor:
    """Replace a ``share`` of the digits, and all digits of a like share of the moments, at random.

    A model that learns from blurred states cannot recognise the moments of its recording by the
    noise in their codes, and is used to the errors that its own dreams bring.

    Args:
        codes: ``(B, T, C, G)``.
        levels: of a digit.
        share: in [0, 1).
        generator: of the draws.
    """
    digits = torch.rand(codes.shape, generator=generator) < share
    moments = torch.rand(codes.shape[:2], generator=generator) < share
    noise = torch.randint(0, levels, codes.shape, generator=generator)
    return torch.where(digits | moments[:, :, None, None], noise, codes)


@dataclass(frozen=True)
class Batch:
    """Windows of consecutive transitions; ``reward[t]`` and ``terminated[t]`` are of step t to t+1.

    Attributes:
        state: per modality ``(B, T + 1, C, G)`` codes; the last moment is only a target.
        action: ``(B, T)`` int64, or ``(B, T, parts)`` int64 or float32.
        reward: ``(B, T)`` float32.
        terminated: ``(B, T)`` float32 in {0, 1}.
        valid: ``(B, T)`` float32, 0 where a window is longer than its episode.
        seen: the states as the model gets to see them, if that is not as they are; see
            :func:`blur`.
        present: per modality ``(B, T + 1)`` bool, where it is there; everywhere if not named.
        contexts: transitions to read in front of each step, for rows ``B T``.
    """

    state: State
    action: Tensor
    reward: Tensor
    terminated: Tensor
    valid: Tensor
    seen: State | None = None
    present: Presence = field(default_factory=dict)
    contexts: Contexts | None = None

    def __post_init__(self) -> None:
        """Check that all parts describe the same ``(B, T)``."""
        rows, steps = self.reward.shape
        shapes = {str(m): tuple(codes.shape[:2]) for m, codes in self.state.items()}
        assert all(shape == (rows, steps + 1) for shape in shapes.values()), (rows, steps, shapes)
        assert self.action.shape[:2] == (rows, steps), self.action.shape

    @property
    def now(self) -> State:
        """The states that are acted in, as they are seen, ``(B, T, C, G)``."""
        seen = self.state if self.seen is None else self.seen
        return {modality: codes[:, :-1] for modality, codes in seen.items()}

    @property
    def next(self) -> State:
        """The states that follow, ``(B, T, C, G)``."""
        return {modality: codes[:, 1:] for modality, codes in self.state.items()}

    @property
    def present_now(self) -> Presence:
        """Which of the states that are acted in have a modality, ``(B, T)``."""
        return {modality: there[:, :-1] for modality, there in self.present.items()}

    @property
    def present_next(self) -> Presence:
        """Which of the states that follow have a modality, ``(B, T)``."""
        return {modality: there[:, 1:] for modality, there in self.present.items()}

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on ``device``."""
        return Batch(
            {modality: codes.to(device) for modality, codes in self.state.items()},
            self.action.to(device),
            self.reward.to(device),
            self.terminated.to(device),
            self.valid.to(device),
            self.seen and {modality: codes.to(device) for modality, codes in self.seen.items()},
            {modality: there.to(device) for modality, there in self.present.items()},
            None if self.contexts is None else self.contexts.to(device),
        )


@dataclass(frozen=True)
class Prediction:
    """One imagined step for every row.

    Attributes:
        state: the next state, per modality ``(B, C, G)`` codes.
        rewards: ``(B, 2)`` float32, in the units of the recorded rewards: expected if the episode
            goes on, and if it ends here.
        termination: ``(B,)`` float32, calibrated probability that the episode ends here.
        uncertainty: ``(B,)`` float32, at least 0: disagreement of the ensemble on the next state.
        consistency: ``(B,)`` float32 in [0, 1]: how well the predicted modalities agree.
        latent: the expected latent of the next state, per modality ``(B, F)``, where asked for.
        state_latent: the latent of ``state`` itself, per modality ``(B, F)``.
    """

    state: State
    rewards: Tensor
    termination: Tensor
    uncertainty: Tensor
    consistency: Tensor
    latent: dict[Modality, Tensor] | None = None
    state_latent: dict[Modality, Tensor] = field(default_factory=dict)

    @property
    def reward(self) -> Tensor:
        """The expected reward over both outcomes, ``(B,)``."""
        going_on, ending = self.rewards.unbind(-1)
        return going_on + self.termination * (ending - going_on)


@dataclass(frozen=True)
class LossOutput:
    """What a component returns for training: the loss and figures to log (detached scalars)."""

    loss: Tensor
    metrics: dict[str, Tensor]
