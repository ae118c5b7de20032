"""Start states found by words: the rare ones count most, and what is found is said."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from tiny_world import build_start_states

from worldgpt_env.errors import InvalidOptionError
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.checkpoint import resolve
from worldgpt_env.model.modalities import Modality, TextSpec
from worldgpt_env.policies import ImaginedVecEnv
from worldgpt_env.randomness import seed_keys
from worldgpt_env.start_states import StartStates
from worldgpt_env.start_states.descriptions import NEAR, Descriptions

WORDS = TextSpec.of("ammo health 1 2 3 gun ready busy monster left right".split(), 6)
KEYS = seed_keys(list(range(40)))


def described(*texts: str, present: list[bool] | None = None) -> Descriptions:
    """Return moments that have these texts."""
    there = np.array(present or [True] * len(texts))
    return Descriptions(np.stack([WORDS.encode(text) for text in texts]), WORDS, there)


def test_what_else_a_moment_holds_does_not_matter_and_equals_are_chosen_by_the_key() -> None:
    found = described("ammo 1 gun busy", "ammo 2", "ammo 1", "health 2").nearest("1 ammo", KEYS)
    assert set(found.index) == {0, 2} and found.match == 1.0
    again = described("ammo 1 gun busy", "ammo 2", "ammo 1", "health 2").nearest("1 ammo", KEYS)
    assert np.array_equal(found.index, again.index)


def test_rare_words_count_more() -> None:
    moments = described("gun ready", *["gun busy"] * 9)
    assert set(moments.nearest("busy ready", KEYS).index) == {0}
    moments = described("gun busy", *["gun ready"] * 9)
    assert set(moments.nearest("busy ready", KEYS).index) == {0}
    assert moments.nearest("busy ready", KEYS).match > NEAR


def test_the_order_of_the_words_decides_between_equals() -> None:
    moments = described("ammo 1 health 2", "ammo 2 health 1")
    assert set(moments.nearest("health 1 ammo 2", KEYS).index) == {1}
    assert set(moments.nearest("health 2", KEYS).index) == {0}
    longer = described("gun ready monster", "gun ready")
    assert set(longer.nearest("gun ready", KEYS).index) == {1}  # the whole sentence


def test_a_word_asked_for_twice_is_wanted_twice() -> None:
    moments = described("ammo 1 health 2", "ammo 1 health 1")
    assert set(moments.nearest("1 1", KEYS).index) == {1}


def test_nothing_near_is_an_error_that_shows_the_nearest() -> None:
    moments = described("gun ready", "monster left", "ammo 1", "health 2")
    with pytest.raises(InvalidOptionError, match=r"comes near 'gun left 1'.*'gun ready' \(0.33\)"):
        moments.nearest("gun left 1", KEYS)
    with pytest.raises(InvalidOptionError, match=r"'redy' \(near: 'ready'\), '3'; use some of"):
        moments.nearest("gun redy 3", KEYS)


def test_moments_without_words_are_never_found() -> None:
    moments = described("ammo 1", "ammo 1", "gun", present=[False, True, True])
    assert set(moments.nearest("ammo", KEYS).index) == {1}


@pytest.mark.parametrize("world", ["doorkey", "doom-audio"])
def test_partial_descriptions_find_their_words_in_the_embedded_worlds(world: str) -> None:
    """Words are dropped and shuffled, and no state with the whole text is there to be found."""
    spec = WorldGPT.from_pretrained(world).specs[Modality.TEXT]
    assert isinstance(spec, TextSpec)
    states, generator = StartStates.load(resolve(world)), np.random.default_rng(0)
    texts = np.array([spec.decode(ids) for ids in states.codes[Modality.TEXT][..., 0].numpy()])
    found = whole = 0
    for text in sorted(set(texts)):
        others = texts != text
        rest, moments = texts[others], states.subset(torch.from_numpy(others)).descriptions(spec)
        for asked in partial_descriptions(text, generator):
            possible = any(set(asked) <= set(other.split()) for other in set(rest))
            whole += holds(states.descriptions(spec), texts, asked)
            found += possible == holds(moments, rest, asked)
    total = 5 * len(set(texts))
    assert found == total  # wherever some state holds all the words, such a state is found
    assert whole == total


def partial_descriptions(text: str, generator: np.random.Generator) -> list[list[str]]:
    """Return five descriptions of ``text``: some of its words, in any order."""
    words = text.split()
    counts = generator.integers(1, len(words) + 1, 5)
    return [list(generator.permutation(words)[:count]) for count in counts]


def holds(moments: Descriptions, texts: np.ndarray, asked: list[str]) -> bool:
    """Return whether the state that is found holds all words ``asked``."""
    try:
        found = moments.nearest(" ".join(asked), KEYS[:1])
    except InvalidOptionError:
        return False
    return set(asked) <= set(texts[found.index[0]].split())


def test_info_says_what_was_found(tiny_model: WorldGPT, start_states: StartStates) -> None:
    settings: dict[str, Any] = {"model": tiny_model, "start_states": start_states}
    env = gym.make("WorldGPT-v0", **settings)
    info = env.reset(options={"description": "key red"})[1]
    assert info["match"] == 1.0 and info["text"] == "you see a red key"
    assert info["start_index"] >= 0
    assert 0.5 <= env.reset(options={"description": "see red open"})[1]["match"] < 1
    assert "match" not in env.reset()[1] and "match" not in env.step(0)[4]


def test_each_row_says_what_it_found(tiny_model: WorldGPT, start_states: StartStates) -> None:
    settings: dict[str, Any] = {"model": tiny_model, "start_states": start_states}
    envs = gym.make_vec("WorldGPT-v0", num_envs=3, **settings)
    assert "match" not in envs.reset(seed=0)[1]
    mask = np.array([True, False, True])
    options = {"reset_mask": mask, "description": ["red key", "see red open"]}
    info = envs.reset(options=options)[1]
    assert info["_match"].tolist() == mask.tolist()
    assert info["match"][0] == 1.0 and 0.5 <= info["match"][2] < 1.0 and info["match"][1] == 0.0
    dreams = ImaginedVecEnv(num_envs=2, **settings)
    dreams.set_options({"description": "red key"})
    dreams.reset()
    assert [info["match"] for info in dreams.reset_infos] == [1.0, 1.0]


def test_the_words_of_the_tiny_world_are_known(tiny_model: WorldGPT) -> None:
    spec = tiny_model.specs[Modality.TEXT]
    assert isinstance(spec, TextSpec)
    moments = build_start_states(tiny_model).descriptions(spec)
    assert moments.weight[0] == 0 and (moments.weight > 0).sum() == 11
