"""Start states: taken from a recording, stored, sampled, and found by words."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_world import SPECS, TinyEpisode, TinyRecording, build_model, tiny_recording

from worldgpt_env.errors import (
    CheckpointError,
    InvalidOptionError,
    MissingStartStatesError,
    WorldMismatchError,
)
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.modalities import Modality, TextSpec
from worldgpt_env.randomness import seed_keys
from worldgpt_env.start_states import FILE_NAME, Starter, StartStates

TEXT = SPECS[Modality.TEXT]
assert isinstance(TEXT, TextSpec)


def test_every_moment_that_was_acted_in_is_a_start_state(
    tiny_model: WorldGPT, start_states: StartStates
) -> None:
    episodes = tiny_recording().episodes
    lengths = [len(episode.observations[Modality.TEXT]) - 1 for episode in episodes]
    assert len(start_states) == sum(lengths)  # the last moment of each is left out
    assert int(start_states.first.sum()) == len(episodes)
    place = int(((start_states.episode == 3) & (start_states.step == 1)).nonzero()[0, 0])
    stored = start_states.select(np.array([place]))
    for modality in SPECS:
        raw = torch.from_numpy(episodes[3].observations[modality][1:2])
        assert torch.equal(stored[modality], tiny_model.codec(modality).encode(raw)), modality


def test_a_limit_keeps_first_moments_before_others(tiny_model: WorldGPT) -> None:
    few = StartStates.from_recording(tiny_model, tiny_recording(), limit=10)
    assert len(few) == 10 and int(few.first.sum()) == 8
    fewer = StartStates.from_recording(tiny_model, tiny_recording(), limit=3)
    assert len(fewer) == 3 and bool(fewer.first.all())


def paid_recording() -> TinyRecording:
    """Return the recording with a reward in the last step of the longest episode alone."""
    episodes = tiny_recording().episodes
    longest = max(range(len(episodes)), key=lambda number: len(episodes[number].rewards))
    rewards = [np.zeros_like(episode.rewards) for episode in episodes]
    rewards[longest][-1] = 3
    return TinyRecording(
        [TinyEpisode(e.observations, r) for e, r in zip(episodes, rewards, strict=True)]
    )


def test_a_limit_keeps_the_way_to_a_reward_before_the_rest(tiny_model: WorldGPT) -> None:
    recording = paid_recording()
    longest = max(len(episode.rewards) for episode in recording.episodes)
    kept = StartStates.from_recording(tiny_model, recording, limit=7 + longest)
    assert int(kept.first.sum()) == 8 and kept.reward is not None
    (paid,) = kept.rewarding
    assert kept.reward[paid] == 3 and int(kept.step[paid]) == longest - 1
    assert set(kept.pre_reward) == set(np.flatnonzero(kept.episode == kept.episode[paid]))
    assert len(kept.pre_reward) == longest


def test_dreams_may_begin_on_the_way_to_a_reward(tiny_model: WorldGPT) -> None:
    states = StartStates.from_recording(tiny_model, paid_recording())
    drawn = states.sample("rewarded", seed_keys(list(range(2000))))
    first = states.first.numpy()
    assert set(drawn) == set(np.flatnonzero(first)) | set(states.pre_reward)
    share = first[drawn].mean()
    assert abs(share - (0.5 + 0.5 * first[states.pre_reward].mean())) < 0.05


def test_the_way_to_a_reward_is_64_steps_and_of_its_own_episode(start_states: StartStates) -> None:
    count = len(start_states)
    step = torch.arange(count, dtype=torch.int32) * 40  # of one long episode
    reward = torch.zeros(count)
    reward[[5, 6]] = torch.tensor([1.0, 0.49])
    states = dataclasses.replace(start_states, episode=step * 0, step=step, reward=reward)
    assert states.rewarding.tolist() == [5] and states.pre_reward.tolist() == [4, 5]
    two = dataclasses.replace(states, episode=(step > 4 * 40).int())
    assert two.pre_reward.tolist() == [5]


def test_where_nothing_was_paid_there_is_no_way_to_it(start_states: StartStates) -> None:
    for reward in (torch.zeros(len(start_states)), torch.full((len(start_states),), torch.nan)):
        poor = dataclasses.replace(start_states, reward=reward)
        with pytest.raises(MissingStartStatesError, match="record more"):
            poor.sample("rewarded", seed_keys([1]))
    untold = dataclasses.replace(start_states, reward=None)
    with pytest.raises(MissingStartStatesError, match="train the model anew"):
        untold.sample("rewarded", seed_keys([1]))


def test_what_is_saved_is_loaded(start_states: StartStates, tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "mine.safetensors"):
        path = start_states.save(target)
        loaded = StartStates.load(target)
        assert torch.equal(loaded.episode, start_states.episode)
        assert start_states.reward is not None and loaded.reward is not None
        assert torch.equal(loaded.reward, start_states.reward)
        for modality, codes in start_states.codes.items():
            assert loaded.codes[modality].dtype == codes.dtype == torch.uint8
            assert torch.equal(loaded.codes[modality], codes)
        assert [entry.name for entry in path.parent.iterdir() if "tmp" in entry.name] == []


def test_a_missing_file_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(MissingStartStatesError, match="StartStates.from_recording"):
        StartStates.load(tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 100])
def test_a_truncated_file_is_an_error(start_states: StartStates, tmp_path: Path, keep: int) -> None:
    path = start_states.save(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="holds no start states"):
        StartStates.load(path)


def test_a_foreign_file_is_an_error(tmp_path: Path) -> None:
    save_file({"weights": torch.zeros(3)}, tmp_path / FILE_NAME)
    with pytest.raises(CheckpointError, match="holds no start states"):
        StartStates.load(tmp_path)


def test_start_states_of_another_model_are_refused(start_states: StartStates) -> None:
    with pytest.raises(WorldMismatchError, match="which this model lacks"):
        Starter(build_model(modalities=(Modality.IMAGE, Modality.TEXT)), start_states)
    high = {
        m: codes + 200 if m is Modality.IMAGE else codes for m, codes in start_states.codes.items()
    }
    parts = (start_states.first, start_states.episode, start_states.step)
    with pytest.raises(WorldMismatchError, match="do not fit the image"):
        Starter(build_model(), StartStates(high, *parts))


def test_kinds_choose_the_right_moments(start_states: StartStates) -> None:
    keys = seed_keys(list(range(2000)))
    first = start_states.first.numpy()
    assert first[start_states.sample("first", keys)].all()
    assert set(start_states.sample("first", keys)) == set(np.flatnonzero(first))
    assert set(start_states.sample("visited", keys)) == set(range(len(start_states)))
    share = first[start_states.sample("mixed", keys)].mean()
    expected = 0.5 + 0.5 * first.mean()
    assert abs(share - expected) < 0.05


def test_no_first_moments_is_an_error_only_where_they_are_needed(start_states: StartStates) -> None:
    rest = start_states.subset(~start_states.first)
    assert len(rest.sample("visited", seed_keys([1, 2]))) == 2
    with pytest.raises(MissingStartStatesError, match="start_states='visited'"):
        rest.sample("first", seed_keys([1]))


@pytest.mark.parametrize("words", ["the door is open", "Open DOOR", "red key"])
def test_words_find_the_states_that_hold_them(start_states: StartStates, words: str) -> None:
    found = start_states.descriptions(TEXT).nearest(words, seed_keys(list(range(20)))).index
    assert len(set(found)) > 1  # equals are chosen at random
    for index in found:
        ids = start_states.codes[Modality.TEXT][index, :, 0].numpy()
        assert set(words.lower().split()) <= set(TEXT.decode(ids).split())


@pytest.mark.parametrize("words", ["a blue door", "a tiger", "", "  "])
def test_unknown_words_are_an_error_that_lists_the_known(
    start_states: StartStates, words: str
) -> None:
    with pytest.raises(InvalidOptionError, match="some of these words: a closed door is key"):
        start_states.descriptions(TEXT).nearest(words, seed_keys([0]))
