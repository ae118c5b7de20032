"""Features of every modality, and that a policy can learn from each of them alone."""

import numpy as np
import pytest
import torch
from gymnasium import ObservationWrapper, spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from toy_worlds import ButtonWorld

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.policies.extractors import LatentExtractor, MultimodalExtractor, default_policy


class Only(ObservationWrapper):
    """Shows one modality of a world and nothing else."""

    def __init__(self, env: ButtonWorld, key: str) -> None:
        super().__init__(env)
        self.key = key
        self.observation_space = spaces.Dict({key: env.observation_space[key]})

    def observation(self, observation: dict) -> dict:
        return {self.key: observation[self.key]}


def ppo(env, **settings) -> PPO:
    return PPO(
        "MultiInputPolicy", env, n_steps=32, batch_size=128, n_epochs=4, learning_rate=1e-3,
        gamma=0.0, seed=0, device="cpu", **settings,
    )  # fmt: skip


@pytest.mark.parametrize("key", ["image", "audio", "text", "vector"])
def test_each_modality_alone_is_enough_to_learn_from(key: str) -> None:
    env = make_vec_env(lambda: Only(ButtonWorld("decoded"), key), n_envs=16, seed=0)
    extractor = {"features_extractor_class": MultimodalExtractor}
    agent = ppo(env, policy_kwargs={**extractor, "features_extractor_kwargs": {"width": 32}})
    agent.learn(2560 if key == "image" else 5120)
    reached, _ = evaluate_policy(agent, env, 16, warn=False)
    assert reached >= 7.0, f"{key}: return {reached} of 8; guessing gives 2.7"


def test_all_modalities_are_joined() -> None:
    env = make_vec_env(lambda: ButtonWorld("decoded"), n_envs=2)
    name, kwargs = default_policy(env.observation_space, "decoded")
    agent = PPO(name, env, policy_kwargs=kwargs, device="cpu")
    observation, _ = agent.policy.obs_to_tensor(env.reset())
    features = agent.policy.extract_features(observation)
    assert features.shape == (2, 256)
    before = features.clone()
    for key in ("image", "audio", "text", "vector"):
        changed = {k: v.clone() for k, v in observation.items()}
        changed[key] = torch.ones_like(changed[key]) if key == "text" else changed[key] * 0 + 0.3
        assert not torch.equal(agent.policy.extract_features(changed), before), key


def test_latents_are_joined_without_a_weight() -> None:
    space = ButtonWorld("latent").observation_space
    extractor = LatentExtractor(space)
    assert extractor.features_dim == 6 and not list(extractor.parameters())
    image, text = torch.randn(5, 3), torch.randn(5, 3)
    joined = extractor({"text": text, "image": image})
    assert torch.equal(joined, torch.cat([image, text], 1))


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (40, 100)])
def test_images_of_any_size(size: tuple[int, int]) -> None:
    space = spaces.Dict({"image": spaces.Box(0, 255, (*size, 3), np.uint8)})
    extractor = MultimodalExtractor(space, features_dim=8, width=8)
    assert extractor({"image": torch.rand(2, 3, *size)}).shape == (2, 8)


def test_an_unknown_key_says_what_can_be_read() -> None:
    space = spaces.Dict({"smell": spaces.Box(0, 1, (4,), np.float32)})
    with pytest.raises(ConfigurationError, match="LatentExtractor"):
        MultimodalExtractor(space)
