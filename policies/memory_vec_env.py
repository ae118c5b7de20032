"""MemoryVecEnv: an agent without recurrence sees what it has observed before, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from torch import Tensor

from worldgpt_env.frame_stack import FrameStack, FrameStackConfig

from .baselines import Predictor
from .observation_vec_env import ObservationVecEnv, check_venv

PAST = "past/"


class MemoryVecEnv(ObservationVecEnv):
    """Adds to latent observations the first of the episode and some past ones.

    Around :class:`ImaginedVecEnv` and :class:`LatentVecEnv` alike; the observations are those of
    :class:`worldgpt_env.MemoryObservation`. Last observations of ended episodes have their own
    past, and an episode never sees that of another.

    Args:
        venv: dreams or real worlds with latent observations.
        count: past observations that are seen.
        horizon: None: the last ``count``; else ``count`` spread evenly over the last ``horizon``.

    Example:
        >>> env = MemoryVecEnv(ImaginedVecEnv("minigrid-memory"), count=4, horizon=32)
        >>> PPO("MultiInputPolicy", env).learn(100_000)
    """

    def __init__(self, venv: VecEnv, count: int = 4, horizon: int | None = None) -> None:
        """Refuse observations that are not latents."""
        check_venv(venv, type(self))
        config = FrameStackConfig(count, horizon)
        self.past = FrameStack(venv.observation_space, venv.num_envs, config)
        super().__init__(venv, self.past.space)

    def reset(self) -> VecEnvObs:
        """Begin new episodes, of which nothing is remembered."""
        self.need_open("reset")
        observations = self.venv.reset()  # if this is refused, the old episodes go on
        self.past.forget()
        return self.show(observations)

    def step_wait(self) -> VecEnvStepReturn:
        """Finish the step; ended episodes are shown with their past, and forgotten."""
        self.need_open("step_wait")
        observation, rewards, dones, infos = self.venv.step_wait()
        assert isinstance(observation, dict)
        ended = np.flatnonzero(dones)
        if len(ended):
            last = {key: value.copy() for key, value in observation.items()}
            for row in ended:
                for key, value in infos[row]["terminal_observation"].items():
                    last[key][row] = value
            shown = self.past.show(last)
            for row in ended:
                infos[row]["terminal_observation"] = {k: v[row].copy() for k, v in shown.items()}
            self.past.forget(ended)
        return self.show(observation), rewards, dones, infos

    def show(self, observations: Any) -> VecEnvObs:
        """Return the observations with the past ones, and keep them."""
        shown = self.past.show(observations)
        self.past.keep(observations)
        return shown

    def get_state(self) -> dict[str, Tensor]:
        """Return all that the future of dreams depends on, what is remembered included."""
        self.need_open("get_state")
        remembered = {PAST + name: part for name, part in self.past.snapshot().items()}
        return self.venv.get_state() | remembered  # type: ignore[attr-defined]

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Return to what :meth:`get_state` gave, of the same dream.

        Raises:
            WorldMismatchError: it is something else.
        """
        self.need_open("set_state")
        parts = dict(state) if isinstance(state, Mapping) else {}
        past = {name: parts.pop(name) for name in list(parts) if str(name).startswith(PAST)}
        past = {name.removeprefix(PAST): part for name, part in past.items()}
        self.past.check(past)
        self.venv.set_state(parts)  # type: ignore[attr-defined]
        self.past.restore(past)


class FrameStackPolicy:
    """A policy that was trained in a :class:`MemoryVecEnv`, for worlds that do not remember.

    What is remembered is the ``state`` of Stable-Baselines3's ``predict``.

    Args:
        policy: reads observations with their past.
        config: what it saw in training.
    """

    def __init__(self, policy: Predictor, config: FrameStackConfig) -> None:
        """Take over ``policy``."""
        self.policy, self.config = policy, config

    def predict(
        self,
        observation: Any,
        state: FrameStack | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, FrameStack]:
        """Return actions for observations ``(N, size)`` per key, and the past with them in it."""
        rows = len(next(iter(observation.values())))
        past = _empty(observation, self.config) if state is None else state
        past = past.select(np.arange(rows))  # what the caller holds stays as it is
        if episode_start is not None:
            past.forget(np.asarray(episode_start, bool))
        shown = past.show(observation)
        past.keep(observation)
        actions, _ = self.policy.predict(shown, deterministic=deterministic)
        return actions, past


def _empty(observation: Mapping[str, np.ndarray], config: FrameStackConfig) -> FrameStack:
    """Return a past of nothing for observations like these."""
    from gymnasium import spaces

    parts = {k: spaces.Box(-1.0, 1.0, v.shape[1:], np.float32) for k, v in observation.items()}
    rows = len(next(iter(observation.values())))
    return FrameStack(spaces.Dict(**parts), rows, config)  # type: ignore[arg-type]
