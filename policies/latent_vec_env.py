"""LatentVecEnv: real worlds side by side, seen through the codecs of a model in one batch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from worldgpt_env.actions import ActionValidator, is_sentences
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.modalities import Modality
from worldgpt_env.simulator import open_model
from worldgpt_env.spaces import action_spec, choose_modalities, latent_space
from worldgpt_env.wrappers import check_match, encode_latent

from .observation_vec_env import ObservationVecEnv, check_venv
from .vec_env import check_reward_scale

Observation = dict[str, np.ndarray]


class LatentVecEnv(ObservationVecEnv):
    """Shows real worlds as a policy of a dream sees them, to train or judge it there.

    Encoding all worlds in one batch is several times faster than one by one. The spaces are those
    of ``ImaginedVecEnv(model, obs_mode="latent")``.

    Args:
        venv: worlds of :func:`worldgpt_env.make_world`, say in a ``DummyVecEnv``.
        model: whose codecs see.
        modalities: those that the policy observes; the model's ``agent_modalities`` by default.
        reward_scale: times every reward.

    Raises:
        WorldMismatchError: the worlds are not of the shape that ``model`` was trained on.
    """

    def __init__(
        self,
        venv: VecEnv,
        model: WorldGPT | str | Path,
        modalities: Iterable[Modality | str] | None = None,
        reward_scale: float = 1.0,
    ) -> None:
        """Refuse worlds of another shape than the model's."""
        check_venv(venv, type(self))
        self.reward_scale = np.float32(check_reward_scale(reward_scale))
        self.model = open_model(model)
        for world in venv.get_attr("unwrapped"):
            check_match(world, self.model)
        asked = self.model.agent_modalities if modalities is None else modalities
        self.modalities = choose_modalities(asked, self.model.specs)
        self._validator = ActionValidator(action_spec(venv.action_space))
        super().__init__(venv, latent_space(self.model.latent_sizes, self.modalities))

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions ``(N, ...)`` of the next step; or a list with one sentence per row.

        Raises:
            InvalidActionError: they are not in the action space; no world was stepped.
        """
        self.need_open("step")
        if not is_sentences(actions):  # those are read by the worlds, which know the words
            actions = self._validator.many(actions, self.num_envs)
        super().step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Finish the step; last observations of ended episodes are latents too."""
        self.need_open("step_wait")
        observations, rewards, dones, infos = self.venv.step_wait()
        for row in np.flatnonzero(dones):
            last = infos[row]["terminal_observation"]
            batch = {key: np.asarray(value)[None] for key, value in last.items()}
            latents = self.show(batch)
            infos[row]["terminal_observation"] = {k: v[0] for k, v in latents.items()}
        return self.show(observations), rewards * self.reward_scale, dones, infos

    def show(self, observations: Any) -> Observation:
        """Return the latents ``(N, size)`` float32 per modality."""
        assert isinstance(observations, dict) and isinstance(self.observation_space, spaces.Dict)
        return encode_latent(self.model, {str(m): observations[str(m)] for m in self.modalities})
