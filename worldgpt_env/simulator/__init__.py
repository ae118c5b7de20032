"""A learned world as tensors: N episodes, one forward pass a step, seen, remembered and copied."""

from .cognition import KnowledgeConfig, row_of
from .config import DEFAULT_WORLD, SimulatorConfig, open_model
from .episode_state import SimulatorStep, checked_seeds
from .simulator import Simulator

__all__ = [
    "DEFAULT_WORLD",
    "KnowledgeConfig",
    "Simulator",
    "SimulatorConfig",
    "SimulatorStep",
    "checked_seeds",
    "open_model",
    "row_of",
]
