"""Memory and knowledge in the environment: read at every step, told in info, apart by rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import data_equivalence
from tiny_world import build_model, build_start_states, set_end

from worldgpt_env import Knowledge, KnowledgeConfig, MemoryConfig, MemoryObservation
from worldgpt_env.errors import (
    ConfigurationError,
    KnowledgeError,
    MissingHeadError,
    WorldMismatchError,
)
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.modalities import Modality
from worldgpt_env.policies import ImaginedVecEnv, MemoryVecEnv
from worldgpt_env.simulator import Simulator, SimulatorConfig
from worldgpt_env.start_states import StartStates
from worldgpt_env.testing import check_dream

MODALITIES = (Modality.TEXT, Modality.VECTOR)
REFLECTOR = {"width": 16, "layers": 1, "heads": 2, "queries": 2}


@pytest.fixture(scope="module")
def model() -> WorldGPT:
    """A model of words and numbers with a reflector whose tokens matter; it never ends."""
    model = build_model(modalities=MODALITIES, reflector=REFLECTOR)
    set_end(model, -30.0)
    return model


@pytest.fixture(scope="module")
def states(model: WorldGPT) -> StartStates:
    return build_start_states(model)


@pytest.fixture(scope="module")
def knowledge(model: WorldGPT) -> Knowledge:
    generator = torch.Generator().manual_seed(0)
    parts = [
        {
            m: torch.randint(0, c.levels, (40, c.cells, c.digits), generator=generator)
            for m, c in ((m, model.codec(m)) for m in model.specs)
        }
        for _ in range(2)
    ]
    action = torch.arange(40) % 3
    scenario = ["odd" if number % 2 else "even" for number in range(40)]
    return Knowledge.build(
        model.processor, parts[0], action, parts[1], torch.arange(40) // 8, scenario
    )


@pytest.fixture(params=["memory raw", "memory reflected", "knowledge", "both"])
def settings(request: pytest.FixtureRequest, knowledge: Knowledge) -> dict[str, Any]:
    """What turns cognition on."""
    near = MemoryConfig("reflected", count=2, horizon=6, near=3)
    return {
        "memory raw": {"memory": "raw"},
        "memory reflected": {"memory": near},
        "knowledge": {"knowledge": KnowledgeConfig(knowledge, "raw", 3)},
        "both": {"memory": near, "knowledge": KnowledgeConfig(knowledge, count=2)},
    }[request.param]


def open_simulator(model: WorldGPT, states: StartStates, rows: int, **more: Any) -> Simulator:
    config = SimulatorConfig(start_states=states, temperature=1.0, horizon=1000, **more)
    return Simulator(model, rows, config)


def play(simulator: Simulator, steps: int, first: int = 0) -> list[dict[str, Any]]:
    """Return what steps give; the action of a row depends on its seed number and the step."""
    told = []
    for number in range(first, first + steps):
        actions = (np.arange(simulator.num_envs) + number) % 3
        step = simulator.step(actions)
        told.append(
            {str(m): codes.numpy().copy() for m, codes in step.state.items()}
            | {"reward": step.reward, "read": step.read}
        )
    return told


def same(one: Any, other: Any) -> bool:
    return bool(data_equivalence(one, other, exact=True))


def row(told: Any, number: int) -> Any:
    if isinstance(told, dict):
        return {key: row(value, number) for key, value in told.items()}
    return [row(one, number) for one in told] if isinstance(told, list) else told[number]


# dreams -----------------------------------------------------------------------------------------


def test_what_is_read_changes_the_dream(
    model: WorldGPT, states: StartStates, settings: dict[str, Any]
) -> None:
    dreams = []
    for more in ({}, settings):
        simulator = open_simulator(model, states, 4, **more)
        simulator.reset(seeds=range(4))
        dreams.append([one["reward"] for one in play(simulator, 6)])
    assert not same(*dreams)


def test_without_either_nothing_is_read(model: WorldGPT, states: StartStates) -> None:
    simulator = open_simulator(model, states, 2)
    simulator.reset(seeds=[0, 1])
    assert simulator.step(np.zeros(2, np.int64)).read == {}
    assert "memory" not in simulator.start_info(0)
    assert not any(name.startswith("memory/") for name in simulator.get_state())


def test_the_same_seed_is_the_same_dream_at_any_batch_size(
    model: WorldGPT, states: StartStates, settings: dict[str, Any]
) -> None:
    many = open_simulator(model, states, 19, **settings)
    many.reset(seeds=range(19))
    together = play(many, 7)
    for number in (0, 7, 18):
        one = open_simulator(model, states, 1, **settings)
        one.reset(seeds=[number])
        alone = play(one, 7, first=number)
        assert same(row(together, number), row(alone, 0))


def test_rows_never_mix_whatever_is_reset_in_between(
    model: WorldGPT, states: StartStates, settings: dict[str, Any]
) -> None:
    """Row 0 dreams the same while its neighbours are reset at random."""
    stories = []
    for disturb in (False, True):
        simulator = open_simulator(model, states, 4, **settings)
        simulator.reset(seeds=range(4))
        draw, story = np.random.default_rng(3), []
        for number in range(9):
            story.append(row(play(simulator, 1, number), 0))
            rows = 1 + np.flatnonzero(draw.random(3) < 0.5)
            if disturb and len(rows):
                simulator.reset(rows, seeds=[int(one) + 10 for one in rows])
        stories.append(story)
    assert same(*stories)


def test_a_reset_row_remembers_nothing(model: WorldGPT, states: StartStates) -> None:
    simulator = open_simulator(model, states, 3, memory=MemoryConfig("raw", count=5))
    simulator.reset(seeds=range(3))
    assert [one["read"]["memory"].tolist() for one in play(simulator, 3)][-1] == [2, 2, 2]
    simulator.reset([1], seeds=[1])
    assert play(simulator, 1)[0]["read"]["memory"].tolist() == [3, 0, 3]
    fresh = open_simulator(model, states, 3, memory=MemoryConfig("raw", count=5))
    fresh.reset(seeds=range(3))
    again = row(play(fresh, 2, 0), 1)
    simulator.reset([1], seeds=[1])
    assert same(row(play(simulator, 2, 0), 1), again)


def test_forks_and_saved_states_keep_what_is_remembered(
    model: WorldGPT, states: StartStates, settings: dict[str, Any]
) -> None:
    simulator = open_simulator(model, states, 3, **settings)
    simulator.reset(seeds=range(3))
    play(simulator, 8)
    saved, fork = simulator.get_state(), simulator.fork()
    other = open_simulator(model, states, 3, **settings)
    other.set_state(saved)
    wanted = play(simulator, 4)
    assert same(wanted, play(fork, 4)) and same(wanted, play(other, 4))
    simulator.set_state(saved)
    assert same(wanted, play(simulator, 4))
    swapped = other.fork([2, 2, 0])
    assert row(swapped.get_state()["state/text"], 0).equal(row(other.state[Modality.TEXT], 2))


def test_a_state_of_another_memory_is_refused(model: WorldGPT, states: StartStates) -> None:
    with_memory, without = (
        open_simulator(model, states, 2, memory=memory) for memory in ("raw", None)
    )
    for one, other in ((with_memory, without), (without, with_memory)):
        for simulator in (one, other):
            simulator.reset(seeds=[0, 1])
        with pytest.raises(WorldMismatchError, match="memory"):
            one.set_state(other.get_state())


def test_a_memory_holds_what_really_followed(model: WorldGPT, states: StartStates) -> None:
    """Who puts observed states in place of imagined ones finds them remembered."""
    simulator = open_simulator(model, states, 1, memory=MemoryConfig("raw", count=1))
    simulator.reset(seeds=[0])
    play(simulator, 2)
    state = simulator.get_state()
    seen = (state["state/text"] + 1) % 3
    simulator.set_state(state | {"state/text": seen})
    assert simulator._cognition is not None and simulator._cognition.memory is not None
    recalled = simulator._cognition.memory.recall(count=1)
    assert recalled.next_state[Modality.TEXT][:, 0].equal(seen)


# environments -----------------------------------------------------------------------------------


def make(model: WorldGPT, states: StartStates, **more: Any) -> gym.Env:
    return gym.make("WorldGPT-v0", model=model, start_states=states, obs_mode="latent", **more)


def test_the_contract_of_a_dream_holds(
    model: WorldGPT, states: StartStates, settings: dict[str, Any]
) -> None:
    check_dream(make(model, states, horizon=5, **settings))


def test_info_tells_what_was_read(
    model: WorldGPT, states: StartStates, knowledge: Knowledge
) -> None:
    more = {"memory": MemoryConfig(count=2), "knowledge": KnowledgeConfig(knowledge, count=3)}
    env = make(model, states, **more)
    _, info = env.reset(seed=1)
    assert info["memory"] == 0 and "knowledge" not in info
    for remembered in (0, 1, 2, 2):
        info = env.step(0)[4]
        assert info["memory"] == remembered
    read = info["knowledge"]
    index = read["index"]
    assert index.shape == (3,) and (np.diff(read["distance"]) >= 0).all()
    assert read["episode"].tolist() == knowledge.episode[index].tolist()
    assert list(read["scenario"]) == ["odd" if number % 2 else "even" for number in index]


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_info_of_many_rows_has_masks(
    model: WorldGPT, states: StartStates, knowledge: Knowledge, mode: str
) -> None:
    envs = gym.make_vec(
        "WorldGPT-v0",
        num_envs=3,
        vectorization_mode="vector_entry_point",
        model=model,
        start_states=states,
        horizon=3,
        memory="raw",
        knowledge=KnowledgeConfig(knowledge, "raw"),
        autoreset_mode=mode,
    )
    _, infos = envs.reset(seed=0)
    assert infos["memory"].tolist() == [0, 0, 0] and infos["_memory"].all()
    counts = []
    for _ in range(5):
        infos = envs.step(np.zeros(3, np.int64))[4]
        counts.append(int(infos["memory"][0]))
    assert counts == ([0, 1, 2, 0, 0] if mode == "NextStep" else [0, 1, 0, 0, 1])
    assert infos["knowledge"]["index"].shape == (3, 4) and infos["knowledge"]["_index"].all()
    envs.close()


def test_a_dream_for_agents_tells_it_too(
    model: WorldGPT, states: StartStates, knowledge: Knowledge
) -> None:
    env = ImaginedVecEnv(
        model, 2, start_states=states, memory="raw", knowledge=KnowledgeConfig(knowledge, "raw", 1)
    )
    env.reset()
    env.step(np.zeros(2, np.int64))
    infos = env.step(np.zeros(2, np.int64))[3]
    assert infos[1]["memory"] == 1 and infos[1]["knowledge"]["index"].shape == (1,)


# bad input --------------------------------------------------------------------------------------


def test_a_base_that_is_too_small_is_told(model: WorldGPT, states: StartStates) -> None:
    codes = {m: torch.zeros(2, c.cells, c.digits, dtype=torch.int64)
             for m, c in ((m, model.codec(m)) for m in model.specs)}  # fmt: skip
    small = Knowledge.build(model.processor, codes, torch.arange(2), codes, torch.zeros(2))
    with pytest.warns(UserWarning, match="holds 2 transitions, and a step reads 3"):
        env = make(model, states, knowledge=KnowledgeConfig(small, count=3))
    env.reset(seed=0)
    read = env.step(0)[4]["knowledge"]
    assert read["index"].tolist()[2] == -1 and read["distance"][2] == np.inf


def test_a_folder_that_fails_is_an_error_or_told(
    model: WorldGPT, states: StartStates, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OSError, match="fallback=True"):
        make(model, states, memory=MemoryConfig(folder=blocked))
    with pytest.warns(UserWarning, match="stay in RAM"):
        env = make(model, states, memory=MemoryConfig(folder=blocked, fallback=True))
    env.reset(seed=0)
    assert "cannot hold a memory" in env.step(0)[4]["memory_trouble"]


def test_what_cannot_be_read_is_refused(
    model: WorldGPT, states: StartStates, knowledge: Knowledge, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="both in one way"):
        make(model, states, memory="raw", knowledge=knowledge)
    for wrong in ({"memory": "cooked"}, {"memory": 3}, {"knowledge": 3}):
        with pytest.raises(ConfigurationError, match="memory|knowledge"):
            make(model, states, **wrong)
    with pytest.raises(ConfigurationError, match="count"):
        KnowledgeConfig(knowledge, count=0)
    plain = build_model(modalities=MODALITIES)
    with pytest.raises(MissingHeadError, match="worldgpt tune"):
        make(plain, states, memory="reflected")
    with pytest.raises(KnowledgeError, match="worldgpt knowledge"):
        make(model, states, knowledge=tmp_path / "nowhere")
    other = build_model(modalities=(Modality.TEXT,), reflector=REFLECTOR)
    with pytest.raises(KnowledgeError, match="build it anew"):
        make(other, build_start_states(other), knowledge=knowledge)


# what agents remember ---------------------------------------------------------------------------


def test_an_agent_sees_the_first_and_some_past_moments(
    model: WorldGPT, states: StartStates
) -> None:
    env = MemoryObservation(make(model, states, horizon=1000), count=2, horizon=4)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert np.array_equal(observation["first_text"], observation["text"])
    assert observation["past"].tolist() == [0, 0] and not observation["past_text"].any()
    seen = [observation["text"]]
    for number in range(6):
        observation = env.step(number % 3)[0]
        assert observation in env.observation_space
        seen.append(observation["text"])
    assert np.array_equal(observation["first_text"], seen[0])
    assert np.array_equal(observation["past_text"], np.concatenate([seen[2], seen[5]]))
    assert observation["past"].tolist() == [1, 1]
    again, _ = env.reset(seed=0)
    assert again["past"].tolist() == [0, 0] and np.array_equal(again["first_text"], again["text"])


def test_many_agents_see_what_each_alone_would(model: WorldGPT, states: StartStates) -> None:
    venv = MemoryVecEnv(
        ImaginedVecEnv(model, 3, start_states=states, horizon=4, seed=5, temperature=1.0), 2
    )
    observation = venv.reset()
    ends = []
    single = MemoryObservation(make(model, states, horizon=4, temperature=1.0), 2)
    alone, _ = single.reset(seed=6)
    for number in range(7):
        assert same({k: v[1] for k, v in observation.items()}, alone)
        observation, _, dones, infos = venv.step(np.full(3, number % 3))
        alone, _, terminated, truncated, _ = single.step(number % 3)
        assert dones[1] == (terminated or truncated)
        if dones[1]:
            assert same(infos[1]["terminal_observation"], alone)
            assert alone["past"].all()
            ends.append(number)
            alone, _ = single.reset()
    assert ends == [3]
    saved, shown = venv.get_state(), venv.step(np.zeros(3, np.int64))[0]
    venv.set_state(saved)
    assert same(venv.step(np.zeros(3, np.int64))[0], shown)


def test_only_latents_can_be_remembered(model: WorldGPT, states: StartStates) -> None:
    with pytest.raises(ConfigurationError, match="count"):
        MemoryObservation(make(model, states), count=0)
    with pytest.raises(ConfigurationError, match="from 4"):
        MemoryObservation(make(model, states), count=4, horizon=3)
    image = gym.make("WorldGPT-v0", model="doorkey")
    with pytest.raises(ConfigurationError, match="obs_mode='latent'"):
        MemoryObservation(image)
