"""Start states imagined from words: by models that learned it, and by no other."""

import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from tiny_world import SENTENCES, SPECS, build_model, build_start_states

from worldgpt_env.errors import InvalidOptionError, MissingModalityError
from worldgpt_env.model import WorldGPT, WorldGPTConfig
from worldgpt_env.model.batch import Batch
from worldgpt_env.model.modalities import ActionSpec, Modality, TextSpec, VectorSpec
from worldgpt_env.policies import ImaginedVecEnv
from worldgpt_env.start_states.imagined import imagine_start

ALL = "text>image+audio+vector"
WHOLE = "text>image+audio+text+vector"
SENTENCE = SENTENCES[0]


@pytest.fixture(scope="module")
def talker() -> WorldGPT:
    """A model with random weights that says that it learned to add everything to words."""
    return build_model("text", combinations=["text>image", WHOLE, ALL])


def test_what_the_model_predicts_from_the_words_is_the_start(talker: WorldGPT) -> None:
    state, present, match = imagine_start(talker, SENTENCES[:2])
    spec = SPECS[Modality.TEXT]
    assert isinstance(spec, TextSpec)
    words = talker.encode({Modality.TEXT: np.stack([spec.encode(s) for s in SENTENCES[:2]])})
    silence = torch.zeros(2, 3, dtype=torch.int64)
    wanted = talker.predict(words, silence, outputs=tuple(SPECS)).state | words
    assert list(state) == list(SPECS) and present == {}
    for modality, codes in wanted.items():
        assert torch.equal(state[modality], codes), modality
    assert match.shape == (2,) and ((match >= 0) & (match <= 1)).all()


def test_a_dream_begins_in_words_without_any_start_states(talker: WorldGPT) -> None:
    env = gym.make("WorldGPT-v0", model=talker)
    observation, info = env.reset(options={"generate": SENTENCE})
    assert info["text"] == SENTENCE and info["start_index"] == -1 and 0 <= info["match"] <= 1
    assert "absent" not in info and observation in env.observation_space
    assert env.step("move left")[0] in env.observation_space
    envs = gym.make_vec("WorldGPT-v0", num_envs=2, model=talker)
    both, info = envs.reset(options={"generate": [SENTENCE, SENTENCES[2]]})
    assert info["text"].tolist() == [SENTENCE, SENTENCES[2]]
    assert np.array_equal(both["image"][0], observation["image"])
    dreams = ImaginedVecEnv(talker, 2)
    dreams.set_options({"generate": SENTENCE})
    assert np.array_equal(*dreams.reset()["image"])


def test_what_was_never_learned_from_words_is_absent() -> None:
    model = build_model("text", combinations=["text>vector", "text>text+audio+image"])
    env = gym.make("WorldGPT-v0", model=model)
    observation, info = env.reset(options={"generate": SENTENCE})
    assert info["absent"] == ("vector",)
    assert observation["vector"].tolist() == pytest.approx([50, 0], abs=1)  # the middle
    assert "absent" not in env.step("fire")[4]


@pytest.mark.parametrize("settings, words", [
    ({"action": "text"}, rf"not trained on '{re.escape(ALL)}'.*\"description\".*worldgpt train"),
    ({"action": "text", "combinations": ["image>text", "text>text"]}, "was not trained on"),
    ({"action": "discrete", "combinations": [ALL]}, "are discrete, and only text actions"),
])  # fmt: skip
def test_other_models_say_what_to_do_instead(settings: dict[str, Any], words: str) -> None:
    model = build_model(**settings)
    env = gym.make("WorldGPT-v0", model=model, start_states=build_start_states(model))
    with pytest.raises(InvalidOptionError, match=words):
        env.reset(options={"generate": SENTENCE})


@pytest.mark.parametrize("text, words", [
    ("the dor is open", r"does not know 'dor' \(near: 'door'"),
    ("", "an empty text"),
    ("the door is open you see nothing", "has 7 words, and a text here has at most 6"),
    (3, "generate 3 is not understood"),
])  # fmt: skip
def test_texts_that_cannot_be_read_are_errors(talker: WorldGPT, text: Any, words: str) -> None:
    with pytest.raises(InvalidOptionError, match=words):
        gym.make("WorldGPT-v0", model=talker).reset(options={"generate": text})


def test_a_world_without_text_is_an_error() -> None:
    model = build_model("text", modalities=(Modality.VECTOR,))
    with pytest.raises(MissingModalityError, match="no text to begin with"):
        gym.make("WorldGPT-v0", model=model).reset(options={"generate": "door"})


def test_a_model_that_learned_its_words_begins_where_they_say() -> None:
    """Words name one of five places; the model learns the place that belongs to each word."""
    places = ["first", "second", "third", "fourth", "fifth"]
    spec = TextSpec.of(["place", *places], 2)
    specs = {Modality.TEXT: spec, Modality.VECTOR: VectorSpec(("place",), (0.0,), (4.0,))}
    torch.manual_seed(0)
    config = WorldGPTConfig.from_preset(
        "tiny", specs, ActionSpec.text(["go"], 1), combinations=["text>vector"]
    )
    model = WorldGPT(config)
    ids = np.stack([spec.encode(f"place {place}") for place in places])
    numbers = np.arange(5, dtype=np.float32)[:, None]
    now = model.encode({Modality.TEXT: ids, Modality.VECTOR: numbers})
    moments = {m: torch.stack([codes, codes], 1) for m, codes in now.items()}  # no time passes
    silence, zeros = torch.zeros(5, 1, 1, dtype=torch.int64), torch.zeros(5, 1)
    batch = Batch(moments, silence, zeros, zeros, torch.ones(5, 1))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        model(batch, inputs=(Modality.TEXT,), outputs=(Modality.VECTOR,)).loss.backward()
        optimiser.step()
    env = gym.make("WorldGPT-v0", model=model.eval())
    found = [env.reset(options={"generate": f"place {place}"})[0]["vector"] for place in places]
    assert np.array_equal(found, numbers)
