"""Real worlds seen as a policy of a dream sees them, or in part."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from stable_baselines3 import PPO
from tiny_world import ACTIONS, SPECS, TinyWorld, build_model

from worldgpt_env.errors import ConfigurationError, MissingModalityError, WorldMismatchError
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.modalities import ImageSpec, Modality
from worldgpt_env.start_states import StartStates
from worldgpt_env.wrappers import LatentObservation, SelectModalities, encode_latent


def test_the_real_world_has_the_spaces_of_the_dream(
    tiny_model: WorldGPT, start_states: StartStates
) -> None:
    settings = {"model": tiny_model, "start_states": start_states, "modalities": ["text", "image"]}
    dream = gym.make("WorldGPT-v0", obs_mode="latent", **settings)
    real = LatentObservation(TinyWorld(), tiny_model, ["image", "text"])
    assert real.observation_space == dream.observation_space
    assert list(real.observation_space) == list(dream.observation_space)
    assert real.action_space == dream.action_space
    check_env(real, skip_render_check=True)


def test_a_dream_from_a_real_moment_starts_with_the_same_latents(
    tiny_model: WorldGPT, start_states: StartStates
) -> None:
    world, latent = TinyWorld(), LatentObservation(TinyWorld(), tiny_model)
    raw, seen = world.reset(seed=3)[0], latent.reset(seed=3)[0]
    dream = gym.make("WorldGPT-v0", model=tiny_model, start_states=start_states, obs_mode="latent")
    assert data_equivalence(dream.reset(options={"observation": raw})[0], seen, exact=True)


def test_a_batch_gives_the_same_bits_as_single_observations(tiny_model: WorldGPT) -> None:
    world = TinyWorld()
    moments = [world.reset(seed=seed)[0] for seed in range(5)]
    batch = {key: np.stack([moment[key] for moment in moments]) for key in moments[0]}
    together = encode_latent(tiny_model, batch)
    latent = LatentObservation(world, tiny_model)
    for row, moment in enumerate(moments):
        alone = latent.observation(moment)
        assert data_equivalence(alone, {k: v[row] for k, v in together.items()}, exact=True)


def test_a_policy_learns_behind_it(tiny_model: WorldGPT) -> None:
    env = LatentObservation(TinyWorld(), tiny_model, ["text", "vector"])
    PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, n_epochs=1).learn(16)


def test_another_world_is_refused_and_named(tiny_model: WorldGPT) -> None:
    class Wide(TinyWorld):
        def __init__(self) -> None:
            super().__init__()
            self.specs = SPECS | {Modality.IMAGE: ImageSpec(32, 48)}

    with pytest.raises(WorldMismatchError, match=r"other \['image'\].*make_world\('tiny'\)"):
        LatentObservation(Wide(), tiny_model)
    deaf = SelectModalities(TinyWorld(), ["image", "text", "vector"])
    with pytest.raises(WorldMismatchError, match="'audio'"):
        LatentObservation(deaf, tiny_model)
    with pytest.raises(WorldMismatchError, match="'actions'"):
        LatentObservation(TinyWorld(), build_model("box"))
    assert LatentObservation(TinyWorld(), tiny_model, "audio").modalities == (Modality.AUDIO,)


def test_some_modalities_of_a_world(tiny_model: WorldGPT) -> None:
    env = SelectModalities(TinyWorld(), ["vector", "image"])
    check_env(env, skip_render_check=True)
    assert list(env.observation_space) == list(env.reset(seed=0)[0]) == ["image", "vector"]
    assert list(env.specs) == [Modality.IMAGE, Modality.VECTOR]
    model = build_model(modalities=(Modality.IMAGE, Modality.VECTOR))
    assert list(LatentObservation(env, model).reset(seed=0)[0]) == ["image", "vector"]
    with pytest.raises(MissingModalityError, match="no 'audio'"):
        SelectModalities(env, ["audio"])
    with pytest.raises(ConfigurationError, match="needs a Dict"):
        SelectModalities(gym.make("CartPole-v1"), ["image"])


def test_actions_pass_through(tiny_model: WorldGPT) -> None:
    env = LatentObservation(TinyWorld(), tiny_model)
    env.reset(seed=0)
    assert env.step(2)[1:4] == (2.0, True, False)
    assert env.get_wrapper_attr("action_spec") == ACTIONS["discrete"]
