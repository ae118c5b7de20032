"""World: what every real environment of this package promises, and the checks they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

import gymnasium as gym
import numpy as np

from worldgpt_env.model.array_checks import ObservationCheck, ends_problem, reward_problem
from worldgpt_env.model.modalities import ActionSpec, Modality, ModalitySpec

from ..actions import ActionValidator
from ..errors import (
    ClosedEnvironmentError,
    ContractError,
    EpisodeEndedError,
    RenderModeError,
    ResetNeededError,
    WorldGPTError,
)
from ..spaces import action_space, decoded_space

Observation = dict[str, np.ndarray]


class WorldError(WorldGPTError, RuntimeError):
    """A real world cannot start here, or died."""


class World(gym.Env[Observation, Any]):
    """A real environment with one flat ``Dict`` observation, one key per modality.

    Subclasses call :meth:`_declare` and implement ``_reset`` and ``_step``. ``terminated`` is the
    world's own end, ``truncated`` its time limit, never both. ``info["text"]`` is the sentence
    that the text ids stand for. Every observation is a fresh object. What breaks these rules or
    the specs is a :class:`ContractError` at the step where it happens.

    Attributes:
        world_name: the name given to ``make_world``.
        options: the keyword arguments of the class, for messages.
        specs: the exact shape of each modality.
        action_spec: what an agent may do, with a word or phrase per action.
        frame_rate: frames a second of a world that runs in real time. With its option ``video``,
            the videos of an episode's steps, one after the other, are its film; None: a world
            that stands still between two steps.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 8}
    world_name: ClassVar[str]
    options: ClassVar[tuple[str, ...]]
    frame_rate: ClassVar[float | None] = None
    specs: dict[Modality, ModalitySpec]
    action_spec: ActionSpec
    observation_space: gym.spaces.Dict  # type: ignore[assignment]  # Gymnasium types the values

    def _declare(
        self,
        specs: Mapping[Modality, ModalitySpec],
        actions: tuple[str, ...] | ActionSpec,
        render_mode: str | None,
    ) -> None:
        """Set specs, spaces and flags; called once by ``__init__``.

        ``actions`` are the names of discrete actions, or any other kind of actions.
        """
        if render_mode not in (None, "rgb_array"):
            raise RenderModeError(f"render_mode {render_mode!r} is unknown; use 'rgb_array'.")
        self.specs = {modality: specs[modality] for modality in Modality if modality in specs}
        if not isinstance(actions, ActionSpec):
            actions = ActionSpec("discrete", (len(actions),), actions)
        self.action_spec = actions
        self.observation_space = decoded_space(self.specs)
        self.action_space = action_space(self.action_spec)
        self.render_mode = render_mode
        self._validator = ActionValidator(self.action_spec)
        self._phase = "new"  # new -> running -> ended -> running ... -> closed
        # Two underscores: a subclass may count its own steps by any name.
        self.__steps = 0
        self.__check = ObservationCheck(self.specs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; ``options`` are not used.

        Returns:
            The first observation, and ``info`` with ``text``.

        Raises:
            ClosedEnvironmentError: the world was closed.
            WorldError: the world cannot start here.
            ContractError: the observation does not fit the specs.
        """
        if self._phase == "closed":
            raise ClosedEnvironmentError(
                "reset() came after close(); open the world again with make_world(...)."
            )
        super().reset(seed=seed)
        self.__steps = 0
        given = self._reset()
        if not isinstance(given, tuple | list) or len(given) != 2:
            self.__refuse(f"{_shape_of(given)}; expected are an observation and its sentence")
        observation, text = given
        problem = self.__check.problem(observation) or _text_problem(text)
        if problem:
            self.__refuse(problem)
        self._phase = "running"
        return observation, {"text": text}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Do ``action`` in the world: one of ``action_space``, or a sentence.

        A sentence is the name of a discrete action, or at most as many words as a text action has
        slots.

        Raises:
            ResetNeededError: before the first ``reset``, or after the end of the episode.
            ClosedEnvironmentError: the world was closed.
            InvalidActionError: it is not in the action space.
            WorldError: the world died.
            ContractError: the observation, the reward or the end is not what the specs say.
        """
        if self._phase != "running":
            self._refuse_step()
        chosen = self._validator.one(action)[0]
        if self.action_spec.kind == "discrete":
            chosen = int(chosen)
        self.__steps += 1
        given = self._step(chosen)
        if not isinstance(given, tuple | list) or len(given) != 5:
            self.__refuse(f"{_shape_of(given)}; expected are five values, see _step")
        observation, reward, terminated, truncated, text = given
        problem = (
            self.__check.problem(observation)
            or reward_problem(reward)
            or ends_problem(terminated, truncated)
            or _text_problem(text)
        )
        if problem:
            self.__refuse(problem)
        if terminated or truncated:
            self._phase = "ended"
        return observation, float(reward), bool(terminated), bool(truncated), {"text": text}

    def close(self) -> None:
        """Free what the world holds; safe to call twice."""
        self._phase = "closed"

    def _refuse_step(self) -> None:
        if self._phase == "new":
            raise ResetNeededError("step() came before reset(); call reset() first.")
        if self._phase == "ended":
            raise EpisodeEndedError("step() came after the end of the episode; call reset() first.")
        raise ClosedEnvironmentError(
            "step() came after close(); open the world again with make_world(...)."
        )

    def __refuse(self, problem: str) -> NoReturn:
        """End the episode with an error."""
        self._phase = "ended"
        when = f"step {self.__steps} of the episode" if self.__steps else "reset()"
        raise ContractError(
            f"world {self.world_name!r}, {when}: {problem}. Mend its _reset and _step, or its "
            "specs; see worldgpt_env.testing.check_world."
        )

    def _reset(self) -> tuple[Observation, str]:
        """Start an episode with ``self.np_random``; return the observation and its sentence."""
        raise NotImplementedError

    def _step(self, action: Any) -> tuple[Observation, float, bool, bool, str]:
        """Do ``action`` (an int if discrete, else an array; of text actions the word ids).

        Returns:
            Observation, reward, terminated, truncated and the sentence.
        """
        raise NotImplementedError


def _shape_of(given: Any) -> str:
    """Return in words what came where a tuple of another length was expected."""
    values = f" of {len(given)} values" if isinstance(given, tuple | list) else ""
    return f"a {type(given).__name__}{values} came"


def _text_problem(text: Any) -> str:
    """Return in words why ``text`` is no sentence; ``""`` if it is one."""
    return "" if isinstance(text, str) else f"the text is {text!r:.80}; expected is a str"
