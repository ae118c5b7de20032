"""Actions in words: the same path as arrays, and clear refusals."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence
from stable_baselines3 import DQN, PPO
from tiny_world import ACTIONS, TinyWorld, build_model, build_start_states
from toy_worlds import ButtonWorld, CorridorWorld, SayingWorld

from worldgpt_env.actions import ActionValidator, Phrasebook, Sentences
from worldgpt_env.errors import ConfigurationError, InvalidActionError
from worldgpt_env.model.modalities import ActionSpec
from worldgpt_env.policies import ImaginedVecEnv
from worldgpt_env.spaces import action_space
from worldgpt_env.wrappers import DiscreteTextActions, SelectModalities

TEXT, NAMED = ACTIONS["text"], ACTIONS["discrete"]
IDS = {word: number for number, word in enumerate(TEXT.names)}


@pytest.fixture(scope="module")
def dream_settings() -> dict[str, Any]:
    """A model whose actions are text."""
    model = build_model("text")
    return {"model": model, "start_states": build_start_states(model), "obs_mode": "latent"}


def test_a_text_action_is_one_word_id_per_slot() -> None:
    space = action_space(TEXT)
    assert space == spaces.MultiDiscrete([len(TEXT.names)] * 3)
    ids = ActionValidator(TEXT).one("move LEFT  fire")
    assert ids.tolist() == [[IDS["move"], IDS["left"], IDS["fire"]]] and ids.dtype == np.int64
    assert ActionValidator(TEXT).one("").tolist() == [[0, 0, 0]]  # nothing is said


@pytest.mark.parametrize("sentence, words", [
    ("move lfet", r"does not know 'lfet' \(near: 'left'\); pass at most 3 of its words: fire left"),
    ("jump", "does not know 'jump'; pass"),
    ("move left fire wait", "has 4 words, and an action here has at most 3"),
])  # fmt: skip
def test_unknown_and_too_many_words_are_named(sentence: str, words: str) -> None:
    gate = ActionValidator(TEXT)
    for call in (lambda: gate.one(sentence), lambda: gate.many(["fire", sentence], 2)):
        with pytest.raises(InvalidActionError, match=words):
            call()


@pytest.mark.parametrize("actions", ["fire", ["fire"], ["fire", 3], ["fire", None], [], ("a",) * 3])
def test_a_batch_needs_one_sentence_per_row(actions: object) -> None:
    with pytest.raises(InvalidActionError, match="at most 3 words for each of the 2 rows"):
        ActionValidator(TEXT).many(actions, 2)


def test_discrete_actions_go_by_their_names() -> None:
    gate = ActionValidator(NAMED)
    assert gate.one("Turn  right").tolist() == [1]
    assert gate.many(["go", "turn left"], 2).tolist() == [2, 0]
    with pytest.raises(InvalidActionError, match="1 'turn right', 2 'go'.; near is 'turn left'"):
        gate.one("turn lefd")
    twins = Sentences(ActionSpec("discrete", (2,), ("go", "GO")))
    with pytest.raises(InvalidActionError, match="a name that one action has"):
        twins.read("go")


@pytest.mark.parametrize("kind", ["box", "multidiscrete"])
def test_where_actions_have_no_words_a_sentence_is_refused(kind: str) -> None:
    with pytest.raises(InvalidActionError, match="'go' is not an action here"):
        ActionValidator(ACTIONS[kind]).one("go")
    with pytest.raises(InvalidActionError, match="is not an action here"):
        ActionValidator(ACTIONS[kind]).many(["go", "go"], 2)


def test_a_dream_does_what_it_is_told(dream_settings: dict[str, Any]) -> None:
    env = gym.make("WorldGPT-v0", **dream_settings)
    env.reset(seed=1)
    told = env.step("move left")
    env.reset(seed=1)
    assert data_equivalence(told, env.step(TEXT.vocabulary.encode("move left")), exact=True)
    env.reset(seed=1)
    assert not np.array_equal(told[0]["image"], env.step("fire")[0]["image"])
    assert env.unwrapped.action_spec == TEXT


def test_many_dreams_are_told_a_sentence_each(dream_settings: dict[str, Any]) -> None:
    envs = gym.make_vec("WorldGPT-v0", num_envs=2, **dream_settings)
    said = ["move right", "wait"]
    envs.reset(seed=1)
    told = envs.step(said)
    envs.reset(seed=1)
    ids = np.stack([TEXT.vocabulary.encode(sentence) for sentence in said])
    assert data_equivalence(told, envs.step(ids), exact=True)


def test_the_vector_environment_of_sb3_is_told_too(dream_settings: dict[str, Any]) -> None:
    dreams = ImaginedVecEnv(num_envs=2, **dream_settings)
    said, results = ["move right", "wait"], []
    for actions in (said, np.stack([TEXT.vocabulary.encode(sentence) for sentence in said])):
        dreams.seed(1)
        dreams.reset()
        results.append(dreams.step(actions)[:3])
    assert data_equivalence(*results, exact=True)


def test_sb3_dreams_of_a_few_sentences(dream_settings: dict[str, Any]) -> None:
    said = ["move left", "fire"]
    few = ImaginedVecEnv(num_envs=2, sentences=said, **dream_settings)
    all_words = ImaginedVecEnv(num_envs=2, **dream_settings)
    assert few.action_space == spaces.Discrete(2)
    for dreams in (few, all_words):
        dreams.seed(1)
        dreams.reset()
    assert data_equivalence(few.step(np.array([1, 0])), all_words.step(said[::-1]), exact=True)
    with pytest.raises(InvalidActionError, match="0 'move left', 1 'fire'"):
        few.step(np.array([0, 2]))
    PPO("MultiInputPolicy", few, n_steps=8, batch_size=8, n_epochs=1).learn(16)


def test_a_real_world_does_what_it_is_told() -> None:
    world = SayingWorld()
    for seed in range(3):
        text = world.reset(seed=seed)[1]["text"]
        assert world.step(f"move {text.split()[-1]}")[1] == 1.0
        world.reset(seed=seed)
        assert world.step("move")[1] == 0.0
    corridor = CorridorWorld()
    before = corridor.reset(seed=0)[0]["vector"]
    assert corridor.step("left")[0]["vector"] == before - 1
    with pytest.raises(InvalidActionError, match="0 'left', 1 'right'"):
        corridor.step("up")


def test_sb3_learns_on_word_ids() -> None:
    PPO("MultiInputPolicy", SayingWorld(), n_steps=8, batch_size=8, n_epochs=1).learn(16)


def test_an_agent_chooses_between_sentences() -> None:
    said = ["move left", "fire", "move right now"]
    env = DiscreteTextActions(SelectModalities(SayingWorld(), ["text"]), said)
    assert env.action_space == spaces.Discrete(3)
    assert env.action_spec.names == tuple(said)
    for action in (1, "fire", np.int64(1)):
        env.reset(seed=0)
        env.unwrapped.wanted = 2  # fire
        assert env.step(action)[1] == 1.0
    for wrong in (3, "move", np.array([0, 0, 0])):
        with pytest.raises(InvalidActionError):
            env.step(wrong)


def test_sb3_learns_to_say_what_is_asked_for() -> None:
    env = DiscreteTextActions(SayingWorld(), ["left", "right", "fire"])
    agent = DQN(
        "MultiInputPolicy", env, seed=0, gamma=0.0, learning_rate=1e-2, learning_starts=100,
        train_freq=2, target_update_interval=100, exploration_fraction=0.5,
    )  # fmt: skip
    agent.learn(900)
    rewards = []
    for seed in range(5):
        observation, ended = env.reset(seed=seed)[0], False
        while not ended:
            action, _ = agent.predict(observation, deterministic=True)
            observation, reward, _, ended, _ = env.step(int(action))
            rewards.append(reward)
    assert np.mean(rewards) > 0.9


@pytest.mark.parametrize("sentences", [[], ["fire", "Fire"], ""])
def test_sentences_to_choose_from_are_given_once(sentences: Any) -> None:
    if sentences == "":
        assert len(Phrasebook(TEXT, sentences).table) == 1  # to say nothing is a choice
        return
    with pytest.raises(ConfigurationError, match="at least one, each once"):
        DiscreteTextActions(SayingWorld(), sentences)


def test_only_text_actions_have_sentences_to_choose_from() -> None:
    with pytest.raises(ConfigurationError, match="are discrete, not text"):
        DiscreteTextActions(TinyWorld(), ["go"])
    with pytest.raises(ConfigurationError, match="has no action_spec"):
        DiscreteTextActions(ButtonWorld(), ["go"])
    with pytest.raises(InvalidActionError, match="does not know 'jump'"):
        DiscreteTextActions(SayingWorld(), ["jump"])
