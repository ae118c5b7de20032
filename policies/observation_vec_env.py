"""ObservationVecEnv: what LatentVecEnv and MemoryVecEnv share, around any VecEnv."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs

from worldgpt_env.errors import ClosedEnvironmentError, ConfigurationError
from worldgpt_env.model.arguments import shown


class ObservationVecEnv(VecEnvWrapper):
    """Shows the observations of other environments in another way, and nothing after ``close``.

    Args:
        venv: the other environments.
        space: of one observation as it is shown.
    """

    def __init__(self, venv: VecEnv, space: spaces.Dict) -> None:
        """Take over ``venv``."""
        self._closed = False
        super().__init__(venv, observation_space=space)

    @abstractmethod
    def show(self, observations: VecEnvObs) -> VecEnvObs:
        """Return the observations of a step as an agent sees them."""

    def reset(self) -> VecEnvObs:
        """Begin new episodes."""
        self.need_open("reset")
        return self.show(self.venv.reset())

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions ``(N, ...)`` of the next step."""
        self.need_open("step")
        self.venv.step_async(actions)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the next :meth:`reset`."""
        self.need_open("seed")
        return self.venv.seed(seed)

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Let the next :meth:`reset` begin by ``options``."""
        self.need_open("set_options")
        self.venv.set_options(options)

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return the picture of every row."""
        self.need_open("render")
        return self.venv.get_images()

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the single environments."""
        self.need_open("env_method")
        return self.venv.env_method(method_name, *args, indices=indices, **kwargs)

    def close(self) -> None:
        """Close the environments; any further use is an error, a second ``close`` is none."""
        if not self._closed:
            self._closed = True
            self.venv.close()

    def need_open(self, what: str) -> None:
        """Refuse ``what`` after :meth:`close`."""
        if self._closed:
            name = type(self).__name__
            raise ClosedEnvironmentError(f"{what}() after close(): make a new {name}(...).")


def check_venv(venv: object, wrapper: type) -> VecEnv:
    """Return ``venv``, which must be a vector environment of Stable-Baselines3.

    Raises:
        ConfigurationError: it is something else.
    """
    if not isinstance(venv, VecEnv):
        raise ConfigurationError(
            f"{wrapper.__name__} was put around {shown(venv)}; put it around a VecEnv of "
            "Stable-Baselines3, such as ImaginedVecEnv(...) or DummyVecEnv([make])."
        )
    return venv
