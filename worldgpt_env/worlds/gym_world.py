"""GymWorld: any Gymnasium environment as a world, by its id or wrapped by hand."""

from __future__ import annotations

import difflib
import importlib
import re
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from worldgpt_env.model.modalities import Modality

from ..errors import ConfigurationError, MissingDependencyError
from .gym_spaces import ActionConverter, ObservationConverter
from .world import Observation, World, WorldError

PREFIX = "gym:"
"""What the id of an environment follows, where a world is asked for."""
PROBED_EPISODES = 20
"""Episodes whose first observations tell the words of a Text space."""
_EXTRAS = {
    "Box2D": "gymnasium[box2d]",
    "mujoco": "gymnasium[mujoco]",
    "imageio": "gymnasium[mujoco]",
    "ale_py": "gymnasium[atari]",
    "pygame": "gymnasium[classic-control]",
}
_HOMES = {"MiniGrid-": "minigrid", "BabyAI-": "minigrid", "ALE/": "ale_py"}
"""Packages that register environments only when they are imported, by how their ids begin."""


class GymWorld(World):
    """A Gymnasium environment whose spaces have become modalities.

    See :class:`~.gym_spaces.ObservationConverter` and :class:`~.gym_spaces.ActionConverter`.
    Rewards are handed on as they are. An environment that raises, or gives NaN or infinity, is a
    :class:`WorldError` that says where.

    Attributes:
        env: the environment.
        time_limit: steps after which Gymnasium cuts an episode; None without a limit.
    """

    world_name = "gym"
    options = ("render_mode",)

    def __init__(
        self, env: gym.Env[Any, Any], world_name: str = "", render_mode: str | None = None
    ) -> None:
        """Wrap ``env``.

        Raises:
            ConfigurationError: a part of its spaces cannot become a modality.
        """
        self.env = env
        spec: EnvSpec | None = env.spec
        self._id = spec.id if spec is not None else type(env.unwrapped).__name__
        self.world_name = world_name or PREFIX + self._id  # type: ignore[misc]
        self.time_limit = _time_limit(env)
        converter = ObservationConverter(env.observation_space)
        if converter.has_text:
            converter = ObservationConverter(env.observation_space, self._meet_words())
        self._convert = converter
        self._actions = ActionConverter(env.action_space)
        self._declare(converter.specs, self._actions.spec, render_mode)

    @property
    def is_numeric(self) -> bool:
        """Whether observations are numbers alone."""
        return set(self.specs) == {Modality.VECTOR}

    def render(self) -> Any:
        """Return the environment's own picture."""
        return self.env.render() if self.render_mode else None

    def close(self) -> None:
        """Close the environment."""
        if self._phase != "closed":
            self.env.close()
        super().close()

    def _meet_words(self) -> list[Any]:
        return [self.env.reset(seed=number)[0] for number in range(PROBED_EPISODES)]

    def _reset(self) -> tuple[Observation, str]:
        seed = int(self.np_random.integers(2**31))
        try:
            observation, _ = self.env.reset(seed=seed)
        except Exception as error:
            raise WorldError(f"{self._id} failed in reset: {_told(error)}.") from error
        return self._seen(observation)

    def _step(self, action: Any) -> tuple[Observation, float, bool, bool, str]:
        try:
            observation, reward, terminated, truncated, _ = self.env.step(self._actions(action))
        except Exception as error:
            raise WorldError(f"{self._id} failed in step: {_told(error)}.") from error
        seen, sentence = self._seen(observation)
        paid = float(reward)
        if not np.isfinite(paid):
            raise WorldError(f"{self._id} paid the reward {paid}, which nothing can learn from.")
        terminated = bool(terminated)
        return seen, paid, terminated, bool(truncated) and not terminated, sentence

    def _seen(self, observation: Any) -> tuple[Observation, str]:
        seen, sentence = self._convert(observation)
        numbers = seen.get(str(Modality.VECTOR))
        if numbers is not None and not np.isfinite(numbers).all():
            spec = self.specs[Modality.VECTOR]
            name = spec.names[int(np.argmin(np.isfinite(numbers)))]  # type: ignore[union-attr]
            raise WorldError(f"{self._id} gave NaN or infinity for {name!r}; it cannot be learned.")
        return seen, sentence


def wrap(env: gym.Env[Any, Any], *, world_name: str = "", render_mode: Any = None) -> GymWorld:
    """Return ``env`` as a world: modalities for spaces, checks, sentences in ``info["text"]``.

    Args:
        env: a Gymnasium environment.
        world_name: what recordings and models call it; ``"gym:" + id`` by default.
        render_mode: ``"rgb_array"`` hands on the environment's own picture.

    Raises:
        ConfigurationError: it is no environment, or a part of its spaces cannot become a modality.
    """
    if not isinstance(env, gym.Env):
        raise ConfigurationError(f"wrap() takes a gymnasium.Env, not a {type(env).__name__}.")
    return GymWorld(env, world_name, render_mode)


def make_gym_world(env_id: str, render_mode: str | None = None, **options: Any) -> GymWorld:
    """Return the environment ``env_id`` as a world.

    Args:
        env_id: as ``gymnasium.make`` knows it, ``"CartPole-v1"`` or ``"module:Name-v0"``.
        render_mode: of the environment.
        options: further keyword arguments of ``gymnasium.make``.

    Raises:
        ConfigurationError: there is no such environment, or a space or option does not fit.
        MissingDependencyError: the package behind it is not installed.
    """
    if render_mode is not None:  # an environment that draws nothing need not know the word
        options["render_mode"] = render_mode
    try:
        for start, package in _HOMES.items():
            if env_id.startswith(start):
                importlib.import_module(package)
        env = gym.make(env_id, **options)
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise _missing(env_id, error) from error
    except (gym.error.UnregisteredEnv, gym.error.DeprecatedEnv) as error:
        raise ConfigurationError(_unknown(env_id)) from error
    except (gym.error.Error, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{env_id} cannot be opened: {_told(error)}.") from error
    return GymWorld(env, PREFIX + env_id, render_mode)


def _missing(env_id: str, error: ImportError | gym.error.DependencyNotInstalled) -> Exception:
    """Say what to install for ``env_id``."""
    found = re.search(r"gymnasium\[[\w-]+\]", str(error))
    named = re.search(r"No module named '?([\w.]+)", str(error))
    module = named.group(1).split(".")[0] if named else ""
    if ":" in env_id and module == env_id.split(":")[0].split(".")[0]:
        return ConfigurationError(
            f"{env_id!r} names the module {module!r}, which is not there; install it, or type the "
            "id alone."
        )
    package = found.group() if found else _EXTRAS.get(module, module)
    if not package:
        return MissingDependencyError(f"{env_id} cannot be opened here: {_told(error)}.")
    return MissingDependencyError(
        f'{env_id} needs a package that is not installed; type: pip install "{package}"'
    )


def _unknown(env_id: str) -> str:
    """Say that there is no ``env_id``, and which ids are near."""
    known = [name for name in gym.registry if not name.startswith("GymV")]
    lower = {name.lower(): name for name in known}
    stem = env_id.lower().rsplit("-v", 1)[0]
    same = [name for name in known if name.lower().rsplit("-v", 1)[0] == stem]
    near = difflib.get_close_matches(env_id.lower(), list(lower), n=3, cutoff=0.5)
    names = list(dict.fromkeys(same + [lower[name] for name in near]))[:4]
    hint = f"did you mean {', '.join(names)}?" if names else "see gymnasium.pprint_registry()."
    return f"there is no environment {env_id!r}; {hint}"


def _time_limit(env: gym.Env[Any, Any]) -> int | None:
    """Return the steps after which an episode of ``env`` is cut."""
    if env.spec is not None and env.spec.max_episode_steps:
        return int(env.spec.max_episode_steps)
    while isinstance(env, gym.Wrapper):
        limit = getattr(env, "_max_episode_steps", None)
        if isinstance(env, gym.wrappers.TimeLimit) and limit:
            return int(limit)
        env = env.env
    return None


def _told(error: BaseException) -> str:
    """Return an error in one line."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
