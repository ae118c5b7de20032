"""NumericDynaConfig: what ``worldgpt dyna --env`` does in a world of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from worldgpt_env.model.bounds import COUNT, EPISODES, STEPS, check_fields
from worldgpt_env.model.errors import ConfigurationError


@dataclass(frozen=True)
class NumericDynaConfig:
    """What ``worldgpt dyna --env`` does in a world of numbers.

    Attributes:
        out: folder of the run: ``settings.json`` and ``round-0``, ``round-1``, ...
        world: name of the world, ``"gym:ID"``.
        real_steps: real steps in all; those of the judged episodes do not count.
        round_steps: real steps of a round; by default a tenth of all, from 250 to 1000.
        explore: share of the rounds in which a second agent, which seeks what the dynamics does
            not know, lives most of the real steps; none where the reward says where to go.
        backbone: ``"mlp"`` or ``"llama"``, what predicts the change of the numbers.
        first_updates: optimiser steps of the first dynamics.
        updates: of each later one, which goes on from the weights of the last.
        agent: settings of the agent in place of those of its recipe.
        episodes: real episodes that judge each round; they are shown and choose nothing.
        seed: of everything.
    """

    out: Path
    world: str
    real_steps: int = 5_000
    round_steps: int | None = None
    explore: float = 0.5
    backbone: str = "mlp"
    first_updates: int = 1_000
    updates: int = 400
    agent: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        updates = {"first_updates": STEPS, "updates": STEPS, "episodes": (1, EPISODES)}
        check_fields(self, real_steps=(20, 10**9), round_steps=COUNT, explore=(0, 1), **updates)
        if self.round_steps is not None and not 20 <= self.round_steps <= self.real_steps:
            raise ConfigurationError(
                f"round_steps is {self.round_steps}; use a number from 20 to {self.real_steps}."
            )

    def round_lengths(self) -> list[int]:
        """Return the real steps of each round; they sum up to ``real_steps``."""
        each = min(self.round_steps or min(max(250, self.real_steps // 10), 1000), self.real_steps)
        rounds = max(1, self.real_steps // each)
        return [each] * (rounds - 1) + [self.real_steps - each * (rounds - 1)]

    def to_json(self) -> dict[str, Any]:
        """Return everything that decides what happens, as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "out"}
