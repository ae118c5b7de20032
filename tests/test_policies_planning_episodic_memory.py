"""What an episode has lived through: known when it is planned for, and no longer sought."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from worldgpt_env import make_world
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.policies.planning import (
    Decomposition,
    DecompositionConfig,
    MissionProposer,
    Planner,
    PlannerConfig,
    RandomShooting,
)
from worldgpt_env.policies.planning.episodic_memory import (
    EpisodicMemory,
    NoveltyTracker,
    state_keys,
)
from worldgpt_env.policies.planning.rollout import Scoring, imagine
from worldgpt_env.simulator import Simulator, SimulatorConfig

PICK_UP = 3
Moment = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def model() -> WorldGPT:
    return WorldGPT.from_pretrained("doorkey")


@pytest.fixture(scope="module")
def before_the_key(model: WorldGPT) -> Moment:
    """A moment in which the agent stands before the key and looks at it."""
    generator = np.random.default_rng(0)
    for seed in range(40):
        world = make_world("doorkey")
        observation, _ = world.reset(seed=seed)
        for _ in range(30):
            batch = {key: part[None] for key, part in observation.items()}
            following = model.predict(model.encode(batch), torch.tensor([PICK_UP])).state
            words = model.decode(following)[Modality.TEXT][0].cpu().numpy()
            if "carrying key" in model.specs[Modality.TEXT].decode(words):
                return observation
            observation, _, terminated, _, _ = world.step(int(generator.integers(3)))
            if terminated:
                break
    raise AssertionError("no such moment was met")


def seeker(model: WorldGPT, **settings: object) -> Decomposition:
    """Return a planner that looks one step ahead for the key."""
    config = DecompositionConfig(
        horizon=1, candidates=48, iterations=1, novelty=0.0, patience=99, **settings
    )
    return Decomposition(model, MissionProposer(), "pick up the key", config)


def lived_through(planner: Planner, moments: list[Moment]) -> list[int]:
    """Return the actions in ``moments``, one after the other."""
    actions, state = [], None
    for moment in moments:
        action, state = planner.predict(moment, state)
        actions.append(int(action))
    return actions


def test_what_did_not_happen_is_not_tried_again(model: WorldGPT, before_the_key: Moment) -> None:
    again = [before_the_key] * 3  # nothing that is done here has any effect
    assert lived_through(seeker(model, recall=False), again) == [PICK_UP] * 3
    first, *others = lived_through(seeker(model, recall=True), again)
    assert first == PICK_UP and PICK_UP not in others
    assert lived_through(seeker(model), again) == [first, *others]  # a world without chance


def test_a_world_with_chance_is_not_taken_at_its_word(before_the_key: Moment) -> None:
    model = WorldGPT.from_pretrained("doorkey", temperature=1.0)
    assert lived_through(seeker(model), [before_the_key] * 3) == [PICK_UP] * 3


def test_another_episode_knows_nothing_of_it(model: WorldGPT, before_the_key: Moment) -> None:
    planner, state = seeker(model, recall=True), None
    batch = {key: np.stack([part] * 2) for key, part in before_the_key.items()}
    for start in (None, np.array([False, True])):
        actions, state = planner.predict(batch, state, start)
    assert actions[0] != PICK_UP and actions[1] == PICK_UP
    actions, _ = planner.predict(
        {key: part[:1] for key, part in batch.items()}, state.select([1]), np.array([False])
    )
    assert actions[0] != PICK_UP


@pytest.fixture
def ended_at_once(model: WorldGPT) -> Callable[[], Simulator]:
    """Return a simulator in which every step ends the episode, as the model has it."""
    ending = WorldGPT.from_pretrained("doorkey")
    with torch.no_grad():
        ending.dynamics.outcome.termination_head.read.outer.weight.zero_()
        ending.dynamics.outcome.termination_head.read.outer.bias.copy_(torch.tensor([-9.0, 9.0]))

    def build() -> Simulator:
        simulator = Simulator(ending, 4, SimulatorConfig(temperature=0.0))
        simulator.reset(seeds=[5] * 4)
        return simulator

    return build


def test_an_end_that_did_not_come_pays_nothing_and_is_gone(
    ended_at_once: Callable[[], Simulator],
) -> None:
    simulator = ended_at_once()
    before = {m: codes.clone() for m, codes in simulator.state.items()}
    real = {m: codes[0] for m, codes in before.items()}
    plans = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    mark = state_keys(before)[0]
    memories = EpisodicMemory(frozenset([mark])).after(mark, plans[0, 0], real, mark)
    for recall, worth in ((False, [1, 1, 1, 1]), (True, [0, 1, 1, 1])):
        scores = imagine(ended_at_once(), plans, Scoring(1.0, recall=recall), [None], [memories])
        assert scores == pytest.approx(worth, abs=0.05)  # the second step of [0, 1] ends and pays


def test_a_moment_is_new_once(model: WorldGPT) -> None:
    simulator = Simulator(model, 2, SimulatorConfig(temperature=0.0))
    first = simulator.reset(seeds=[1, 2])
    other = {m: codes.flip(0) for m, codes in first.items()}
    unmet = NoveltyTracker([EpisodicMemory(frozenset([mark])) for mark in state_keys(first)], 2)
    assert unmet(first).tolist() == [False, False]
    assert unmet(other).tolist() == [True, True]
    assert unmet(other).tolist() == [False, False]


def test_where_nothing_is_promised_something_new_is_sought(model: WorldGPT) -> None:
    """With no goal in reach, a planner that likes what is new meets more of a room."""
    met = {}
    for novelty in (0.0, 0.05):
        planner = RandomShooting(model, PlannerConfig(6, 32, replan_every=3, novelty=novelty))
        seen = set()
        for seed in range(3):
            world, state = make_world("doorkey"), None
            observation, _ = world.reset(seed=seed)
            for _ in range(30):
                action, state = planner.predict(observation, state)
                observation, _, terminated, truncated, _ = world.step(int(action))
                seen.add((seed, observation["image"].tobytes()))
                if terminated or truncated:
                    break
        met[novelty] = len(seen)
    assert met[0.05] > 1.4 * met[0.0]


def test_observed_states_take_the_place_of_imagined_ones(
    ended_at_once: Callable[[], Simulator],
) -> None:
    simulator = ended_at_once()
    start = {m: codes.clone() for m, codes in simulator.state.items()}
    simulator.step(np.zeros(4, np.int64))
    imagined = {m: codes.clone() for m, codes in simulator.state.items()}
    rows = np.array([True, False, True, False])
    simulator.correct(start, rows)
    assert simulator.ended.tolist() == [False, True, False, True]
    for modality, codes in simulator.state.items():
        assert torch.equal(codes[rows], start[modality][rows])
        assert torch.equal(codes[~rows], imagined[modality][~rows])
    simulator.correct(start)
    assert not simulator.ended.any()


@pytest.mark.parametrize(
    ("settings", "told"), [({"recall": "often"}, "use true"), ({"novelty": -1}, "novelty is -1")]
)
def test_impossible_settings_are_told(settings: dict, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        PlannerConfig(**settings)
