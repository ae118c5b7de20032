"""WorldGPT: learned multimodal worlds as Gymnasium environments.

Importing this package registers ``WorldGPT-v0`` and nothing else; torch is imported when the first
world is opened::

    import gymnasium as gym
    import worldgpt_env

    env = gym.make("WorldGPT-v0")
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium

from ._version import __version__

if TYPE_CHECKING:
    from worldgpt_env.model import WorldGPT, WorldGPTConfig
    from worldgpt_env.model.cognition.knowledge import Knowledge
    from worldgpt_env.model.cognition.memory import MemoryConfig

    from .env import WorldGPTEnv
    from .simulator import KnowledgeConfig, Simulator, SimulatorConfig
    from .start_states import StartStates
    from .vector_env import WorldGPTVectorEnv
    from .worlds import make_world, wrap
    from .wrappers import (
        DiscreteTextActions,
        LatentObservation,
        MemoryObservation,
        SelectModalities,
    )

__all__ = [
    "DiscreteTextActions",
    "Knowledge",
    "KnowledgeConfig",
    "LatentObservation",
    "MemoryConfig",
    "MemoryObservation",
    "SelectModalities",
    "Simulator",
    "SimulatorConfig",
    "StartStates",
    "WorldGPT",
    "WorldGPTConfig",
    "WorldGPTEnv",
    "WorldGPTVectorEnv",
    "__version__",
    "make_world",
    "wrap",
]

_HOME_OF = {
    "WorldGPT": "worldgpt_env.model",
    "WorldGPTConfig": "worldgpt_env.model",
    "Knowledge": "worldgpt_env.model.cognition.knowledge",
    "KnowledgeConfig": "worldgpt_env.simulator",
    "MemoryConfig": "worldgpt_env.model.cognition.memory",
    "WorldGPTEnv": "worldgpt_env.env",
    "WorldGPTVectorEnv": "worldgpt_env.vector_env",
    "Simulator": "worldgpt_env.simulator",
    "SimulatorConfig": "worldgpt_env.simulator",
    "StartStates": "worldgpt_env.start_states",
    "DiscreteTextActions": "worldgpt_env.wrappers",
    "LatentObservation": "worldgpt_env.wrappers",
    "MemoryObservation": "worldgpt_env.wrappers",
    "SelectModalities": "worldgpt_env.wrappers",
    "make_world": "worldgpt_env.worlds",
    "wrap": "worldgpt_env.worlds",
}
_FOLDERS = ("errors", "model", "policies", "rendering", "testing", "training", "worlds", "wrappers")

if importlib.util.find_spec("worldgpt_env.model") is None:
    raise ImportError(
        f"worldgpt_env at {Path(__file__).parent} is a checkout that is not installed in place: "
        f"type `pip install -e {Path(__file__).parent.parent}`, or use it from another folder."
    )

from .forking import protect_children  # noqa: E402  # there is none before it is installed

protect_children()
gymnasium.register(
    id="WorldGPT-v0",
    entry_point="worldgpt_env.env:open_env",
    vector_entry_point="worldgpt_env.vector_env:WorldGPTVectorEnv",
    order_enforce=False,  # the environment does it itself, with errors that say what to type
)


def __getattr__(name: str) -> Any:
    """Import a public name, or a part of the package, on its first use."""
    if name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
    elif name in _FOLDERS:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {__all__}.")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, those not yet imported included."""
    return sorted({*globals(), *__all__, *_FOLDERS})
