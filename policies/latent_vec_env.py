"""LatentVecEnv: real worlds side by side, seen through the codecs of a model in one batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from worldgpt_env.model import WorldGPT
from worldgpt_env.spaces import choose_modalities, latent_space
from worldgpt_env.wrappers import check_match, encode_latent

Observation = dict[str, np.ndarray]


class LatentVecEnv(VecEnvWrapper):
    """Shows real worlds as a policy of a dream sees them, to train or judge it there.

    Encoding all worlds in one batch is several times faster than one by one. The spaces are those
    of ``ImaginedVecEnv(model, obs_mode="latent")``.

    Args:
        venv: worlds of :func:`worldgpt_env.make_world`, say in a ``DummyVecEnv``.
        model: whose codecs see.
        modalities: those that the policy observes; the model's ``agent_modalities`` by default.
        reward_scale: times every reward.
    """

    def __init__(
        self,
        venv: VecEnv,
        model: WorldGPT,
        modalities: list[str] | None = None,
        reward_scale: float = 1.0,
    ) -> None:
        """Refuse worlds of another shape than the model's."""
        for world in venv.get_attr("unwrapped"):
            check_match(world, model)
        self.model, self.reward_scale = model, np.float32(reward_scale)
        asked = model.agent_modalities if modalities is None else modalities
        self.modalities = choose_modalities(asked, model.specs)
        space = latent_space(model.latent_sizes, self.modalities)
        super().__init__(venv, observation_space=space)

    def reset(self) -> VecEnvObs:
        """Begin new episodes; return the latents ``(N, size)`` float32 per modality."""
        return self._see(self.venv.reset())

    def step_wait(self) -> VecEnvStepReturn:
        """Finish the step; last observations of ended episodes are latents too."""
        observations, rewards, dones, infos = self.venv.step_wait()
        for row in np.flatnonzero(dones):
            last = infos[row]["terminal_observation"]
            batch = {key: np.asarray(value)[None] for key, value in last.items()}
            latents = self._see(batch)
            infos[row]["terminal_observation"] = {k: v[0] for k, v in latents.items()}
        return self._see(observations), rewards * self.reward_scale, dones, infos

    def _see(self, observations: Any) -> Observation:
        assert isinstance(observations, dict) and isinstance(self.observation_space, spaces.Dict)
        return encode_latent(self.model, {str(m): observations[str(m)] for m in self.modalities})
