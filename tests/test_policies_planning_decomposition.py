"""Long goals: read by grammar, found in a recording, told by a language model; then followed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from pretrained_parts import SIZES
from tiny_world import build_model, build_start_states
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from toy_worlds import CorridorWorld

from worldgpt_env.errors import CheckpointError, MissingStartStatesError
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.policies.planning import (
    Decomposition,
    DecompositionConfig,
    LanguageModelProposer,
    MissionProposer,
    Place,
    ProposalError,
    WaypointProposer,
    Words,
    build_planner,
)
from worldgpt_env.policies.planning.language_model import read_subgoals
from worldgpt_env.policies.planning.proposer import Situation
from worldgpt_env.policies.planning.subgoals import Subgoal, distance
from worldgpt_env.start_states import StartStates
from worldgpt_env.training.policy_evaluation import evaluate_episodes

CONFIG = DecompositionConfig(horizon=5, candidates=64, iterations=2, elites=8, replan_every=2)


@pytest.fixture(scope="module")
def model(corridor: Path) -> WorldGPT:
    return WorldGPT.from_pretrained(corridor / "model")


def situation(model: WorldGPT, goal: str, reached: tuple[str, ...] = ()) -> Situation:
    """Return a situation in the first of the tiny start states."""
    states = build_start_states(model)
    return Situation(model, goal, states.select(np.array([0])), "you see nothing", reached)


# subgoals ---------------------------------------------------------------------------------------


def test_words_are_reached_when_they_stand_side_by_side(tiny_model: WorldGPT) -> None:
    spec = tiny_model.specs[Modality.TEXT]
    said = ["the door is open", "open the door", "you see a red key", "blue is the red door", ""]
    state = tiny_model.encode({"text": np.stack([spec.encode(text) for text in said])})
    assert Words("door is open").match(tiny_model, state).tolist() == [1, 1 / 3, 0, 1 / 3, 0]
    assert Words("red door").match(tiny_model, state).tolist() == [0.25, 0.25, 0.25, 1, 0]
    assert Words.checked("Door IS open", tiny_model).name == "door is open"


@pytest.mark.parametrize("phrase", ["", "door is ajar", "the door is open and the key is red"])
def test_words_that_a_world_cannot_say_are_told(tiny_model: WorldGPT, phrase: str) -> None:
    with pytest.raises(ProposalError, match="at most 6 of these: .*door"):
        Words.checked(phrase, tiny_model)


def test_a_world_without_words_has_no_goals_in_words() -> None:
    silent = build_model(modalities=(Modality.VECTOR,))
    with pytest.raises(ProposalError, match="no words"):
        Words.checked("door", silent)


def test_a_place_is_reached_within_its_distance(model: WorldGPT) -> None:
    places = np.arange(7, dtype=np.float32)[:, None]
    text = np.stack([CorridorWorld().reset(seed=0)[0]["text"]] * 7)
    states = model.encode({"text": text, "vector": places})
    here = {m: codes[3:4] for m, codes in states.items()}
    apart = distance(model, states, here)
    assert apart[3] == 0 and (np.diff(apart[3:]) > 0).all() and (np.diff(apart[:4]) < 0).all()
    match = Place(here, "middle", near=float(apart[4])).match(model, states)
    assert match[3] == match[4] == 1 and 0 < match[6] < match[5] < 1


# proposers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mission", "phrases"),
    [
        (
            "go to the red ball, then pick up a blue key",
            ["facing red ball", "carrying blue key"],
        ),
        (
            "pick up the grey box after you go to the red box",
            ["facing red box", "carrying grey box"],
        ),
        (
            "go to the key and open the red door facing wall",
            ["facing key", "red door open"],
        ),
        ("Open the door", ["door open"]),
        ("reach the door is open", ["door is open"]),
    ],
)
def test_missions_are_read_in_their_order(mission: str, phrases: list[str]) -> None:
    assert MissionProposer().read(mission) == phrases


def test_the_missions_of_babyai_are_understood() -> None:
    pytest.importorskip("minigrid")
    from worldgpt_env import make_world

    world = make_world("babyai-two")
    known = world.specs[Modality.TEXT].vocabulary
    for seed in range(60):
        mission = world.reset(seed=seed)[1]["text"]  # and the state
        phrases = MissionProposer().read(mission)
        assert len(phrases) == 2
        assert all(word in known for phrase in phrases for word in phrase.split())
        first, second = (mission.index(phrase.split(" ", 1)[1]) for phrase in phrases)
        assert ("after you" in mission) == (second < first)


def test_missions_in_other_words_and_what_was_reached(tiny_model: WorldGPT) -> None:
    proposer = MissionProposer({"find": "you see a {}", "close": "{} is closed"})
    goal = "find the red key then close the door"
    subgoals = proposer.propose(situation(tiny_model, goal))
    assert [subgoal.name for subgoal in subgoals] == ["you see a red key", "door is closed"]
    left = proposer.propose(situation(tiny_model, goal, ("you see a red key",)))
    assert [subgoal.name for subgoal in left] == ["door is closed"]
    with pytest.raises(ProposalError, match="'dance'.*'find', 'close'"):
        proposer.propose(situation(tiny_model, "find the key then dance"))
    with pytest.raises(ProposalError, match="of these"):
        proposer.propose(situation(tiny_model, "find the purple key"))


def corridor_states(model: WorldGPT, walks: list[list[int]]) -> StartStates:
    """Return recorded moments of walks along the corridor with the prize on the right."""
    world = CorridorWorld()
    text = next(t for s in range(9) if "right" in (t := world.reset(seed=s)[1]["text"]))
    ids = world.specs[Modality.TEXT].encode(text)
    steps = [(episode, step) for episode, walk in enumerate(walks) for step in range(len(walk))]
    vector = np.array([[walks[e][s]] for e, s in steps], np.float32)
    codes = model.encode({"text": np.stack([ids] * len(steps)), "vector": vector})
    numbers = torch.tensor(steps, dtype=torch.int32)
    return StartStates(codes, numbers[:, 1] == 0, numbers[:, 0], numbers[:, 1])


def test_the_way_is_the_shortest_through_all_that_was_recorded(model: WorldGPT) -> None:
    states = corridor_states(model, [[1, 2, 2, 3, 4], [5, 4, 3, 2], [4, 5, 4]])
    told = Situation(model, "", states.select(np.array([1])), "")  # at place 2
    goal = states.select(np.array([5]))  # place 5, where no episode came to from place 2
    way = WaypointProposer(states, goal, every=1, near=1e-6).propose(told)
    assert [place.name for place in way] == ["recorded 0:3", "recorded 0:4", "recorded 2:1"]
    spaced = WaypointProposer(states, goal, every=2, near=1e-6).propose(told)
    assert [place.name for place in spaced] == ["recorded 0:4", "recorded 2:1"]
    up = Situation(model, "", states.select(np.array([6])), "")  # at place 4
    down = WaypointProposer(states, states.select(np.array([8])), every=2, near=1e-6).propose(up)
    assert [place.name for place in down] == ["recorded 1:3"]  # 4, 3, 2 in two steps
    there = WaypointProposer(states, goal, near=1e-6).propose(
        Situation(model, "", states.select(np.array([10])), "")
    )
    assert [place.name for place in there] == ["recorded 2:1"]
    never = model.encode({"text": np.ones((1, 2), int), "vector": np.zeros((1, 1), np.float32)})
    with pytest.raises(ProposalError, match="record more"):
        WaypointProposer(states, never, near=1e-6).propose(told)


def test_a_way_may_lead_to_the_reward(model: WorldGPT) -> None:
    states = corridor_states(model, [[2, 3, 4, 3], [4, 5, 6]])
    states = dataclasses.replace(states, reward=torch.tensor([0.0, 0, 0, 0, 0, 0.6, 1]))
    told = Situation(model, "whatever", states.select(np.array([0])), "")
    *way, last = WaypointProposer(states, "reward", every=1, near=1e-6).propose(told)
    assert [place.name for place in way] == ["recorded 0:1", "recorded 0:2"]
    assert last.name == "recorded 1:1"  # the nearest that was paid half or more
    poor = dataclasses.replace(states, reward=torch.zeros(7))
    with pytest.raises(MissingStartStatesError, match="ever paid"):
        WaypointProposer(poor, "reward").propose(told)


@pytest.mark.parametrize(
    "wrong", [{"goal": "the door"}, {"every": 0}, {"near": -1.0}, {"near": ".03"}]
)
def test_impossible_ways_are_told(model: WorldGPT, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="use"):
        WaypointProposer(corridor_states(model, [[1, 2]]), **wrong)


def test_the_goal_of_a_way_can_be_told_in_words(tiny_model: WorldGPT) -> None:
    states = build_start_states(tiny_model)
    told = situation(tiny_model, "red key")
    *_, last = WaypointProposer(states).propose(told)
    assert isinstance(last, Place)
    assert Words("red key").match(tiny_model, last.state)[0] == 1
    with pytest.raises(ProposalError, match="never seen"):
        WaypointProposer(states).propose(situation(tiny_model, "purple"))


TEMPLATE = "{% for m in messages %}{{ m['role'][0] }} {{ m['content'][-40:] }} {% endfor %}a "


def save_language_model(folder: Path, answer: str = "", template: str | None = TEMPLATE) -> Path:
    """Write a tiny language model of letters; with an ``answer``, one that learned to say it."""
    letters = ["<s>", "</s>", "?", *map(chr, range(32, 127))]
    table = {letter: number for number, letter in enumerate(dict.fromkeys(letters))}
    split = Tokenizer(WordLevel(table, unk_token="?"))
    split.pre_tokenizer, split.decoder = Split(Regex(r"[\s\S]"), "isolated"), Fuse()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=split,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        **SIZES | {"hidden_size": 32}, vocab_size=len(table), max_position_embeddings=512,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    network = transformers.LlamaForCausalLM(config)
    if answer:
        ids = torch.tensor([[*tokenizer("a ")["input_ids"], *tokenizer(answer)["input_ids"], 1]])
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        for _ in range(150):
            optimizer.zero_grad()
            network(ids, labels=ids).loss.backward()
            optimizer.step()
    network.save_pretrained(folder)
    return folder


def test_a_random_language_model_is_asked_and_its_answer_refused(tiny_model, tmp_path) -> None:
    proposer = LanguageModelProposer(save_language_model(tmp_path), max_new_tokens=12)
    told = situation(tiny_model, "open the door")
    answer = proposer.answer(told)
    assert answer == proposer.answer(told)  # greedy
    with pytest.raises(ProposalError, match="no JSON list of 1 to 8 strings"):
        proposer.propose(told)


def test_a_language_model_that_learned_to_answer_proposes(tiny_model, tmp_path) -> None:
    answer = json.dumps(["you see a red key", "door is open"])
    template = "a "  # it was taught nothing but its answer
    proposer = LanguageModelProposer(save_language_model(tmp_path, answer, template))
    subgoals = proposer.propose(situation(tiny_model, "open the door"))
    assert [subgoal.name for subgoal in subgoals] == ["you see a red key", "door is open"]


def test_the_question_holds_the_goal_and_the_words(tiny_model: WorldGPT) -> None:
    from worldgpt_env.policies.planning.language_model import messages

    system, user = messages(situation(tiny_model, "open the door", ("red key",)))
    assert "nothing else" in system["content"] and "closed" in system["content"]
    for part in ("open the door", "you see nothing", "red key"):
        assert part in user["content"]


@pytest.mark.parametrize(
    "answer", ["", "door is open", '{"a": 1}', "[]", "[1]", '["door is ajar"]', '["door"] yes']
)
def test_an_answer_is_a_list_of_phrases_or_an_error(tiny_model: WorldGPT, answer: str) -> None:
    with pytest.raises(ProposalError):
        read_subgoals(answer, tiny_model, "tiny")


def test_models_that_cannot_chat_are_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="instruction-tuned"):
        LanguageModelProposer(tmp_path / "nothing")
    with pytest.raises(ConfigurationError, match="chat template"):
        LanguageModelProposer(save_language_model(tmp_path / "mute", template=None))


# following them ---------------------------------------------------------------------------------


class Stops:
    """Proposes to visit some places of the corridor."""

    def __init__(self, *places: int) -> None:
        self.places = places
        self.asked: list[Situation] = []

    def propose(self, situation: Situation) -> tuple[Subgoal, ...]:
        self.asked.append(situation)
        found = []
        for place in self.places:
            vector = situation.model.encode({"vector": np.array([[place]], np.float32)})
            found.append(Place(vector, f"place {place}", near=0.1))
        return tuple(p for p in found if p.name not in situation.reached)


def corridor_from(place: int) -> CorridorWorld:
    """Return a corridor whose walker begins at ``place`` and finds the prize on the right."""
    world = CorridorWorld()
    for seed in range(100):
        observation, info = world.reset(seed=seed)
        if world.place == place and "right" in info["text"]:
            break
    world.first = observation  # type: ignore[attr-defined]
    return world


def test_subgoals_are_reached_in_order_and_then_the_reward(model: WorldGPT) -> None:
    planner = Decomposition(model, Stops(2, 4), config=CONFIG)
    world, state, notes = corridor_from(3), None, []
    observation, places, ended = world.first, [], False  # type: ignore[attr-defined]
    while not ended:
        action, state = planner.predict(observation, state)
        notes += planner.trace
        observation, reward, terminated, truncated, _ = world.step(int(action))
        places.append(world.place)
        ended = terminated or truncated
    assert places == [2, 3, 4, 5, 6] and reward == 1
    assert [note.subgoal for note in notes] == [
        "place 2", "place 4", "place 4", "the reward", "the reward",
    ]  # fmt: skip
    assert notes[0].subgoals == ("place 2", "place 4") and notes[0].reason == "start"
    assert notes[1].reason == "reached 'place 2'" and notes[3].reason == "reached 'place 4'"
    assert "towards 'place 2'" in str(notes[0])


def test_what_is_not_reached_in_time_is_proposed_anew(model: WorldGPT) -> None:
    stops = Stops(2)
    settings = {**vars(CONFIG), "patience": 2, "max_surprise": None}
    planner = Decomposition(model, stops, "go", DecompositionConfig(**settings))
    observation, state = corridor_from(4).first, None  # type: ignore[attr-defined]
    for reason in ("start", "", "did not reach 'place 2'"):
        _, state = planner.predict(observation, state)  # the walker never moves
        assert planner.trace[0].reason == reason
    assert [told.goal for told in stops.asked] == ["go", "go"]


def test_the_goal_is_what_the_first_words_say_if_none_is_given(model: WorldGPT) -> None:
    stops = Stops()
    evaluate_episodes(
        Decomposition(model, stops, config=CONFIG), CorridorWorld, lambda o: o, episodes=2
    )
    assert {told.goal for told in stops.asked} <= {"prize left", "prize right"}


def test_a_decomposition_by_name(model: WorldGPT) -> None:
    settings = {"goal": "reach the prize right", "horizon": 3, "candidates": 8}
    planner = build_planner("decomposition", model, settings, seed=3)
    assert isinstance(planner, Decomposition) and planner.config.seed == 3
    assert isinstance(planner.proposer, MissionProposer) and planner.goal.startswith("reach")
    way = build_planner("decomposition", model, {"proposer": "way"})
    assert isinstance(way, Decomposition) and isinstance(way.proposer, WaypointProposer)
    assert way.proposer.goal == "reward"
    told = build_planner("decomposition", model, {"proposer": "way", "goal": "prize", "near": 0.1})
    assert isinstance(told, Decomposition) and isinstance(told.proposer, WaypointProposer)
    assert (told.proposer.goal, told.proposer.near) == ("words", 0.1)
    with pytest.raises(ConfigurationError, match="no setting near"):
        build_planner("decomposition", model, {"near": 0.1})
    with pytest.raises(CheckpointError, match="no language model"):
        build_planner("decomposition", model, {"proposer": "no-such-folder"})
    with pytest.raises(ConfigurationError, match="worth"):
        build_planner("decomposition", model, {"worth": 0})
