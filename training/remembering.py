"""Remembering: past observations that an agent is trained with, as settings and in its policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from stable_baselines3.common.vec_env import VecEnv

from worldgpt_env.frame_stack import FrameStackConfig
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.policies.baselines import Predictor
from worldgpt_env.policies.memory_vec_env import FrameStackPolicy, MemoryVecEnv

Env = TypeVar("Env", bound=VecEnv)
KEY = "remembering"


def remembering_of(count: int, horizon: int | None) -> FrameStackConfig | None:
    """Return what ``--remember`` and ``--remember-over`` ask for; None for nothing.

    Raises:
        ConfigurationError: the count is no number from 0, or the horizon is shorter than it.
    """
    if count == 0 and horizon is not None:
        raise ConfigurationError(
            f"remember_over is {horizon} and remember 0; say how many observations: --remember N."
        )
    return None if count == 0 else FrameStackConfig(count, horizon)


def remembered(env: Env, count: int, horizon: int | None) -> Env | MemoryVecEnv:
    """Return ``env`` with what its agents remember."""
    remembering = remembering_of(count, horizon)
    if remembering is None:
        return env
    return MemoryVecEnv(env, remembering.count, remembering.horizon)


def told_memory(count: int, horizon: int | None) -> dict[str, Any]:
    """Return what a stored policy says of it, as JSON values."""
    return {KEY: [count, horizon]} if count else {}


def known_memory(extra: Mapping[str, Any]) -> FrameStackConfig | None:
    """Return what a stored policy was trained to remember."""
    return FrameStackConfig(*extra[KEY]) if KEY in extra else None


def with_memory(policy: Predictor, extra: Mapping[str, Any]) -> Predictor:
    """Return a stored policy as it acts in a world that does not remember.

    Args:
        policy: as it was loaded.
        extra: what is stored beside it.
    """
    remembering = known_memory(extra)
    return FrameStackPolicy(policy, remembering) if remembering else policy
