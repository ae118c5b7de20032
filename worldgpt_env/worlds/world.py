"""World: what every real environment of this package promises, and the checks they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from worldgpt_env.model.errors import WorldGPTError
from worldgpt_env.model.modalities import (
    ActionSpec,
    AudioSpec,
    ImageSpec,
    Modality,
    ModalitySpec,
    TextSpec,
    VectorSpec,
)

Observation = dict[str, np.ndarray]


class WorldError(WorldGPTError, RuntimeError):
    """A real world cannot start, died, or was used out of order."""


class MissingExtraError(WorldGPTError, ImportError):
    """The package behind a world is not installed."""


class World(gym.Env[Observation, Any]):
    """A real environment with one flat ``Dict`` observation, keys in the order of ``Modality``.

    Subclasses call :meth:`_declare` and implement ``_reset`` and ``_step``. ``terminated`` is the
    world's own end, ``truncated`` its time limit, never both. ``info["text"]`` is the sentence
    that the text ids stand for. Every observation is a fresh object.

    Attributes:
        world_name: the name given to ``make_world``.
        specs: the exact shape of each modality.
        action_spec: what an agent may do, with a word or phrase per action.
        options: the keyword arguments of the class, for messages.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 8}
    world_name: ClassVar[str]
    options: ClassVar[tuple[str, ...]]
    specs: dict[Modality, ModalitySpec]
    action_spec: ActionSpec

    def _declare(
        self,
        specs: Mapping[Modality, ModalitySpec],
        actions: tuple[str, ...],
        render_mode: str | None,
    ) -> None:
        """Set specs, spaces and flags; called once by ``__init__``."""
        if render_mode not in (None, "rgb_array"):
            raise WorldError(f"render_mode {render_mode!r} is unknown; use 'rgb_array' or None.")
        self.specs = {modality: specs[modality] for modality in Modality if modality in specs}
        self.action_spec = ActionSpec("discrete", (len(actions),), actions)
        self.observation_space = gym.spaces.Dict(
            **{str(modality): space_of(spec) for modality, spec in self.specs.items()}
        )
        self.action_space = gym.spaces.Discrete(len(actions))
        self.render_mode = render_mode
        self._phase = "new"  # new -> running -> ended -> running ... -> closed

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; ``options`` are not used.

        Returns:
            The first observation, and ``info`` with ``text``.

        Raises:
            WorldError: the world was closed, or cannot start.
        """
        if self._phase == "closed":
            raise WorldError("reset() after close(): open the world again with make_world(...).")
        super().reset(seed=seed)
        observation, text = self._reset()
        self._phase = "running"
        return observation, {"text": text}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Do ``action`` (an integer below ``action_spec.sizes[0]``) in the world.

        Raises:
            WorldError: before ``reset()``, after the end, after ``close()``, or not an action.
        """
        if self._phase != "running":
            advice = {
                "new": "before reset(): call reset() first.",
                "ended": "after the end of the episode: call reset() first.",
                "closed": "after close(): open the world again with make_world(...).",
            }[self._phase]
            raise WorldError(f"step() {advice}")
        if not self.action_space.contains(action):
            raise WorldError(
                f"{action!r} is not an action; give an integer from 0 to "
                f"{self.action_spec.sizes[0] - 1} ({', '.join(self.action_spec.names)})."
            )
        observation, reward, terminated, truncated, text = self._step(int(action))
        if terminated or truncated:
            self._phase = "ended"
        return observation, float(reward), bool(terminated), bool(truncated), {"text": text}

    def _reset(self) -> tuple[Observation, str]:
        """Start an episode with ``self.np_random``; return the observation and its sentence."""
        raise NotImplementedError

    def _step(self, action: int) -> tuple[Observation, float, bool, bool, str]:
        """Do ``action``; return observation, reward, terminated, truncated and the sentence."""
        raise NotImplementedError

    def close(self) -> None:
        """Free what the world holds; safe to call twice."""
        self._phase = "closed"


def space_of(spec: ModalitySpec) -> gym.spaces.Box:
    """Return the Gymnasium space of one modality."""
    match spec:
        case AudioSpec():
            return gym.spaces.Box(-1.0, 1.0, spec.shape, np.float32)
        case TextSpec():
            return gym.spaces.Box(0, len(spec.vocabulary) - 1, spec.shape, np.int64)
        case VectorSpec():
            low, high = np.array(spec.low, np.float32), np.array(spec.high, np.float32)
            return gym.spaces.Box(low, high, spec.shape, np.float32)
        case ImageSpec() | _:
            return gym.spaces.Box(0, 255, spec.shape, np.uint8)
