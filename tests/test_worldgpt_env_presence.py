"""Start states that lack modalities: neutral arrays, and ``info`` says so until the first step."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import data_equivalence
from safetensors.torch import load_file
from tiny_world import SPECS, TinyEpisode, TinyRecording, build_model, tiny_recording

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.modalities import Modality
from worldgpt_env.policies import ImaginedVecEnv
from worldgpt_env.start_states import FILE_NAME, StartStates
from worldgpt_env.testing import check_dream


@pytest.fixture(scope="module")
def partial_states(tiny_model: WorldGPT) -> StartStates:
    """Start states of which the odd episodes have no sound, and the third no words either."""
    episodes = []
    for number, episode in enumerate(tiny_recording().episodes):
        observations, present = dict(episode.observations), {}
        for modality, lacking in ((Modality.AUDIO, number % 2), (Modality.TEXT, number == 3)):
            moments = len(observations[modality])
            if lacking:
                present[modality] = np.zeros(moments, bool)
                observations[modality] = np.zeros_like(observations[modality])
        episodes.append(TinyEpisode(observations, episode.rewards, present))
    return StartStates.from_recording(tiny_model, TinyRecording(episodes))


@pytest.fixture
def settings(endless_model: WorldGPT, partial_states: StartStates) -> dict[str, Any]:
    """A dream over them."""
    return {"model": endless_model, "start_states": partial_states}


def place(states: StartStates, episode: int) -> int:
    """Return the index of the first moment of ``episode``."""
    return int(((states.episode == episode) & states.first).nonzero()[0, 0])


def test_each_state_knows_what_it_has(
    partial_states: StartStates, start_states: StartStates, tiny_model: WorldGPT
) -> None:
    assert set(partial_states.present) == {Modality.AUDIO, Modality.TEXT}
    odd = partial_states.episode % 2 == 1
    assert torch.equal(partial_states.present[Modality.AUDIO], ~odd)
    assert torch.equal(partial_states.present[Modality.TEXT], partial_states.episode != 3)
    audio = partial_states.codes[Modality.AUDIO]
    assert torch.equal(audio[~odd], start_states.codes[Modality.AUDIO][~odd])
    neutral = tiny_model.processor.neutral_codes(Modality.AUDIO)
    assert (audio[odd] == neutral).all()
    assert start_states.present == {}


def test_presence_is_saved_and_old_files_have_everything(
    partial_states: StartStates, start_states: StartStates, tmp_path: Path
) -> None:
    loaded = StartStates.load(partial_states.save(tmp_path))
    assert list(loaded.codes) == list(partial_states.codes)
    for modality, there in partial_states.present.items():
        assert torch.equal(loaded.present[modality], there)
    start_states.save(tmp_path)
    assert set(load_file(tmp_path / FILE_NAME)) == {
        *map(str, SPECS),
        "first",
        "episode",
        "step",
        "reward",
    }
    assert StartStates.load(tmp_path).present == {}


def test_neutral_codes_are_no_words_and_the_middle(tiny_model: WorldGPT) -> None:
    codes = {m: tiny_model.processor.neutral_codes(m)[None] for m in SPECS}
    raw = tiny_model.decode(codes)
    assert not raw[Modality.TEXT].any()
    assert raw[Modality.VECTOR][0].tolist() == pytest.approx([50, 0], abs=1)
    for modality in (Modality.IMAGE, Modality.AUDIO):
        assert not tiny_model.latent(codes)[modality].any()  # the mean of what it was trained on


@pytest.mark.parametrize("obs_mode", ["decoded", "latent"])
def test_info_says_what_is_absent_until_the_first_step(
    settings: dict[str, Any], obs_mode: str
) -> None:
    env = gym.make("WorldGPT-v0", obs_mode=obs_mode, **settings)
    states = settings["start_states"]
    for episode, absent in ((0, None), (1, ("audio",)), (3, ("audio", "text"))):
        observation, info = env.reset(options={"index": place(states, episode)})
        assert info.get("absent") == absent and observation in env.observation_space
        if obs_mode == "latent" and absent:
            assert not observation["audio"].any()
        assert "absent" not in env.step(0)[4]


def test_the_model_does_not_read_what_is_absent(settings: dict[str, Any]) -> None:
    states = settings["start_states"]
    other = states.codes | {Modality.AUDIO: torch.zeros_like(states.codes[Modality.AUDIO])}
    heard = StartStates(other, states.first, states.episode, states.step)
    deaf = StartStates(other, states.first, states.episode, states.step, states.present)
    stories = []
    for start_states in (states, deaf, heard):
        env = gym.make("WorldGPT-v0", model=settings["model"], start_states=start_states)
        env.reset(seed=0, options={"index": place(states, 1)})
        stories.append([env.step(action % 3) for action in range(4)])
    assert data_equivalence(stories[0], stories[1], exact=True)  # whatever fills the array
    assert not data_equivalence(stories[0], stories[2], exact=True)


def test_rows_that_lack_something_change_no_other_row(settings: dict[str, Any]) -> None:
    envs = gym.make_vec("WorldGPT-v0", num_envs=3, temperature=1.0, **settings)
    states, env = settings["start_states"], gym.make("WorldGPT-v0", temperature=1.0, **settings)
    index = [place(states, episode) for episode in (0, 1, 3)]
    _, info = envs.reset(seed=5, options={"index": index})
    assert info["absent"].tolist() == [None, ("audio",), ("audio", "text")]
    assert info["_absent"].tolist() == [False, True, True]
    together = [envs.step(np.full(3, action % 3)) for action in range(5)]
    for row in range(3):
        env.reset(seed=5 + row, options={"index": index[row]})
        for action, (observations, rewards, *_) in enumerate(together):
            observation, reward, *_ = env.step(action % 3)
            assert data_equivalence(
                observation, {key: value[row] for key, value in observations.items()}, exact=True
            )
            assert reward == rewards[row]


def test_copies_lack_the_same(settings: dict[str, Any]) -> None:
    env = gym.make("WorldGPT-v0", **settings).unwrapped
    env.reset(seed=0, options={"index": place(settings["start_states"], 3)})
    state, fork = env.get_state(), env.fork()
    story = [env.step(action % 3) for action in range(4)]
    assert data_equivalence(story, [fork.step(a % 3) for a in range(4)], exact=True)
    late = env.get_state()
    after = env.step(0)
    env.set_state(state)
    assert data_equivalence(story, [env.step(a % 3) for a in range(4)], exact=True)
    fresh = gym.make("WorldGPT-v0", **settings).unwrapped
    for moment, wanted in ((late, [after]), (state, story)):
        fresh.set_state(moment)
        assert data_equivalence(wanted, [fresh.step(a % 3) for a in range(len(wanted))], exact=True)


def test_dreams_over_partial_states_keep_every_promise(settings: dict[str, Any]) -> None:
    check_dream(gym.make("WorldGPT-v0", **settings))
    dreams = ImaginedVecEnv(num_envs=4, **settings)
    dreams.set_options({"index": place(settings["start_states"], 3)})
    dreams.reset()
    assert dreams.reset_infos[2]["absent"] == ("audio", "text")


def test_info_names_a_combination_that_was_never_trained(partial_states: StartStates) -> None:
    whole = "+".join(map(str, SPECS))
    known = [f"{whole}>{whole}", f"{whole.replace('audio+', '')}>{whole}"]
    model = build_model(combinations=known)
    settings = {"model": model, "start_states": partial_states}
    env = gym.make("WorldGPT-v0", **settings)
    for episode, untrained in ((0, False), (1, False), (3, True)):
        _, info = env.reset(seed=0, options={"index": place(partial_states, episode)})
        assert ("untrained" in info) is untrained
    wanted = f"{whole.replace('audio+', '').replace('text+', '')}>{whole}"
    assert info["untrained"] == wanted
    envs = gym.make_vec("WorldGPT-v0", 2, **settings)
    starts = [place(partial_states, episode) for episode in (0, 3)]
    _, infos = envs.reset(seed=0, options={"index": starts})
    assert infos["untrained"].tolist() == [None, wanted]
    assert infos["_untrained"].tolist() == [False, True]
