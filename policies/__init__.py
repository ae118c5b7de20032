"""Agents that learn inside a dream: the Stable-Baselines3 side of the project.

Nothing heavy is imported until a name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ == "policies":
    raise ImportError("import this package as worldgpt_env.policies, not policies")

if TYPE_CHECKING:
    from .baselines import ConstantPolicy, RandomPolicy
    from .dyna_callback import DynaCallback
    from .extractors import LatentExtractor, MultimodalExtractor
    from .latent_vec_env import LatentVecEnv
    from .memory_vec_env import MemoryVecEnv
    from .store import load_policy, read_policy, save_policy
    from .vec_env import ImaginedVecEnv

_HOME = {
    "ConstantPolicy": "baselines",
    "DynaCallback": "dyna_callback",
    "ImaginedVecEnv": "vec_env",
    "LatentExtractor": "extractors",
    "LatentVecEnv": "latent_vec_env",
    "MemoryVecEnv": "memory_vec_env",
    "MultimodalExtractor": "extractors",
    "RandomPolicy": "baselines",
    "load_policy": "store",
    "read_policy": "store",
    "save_policy": "store",
}

__all__ = [
    "ConstantPolicy",
    "DynaCallback",
    "ImaginedVecEnv",
    "LatentExtractor",
    "LatentVecEnv",
    "MemoryVecEnv",
    "MultimodalExtractor",
    "RandomPolicy",
    "load_policy",
    "read_policy",
    "save_policy",
]


def __getattr__(name: str) -> Any:
    """Import the module of ``name`` on first use."""
    if name not in _HOME:
        raise AttributeError(f"worldgpt_env.policies has no {name!r}; there are {__all__}.")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
