"""MiniGrid Memory: what pays, what is seen, and that the end cannot be told without the start."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("minigrid")

from worldgpt_env import make_world
from worldgpt_env.errors import ConfigurationError
from worldgpt_env.testing import check_world

LEFT, RIGHT, FORWARD = range(3)


def walk(world, turn: int) -> tuple[float, bool, bool, list[str]]:  # type: ignore[no-untyped-def]
    """Go along the corridor, turn at the fork, and go on to the thing there."""
    texts = []
    for action in (*[FORWARD] * 6, turn, FORWARD):
        _, reward, terminated, truncated, info = world.step(action)
        texts.append(info["text"])
        if terminated or truncated:
            break
    return reward, terminated, truncated, texts


def starts(world, seeds: int = 10) -> Iterator[tuple[int, str]]:  # type: ignore[no-untyped-def]
    for seed in range(seeds):
        yield seed, world.reset(seed=seed)[1]["text"]


def test_the_contract_holds() -> None:
    check_world(make_world("minigrid-memory"), steps=80)


def test_one_way_at_the_fork_pays_and_both_end_the_episode() -> None:
    world = make_world("minigrid-memory", near_start=True)
    ways = set()
    for seed, _ in starts(world):
        outcomes = []
        for turn in (LEFT, RIGHT):
            world.reset(seed=seed)
            reward, terminated, truncated, _ = walk(world, turn)
            assert terminated and not truncated
            outcomes.append(reward)
        assert sorted(outcomes) == [0.0, 1.0]
        ways.add(outcomes.index(1.0))
    assert ways == {0, 1}


def test_the_same_moments_ask_for_different_ways() -> None:
    """At the fork nothing tells which way pays: only the first thing seen does."""
    world = make_world("minigrid-memory", near_start=True)
    paying: dict[bytes, set[int]] = {}
    told: dict[tuple[bytes, str], set[int]] = {}
    for seed, first in starts(world, 16):
        observation = world.reset(seed=seed)[0]
        for _ in range(6):
            observation = world.step(FORWARD)[0]
        fork = observation["image"].tobytes()
        way = LEFT if walk(world, LEFT)[0] == 1.0 else RIGHT
        paying.setdefault(fork, set()).add(way)
        told.setdefault((fork, first), set()).add(way)
    assert any(len(ways) == 2 for ways in paying.values())
    assert all(len(ways) == 1 for ways in told.values())


def test_the_agent_sees_seven_tiles_and_not_through_walls() -> None:
    world = make_world("minigrid-memory", near_start=True)
    observation, info = world.reset(seed=0)
    assert observation["image"].shape == (112, 112, 3)
    assert info["text"].startswith(
        ("facing nothing sees key left", "facing nothing sees ball left")
    )
    assert len(info["text"].split()) == 9  # both things at the fork are in view too
    seen = observation["image"].reshape(7, 16, 7, 16, 3).any((1, 3, 4))  # tiles that are not black
    assert seen[6, 3] and not seen.all()
    later = world.step(FORWARD)[4]["text"]
    assert len(later.split()) == 7  # what lies behind is out of sight


def test_a_start_anywhere_may_need_a_look_back() -> None:
    world = make_world("minigrid-memory")
    seen = {seed: len(text.split()) for seed, text in starts(world)}
    assert set(seen.values()) == {7, 9}  # two things or all three
    world.reset(seed=min(seen, key=lambda seed: seen[seed]))
    world.step(LEFT)
    assert len(world.step(LEFT)[4]["text"].split()) == 5  # one thing: the first


def test_the_time_limit_is_truncation() -> None:
    world = make_world("minigrid-memory", max_steps=3)
    world.reset(seed=0)
    assert [world.step(LEFT)[1:4] for _ in range(3)][-1] == (0.0, False, True)


def test_the_picture_is_of_the_whole_grid() -> None:
    world = make_world("minigrid-memory", size=9)
    world.reset(seed=0)
    picture = world.render()
    assert picture is not None and picture.shape == (576, 576, 3) and np.ptp(picture) > 0


@pytest.mark.parametrize("wrong", [{"size": 8}, {"max_steps": 0}])
def test_impossible_options_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        make_world("minigrid-memory", **wrong)
