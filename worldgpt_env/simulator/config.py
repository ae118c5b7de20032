"""SimulatorConfig: which learned world is played, and how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.arguments import (
    MOST_PENALTY,
    check_choice,
    check_number,
    check_temperature,
    check_whole,
    shown,
)
from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.model.cognition.memory import MemoryConfig
from worldgpt_env.model.devices import check_device
from worldgpt_env.model.modalities import Modality

from ..errors import CheckpointError, ConfigurationError, WorldGPTError
from ..spaces import parse_modalities
from ..start_states import StartStates
from .cognition import KnowledgeConfig, as_knowledge, as_memory

DEFAULT_WORLD = "doom-audio"
"""The embedded world that opens when none is named."""


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

    Raises:
        ConfigurationError: a value has a wrong type or range; modalities see
            :func:`parse_modalities`.
    """

    obs_mode: str = "decoded"
    modalities: Iterable[Modality | str] | None = None
    horizon: int | None = None
    start_states: str | Path | StartStates = "first"
    temperature: float | None = None
    max_uncertainty: float | None = None
    uncertainty_penalty: float = 0.0
    memory: str | MemoryConfig | None = None
    knowledge: str | Path | Knowledge | KnowledgeConfig | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values, and name those that are possible."""
        check_choice("obs_mode", self.obs_mode, ("decoded", "latent"))
        if self.modalities is not None:
            object.__setattr__(self, "modalities", parse_modalities(self.modalities))
        if self.horizon is not None:
            object.__setattr__(self, "horizon", check_whole("horizon", self.horizon))
        if self.temperature is not None:
            check_temperature("temperature", self.temperature)
        if self.max_uncertainty is not None:
            check_number("max_uncertainty", self.max_uncertainty)
        check_number("uncertainty_penalty", self.uncertainty_penalty, 0.0, MOST_PENALTY)
        as_memory(self.memory), as_knowledge(self.knowledge)  # refuse what they do not understand


def open_model(model: WorldGPT | str | Path, device: str | torch.device | None = None) -> WorldGPT:
    """Return the model of an embedded name or a folder, or ``model`` itself, ready to imagine.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
        ConfigurationError: ``model`` is something else, or there is no such ``device``.
    """
    place = None if device is None else check_device(device)
    if isinstance(model, str | Path):
        try:
            return WorldGPT.from_pretrained(model, place or "cpu")
        except WorldGPTError:
            raise
        except OSError as error:  # a name that no file can have, a folder that may not be read
            raise CheckpointError(
                f"the model {shown(str(model))} cannot be read: {error.strerror}."
            ) from error
    if not isinstance(model, WorldGPT):
        raise ConfigurationError(
            f"model is a {type(model).__name__}; pass the name of an embedded world, the folder "
            "of a model, or a WorldGPT."
        )
    return (model if place is None else model.to(place)).eval()
