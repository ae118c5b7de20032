"""Who plays while a world is recorded: how actions are chosen, and how far they come."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium import spaces

from worldgpt_env import make_world
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.training.actors import CircleBreaker, LeastTried, make_actor
from worldgpt_env.training.collect import CollectConfig, collect
from worldgpt_env.training.recording import Recording

ROOM = {"size": 6, "max_steps": 1500}


def places(policy: str, seed: int) -> int:
    """Return how many different moments an episode of ``policy`` comes to."""
    world = make_world("doorkey", **ROOM)
    actor = make_actor(policy, world, epsilon=0.0)
    actor.begin(np.random.default_rng(seed), seed)
    observation, _ = world.reset(seed=seed)
    met, over = set(), False
    for _ in range(600):
        met.add(observation["image"].tobytes() + observation["text"].tobytes())
        observation, _, terminated, truncated, _ = world.step(actor(observation))
        over = terminated or truncated
        if over:
            return 10**6  # it has come to the goal, which lies behind all others
    return len(met)


def test_no_action_is_tried_twice_before_all_were_tried_once() -> None:
    actor = LeastTried(spaces.Discrete(5, start=3))
    actor.begin(np.random.default_rng(0), 0)
    seen = [{"image": np.full(4, number)} for number in (0, 1)]
    tried = defaultdict(list)
    for time in range(40):
        tried[time % 2].append(actor(seen[time % 2]))
    for actions in tried.values():
        for start in range(0, 20, 5):
            assert sorted(actions[start : start + 5]) == [3, 4, 5, 6, 7]
    assert tried[0] != tried[1]  # drawn among equals, not in a fixed order


def test_a_new_episode_begins_with_nothing_tried() -> None:
    actor = LeastTried(spaces.Discrete(4))
    here = {"text": np.zeros(3, np.int64)}
    episodes = []
    for _ in range(2):
        actor.begin(np.random.default_rng(7), 7)
        episodes.append([actor(here) for _ in range(8)])
    assert episodes[0] == episodes[1]


def test_it_comes_further_than_random_actions() -> None:
    reached = np.array([[places(p, seed) for p in ("least-tried", "random")] for seed in range(6)])
    assert (reached[:, 0] > reached[:, 1]).mean() > 0.8
    assert np.median(reached[:, 0]) > 1.5 * np.median(reached[:, 1])


def test_the_same_seed_records_the_same(tmp_path: Path) -> None:
    recorded = []
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        config = CollectConfig(
            "doorkey", 60, str(tmp_path / name), policy="least-tried", epsilon=0.3, seed=seed
        )
        collect(config)
        (episode,) = Recording.load(tmp_path / name).episodes
        recorded.append((episode.actions.tolist(), episode.observations["image"].tobytes()))
    assert recorded[0] == recorded[1] != recorded[2]


def test_actions_without_numbers_are_refused() -> None:
    world = SimpleNamespace(action_space=spaces.Box(-1, 1, (2,)))
    with pytest.raises(ConfigurationError, match="record with --policy random"):
        make_actor("least-tried", world, epsilon=0.0)


class Stubborn:
    """An actor that always does the same."""

    def begin(self, generator: np.random.Generator, seed: int) -> None:
        """Remember nothing."""

    def __call__(self, observation: dict[str, np.ndarray]) -> int:
        """Return the first action."""
        return 3


def test_a_lost_policy_gives_way_to_what_was_tried_least() -> None:
    actor = CircleBreaker(Stubborn(), spaces.Discrete(4, start=3))
    for _ in range(2):  # a new episode forgets the visits of the one before
        actor.begin(np.random.default_rng(0), 0)
        here = {"image": np.zeros(4)}
        actions = [actor(here) for _ in range(8)]
        assert actions[:2] == [3, 3] and sorted(actions[2:5]) == [4, 5, 6]
        assert sorted(actions) == [3, 3, 4, 4, 5, 5, 6, 6]
    actor.begin(np.random.default_rng(0), 0)
    new = [actor({"image": np.full(4, float(number))}) for number in range(1, 9)]
    assert new == [3] * 8  # nothing comes again, so that the other actor is left alone


def test_a_policy_that_walks_in_circles_sees_more_when_they_are_broken() -> None:
    met = {}
    for breaks in (False, True):
        world = make_world("doorkey", **ROOM)
        actor: object = Stubborn()
        actor = CircleBreaker(actor, world.action_space) if breaks else actor
        actor.begin(np.random.default_rng(0), 0)
        observation, _ = world.reset(seed=0)
        seen = set()
        for _ in range(300):
            seen.add(observation["image"].tobytes())
            observation, _, terminated, truncated, _ = world.step(actor(observation))
            if terminated or truncated:
                break
        met[breaks] = len(seen)
    assert met[True] > 5 * met[False]
