"""Wrappers of worlds: see as a policy of a dream sees, a part, the past; choose sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.utils import RecordConstructorArgs

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.arguments import shown
from worldgpt_env.model.modalities import ActionSpec, Modality, ModalitySpec

from .actions import ActionValidator, Phrasebook, parse_sentences
from .errors import ConfigurationError, WorldMismatchError
from .frame_stack import FrameStack, FrameStackConfig
from .simulator import open_model
from .spaces import action_space, choose_modalities, latent_space

Observation = dict[str, np.ndarray]


class LatentObservation(
    gym.ObservationWrapper[Observation, Any, Observation], RecordConstructorArgs
):
    """A real world seen through the codecs of a model: what a policy trained on latents needs.

    The spaces are those of ``gym.make("WorldGPT-v0", model=model, obs_mode="latent")``.

    Args:
        env: a real world with ``specs`` and ``action_spec``, see :func:`worldgpt_env.make_world`.
        model: the model in whose dream the policy was trained: name, folder or ``WorldGPT``.
        modalities: those that the policy observes; the model's ``agent_modalities`` by default.

    Raises:
        WorldMismatchError: the model was trained on a world of another shape.
    """

    def __init__(
        self,
        env: gym.Env[Observation, Any],
        model: WorldGPT | str | Path,
        modalities: Iterable[Modality | str] | None = None,
    ) -> None:
        """Check that world and model belong together."""
        check_env_type(env, "LatentObservation")
        RecordConstructorArgs.__init__(self, model=model, modalities=modalities)
        super().__init__(env)
        self.model = open_model(model)
        check_match(env, self.model)
        asked = self.model.agent_modalities if modalities is None else modalities
        self.modalities = choose_modalities(asked, self.model.specs)
        space = latent_space(self.model.latent_sizes, self.modalities)
        self.observation_space = space  # type: ignore[assignment]

    def observation(self, observation: Mapping[str, np.ndarray]) -> Observation:
        """Encode one raw observation: ``(size,)`` float32 in [-1, 1] per modality."""
        batch = {str(m): np.asarray(observation[str(m)])[None] for m in self.modalities}
        return {key: value[0] for key, value in encode_latent(self.model, batch).items()}


class SelectModalities(
    gym.ObservationWrapper[Observation, Any, Observation], RecordConstructorArgs
):
    """A world of which only some modalities are observed, to measure what the others are worth.

    Args:
        env: a world with a flat ``Dict`` observation.
        modalities: those that stay.
    """

    def __init__(
        self, env: gym.Env[Observation, Any], modalities: Iterable[Modality | str]
    ) -> None:
        """Refuse modalities that the world lacks."""
        check_env_type(env, "SelectModalities")
        RecordConstructorArgs.__init__(self, modalities=modalities)
        super().__init__(env)
        if not isinstance(env.observation_space, gym.spaces.Dict):
            raise ConfigurationError(
                f"the observation space is {env.observation_space}; SelectModalities needs a Dict."
            )
        parts = env.observation_space.spaces
        available = [Modality(key) for key in parts]
        self.modalities: tuple[Modality, ...] = choose_modalities(modalities, available)
        self.observation_space = gym.spaces.Dict(**{str(m): parts[str(m)] for m in self.modalities})

    @property
    def specs(self) -> dict[Modality, ModalitySpec]:
        """The specs of the modalities that stay."""
        specs = self.env.get_wrapper_attr("specs")
        return {modality: specs[modality] for modality in self.modalities}

    def observation(self, observation: Observation) -> Observation:
        """Leave out the other modalities."""
        return {str(modality): observation[str(modality)] for modality in self.modalities}


class MemoryObservation(gym.Wrapper[Observation, Any, Observation, Any], RecordConstructorArgs):
    """A world in which an agent without recurrence sees what it has observed before.

    Beside each latent observation, say ``image``, there is ``first_image``, that of the first
    moment of the episode, and ``past_image``, those of some moments since, the oldest first and
    zeros where there are fewer; ``past`` ``(count,)`` says which there are. Nothing is left of an
    episode after ``reset``. ``worldgpt_env.policies.MemoryVecEnv`` does the same for many worlds.

    Args:
        env: a dream with ``obs_mode="latent"``, or a world behind :class:`LatentObservation`.
        count: past observations that are seen.
        horizon: None: the last ``count``; else ``count`` spread evenly over the last ``horizon``.

    Raises:
        ConfigurationError: the observations are not latents.
    """

    def __init__(
        self, env: gym.Env[Observation, Any], count: int = 4, horizon: int | None = None
    ) -> None:
        """Remember nothing yet."""
        check_env_type(env, "MemoryObservation")
        RecordConstructorArgs.__init__(self, count=count, horizon=horizon)
        super().__init__(env)
        self._stack = FrameStack(env.observation_space, 1, FrameStackConfig(count, horizon))
        self.observation_space = self._stack.space  # type: ignore[assignment]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode, of which nothing is remembered."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._stack.forget()
        return self._see(observation), info

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Do ``action`` and remember what follows."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._see(observation), float(reward), terminated, truncated, info

    def _see(self, observation: Observation) -> Observation:
        batch = {key: value[None] for key, value in observation.items()}
        shown = self._stack.show(batch)
        self._stack.keep(batch)
        return {key: value[0].copy() for key, value in shown.items()}


class DiscreteTextActions(gym.ActionWrapper[Observation, Any, Any], RecordConstructorArgs):
    """A world of text actions in which an agent chooses between some sentences, by number.

    Its action space is ``Discrete(len(sentences))``: PPO and DQN learn on a few things to say
    instead of on all the word ids. Put it outside of :class:`LatentObservation`.

    Args:
        env: a real world or a dream whose actions are text.
        sentences: those to choose between; ``step`` takes their number, or one of them.

    Raises:
        ConfigurationError: the actions are no text, or a sentence is there twice.
        InvalidActionError: the world does not know a word of a sentence.
    """

    def __init__(self, env: gym.Env[Observation, Any], sentences: Iterable[str]) -> None:
        """Look up the words of every sentence."""
        sentences = parse_sentences(sentences)
        check_env_type(env, "DiscreteTextActions")
        RecordConstructorArgs.__init__(self, sentences=sentences)
        super().__init__(env)
        if not env.has_wrapper_attr("action_spec"):
            raise ConfigurationError(f"{env} has no action_spec; DiscreteTextActions needs one.")
        self._book = Phrasebook(env.get_wrapper_attr("action_spec"), sentences)
        self._validator = ActionValidator(self._book.spec)
        self.action_space = action_space(self._book.spec)

    @property
    def action_spec(self) -> ActionSpec:
        """The sentences as discrete actions."""
        return self._book.spec

    def action(self, action: Any) -> np.ndarray:
        """Return the word ids ``(slots,)`` of a number or of one of the sentences."""
        return self._book.table[self._validator.one(action)[0]].copy()


def check_env_type(env: object, wrapper: str) -> None:
    """Refuse to wrap anything but an environment of Gymnasium.

    Raises:
        ConfigurationError: ``env`` is something else.
    """
    if not isinstance(env, gym.Env):
        raise ConfigurationError(
            f"{wrapper} was put around {shown(env)}; put it around an environment, such as "
            'worldgpt_env.make_world("doorkey").'
        )


def encode_latent(model: WorldGPT, observation: Mapping[str, np.ndarray]) -> Observation:
    """Return the latents of a batch of raw observations.

    Args:
        model: whose codecs encode.
        observation: per key ``(B, *shape)``, any subset of the modalities of the model.

    Returns:
        Per key ``(B, size)`` float32 in [-1, 1].
    """
    with torch.no_grad():
        latent = model.latent(model.encode(dict(observation)))
    return {str(modality): values.cpu().numpy() for modality, values in latent.items()}


def check_match(env: gym.Env[Any, Any], model: WorldGPT) -> None:
    """Refuse a world whose modalities, words or actions are not those ``model`` was trained on.

    Raises:
        WorldMismatchError: naming what differs.
    """
    for name in ("specs", "action_spec"):
        if not (isinstance(env, gym.Env) and env.has_wrapper_attr(name)):
            raise WorldMismatchError(
                f"{shown(env)} has no {name}, so it is no world of this package; open one with "
                f"worldgpt_env.make_world({model.config.world!r})."
            )
    specs, actions = env.get_wrapper_attr("specs"), env.get_wrapper_attr("action_spec")
    differing = [str(m) for m, spec in model.specs.items() if specs.get(m) != spec]
    if actions != model.action_spec:
        differing.append("actions")
    if differing:
        raise WorldMismatchError(
            f"the model {model.config.world!r} was trained on a world with other {differing}; "
            f"open that one: worldgpt_env.make_world({model.config.world!r})."
        )
