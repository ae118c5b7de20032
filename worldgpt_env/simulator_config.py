"""SimulatorConfig: how a learned world is played."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.model.cognition.memory import MemoryConfig
from worldgpt_env.model.modalities import Modality

from .cognition import KnowledgeConfig, as_knowledge, as_memory
from .errors import ConfigurationError
from .start_states import StartStates


@dataclass(frozen=True)
class SimulatorConfig:
    """How a learned world is played.

    Attributes:
        obs_mode: ``"decoded"`` (raw modalities) or ``"latent"`` (a policy learns fastest from it).
        modalities: the modalities of the observations; by default all, of latent ones the model's
            ``agent_modalities``. The model uses all anyway.
        horizon: imagined steps before truncation; the model's own by default.
        start_states: ``"first"``, ``"visited"``, ``"mixed"`` or ``"rewarded"`` of the model's own,
            see :meth:`StartStates.sample`; or others, as file, folder or StartStates, each as
            likely.
        temperature: 0 takes the most likely outcome, above 0 samples; the model's own by default.
        max_uncertainty: a step less certain than this truncates the episode; never by default.
        uncertainty_penalty: times the uncertainty of a step, taken off its reward.
        memory: ``"raw"`` or ``"reflected"``: past steps of the episode are read at every step; or a
            MemoryConfig that says which and where they are kept. None by default.
        knowledge: real transitions are read at every step: a knowledge base, its folder, or a
            KnowledgeConfig that says how many and how. None by default.
    """

    obs_mode: str = "decoded"
    modalities: tuple[Modality | str, ...] | None = None
    horizon: int | None = None
    start_states: str | Path | StartStates = "first"
    temperature: float | None = None
    max_uncertainty: float | None = None
    uncertainty_penalty: float = 0.0
    memory: str | MemoryConfig | None = None
    knowledge: str | Path | Knowledge | KnowledgeConfig | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values, and name those that are possible."""
        if self.obs_mode not in ("decoded", "latent"):
            raise ConfigurationError(f"obs_mode is {self.obs_mode!r}; use 'decoded' or 'latent'.")
        if self.horizon is not None and not is_whole(self.horizon, 1):
            raise ConfigurationError(f"horizon is {self.horizon!r}; use a whole number from 1.")
        for name in ("temperature", "max_uncertainty", "uncertainty_penalty"):
            value = getattr(self, name)
            if value is None and name != "uncertainty_penalty":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ConfigurationError(f"{name} is {value!r}; use a number from 0.")
        if not math.isfinite(self.uncertainty_penalty) or self.temperature == math.inf:
            raise ConfigurationError("temperature and uncertainty_penalty must be finite.")
        as_memory(self.memory), as_knowledge(self.knowledge)  # refuse what they do not understand


def is_whole(value: object, least: int) -> bool:
    """Return whether ``value`` is a whole number from ``least``; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return False
    return int(value) >= least
