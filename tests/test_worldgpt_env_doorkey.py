"""DoorKey: reward, end, words and tiles."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("minigrid")

from worldgpt_env import make_world
from worldgpt_env.errors import ConfigurationError

LEFT, RIGHT, FORWARD, PICK_UP, DROP, TOGGLE = range(6)


def solve(world, seed: int) -> list[tuple[int, float, bool, bool, str]]:  # type: ignore[no-untyped-def]
    """Reach the goal by breadth-first search over action sequences; return the steps."""

    def replay(plan: list[int]) -> tuple[bytes, list[tuple[int, float, bool, bool, str]]]:
        observation, info = world.reset(seed=seed)
        steps = []
        for action in plan:
            observation, reward, terminated, truncated, info = world.step(action)
            steps.append((action, reward, terminated, truncated, info["text"]))
        return observation["image"].tobytes() + info["text"].encode(), steps

    frontier, seen = [[]], {replay([])[0]}
    while frontier:
        plan = frontier.pop(0)
        for action in (LEFT, RIGHT, FORWARD, PICK_UP, TOGGLE):
            key, steps = replay([*plan, action])
            if steps[-1][2]:
                return steps
            if key not in seen:
                seen.add(key)
                frontier.append([*plan, action])
    raise AssertionError("no way to the goal")


def test_the_goal_gives_one_and_ends_the_world() -> None:
    steps = solve(make_world("doorkey"), seed=0)
    assert [reward for _, reward, *_ in steps] == [0.0] * (len(steps) - 1) + [1.0]
    assert steps[-1][2:4] == (True, False)
    texts = list(dict.fromkeys(text for *_, text in steps))
    assert texts[-2:] == ["goal carrying key door locked", "goal carrying key door open"]


def test_reaching_the_goal_in_the_last_step_is_an_end_and_not_a_time_out() -> None:
    plan = [action for action, *_ in solve(make_world("doorkey"), seed=0)]
    world = make_world("doorkey", max_steps=len(plan))
    world.reset(seed=0)
    *_, (_, reward, terminated, truncated, _) = [world.step(action) for action in plan]
    assert (reward, terminated, truncated) == (1.0, True, False)


def test_the_time_limit_is_truncation() -> None:
    world = make_world("doorkey")
    world.reset(seed=0)
    flags = [world.step(LEFT)[1:4] for _ in range(250)]
    assert set(flags[:-1]) == {(0.0, False, False)} and flags[-1] == (0.0, False, True)
    with pytest.raises(ConfigurationError, match="max_steps"):
        make_world("doorkey", max_steps=0)


def test_a_turn_changes_one_cell_of_sixteen_pixels() -> None:
    world = make_world("doorkey")
    before, _ = world.reset(seed=0)
    assert before["image"].shape == (48, 48, 3)
    after = world.step(LEFT)[0]
    changed = (before["image"] != after["image"]).any(-1).reshape(3, 16, 3, 16).any((1, 3))
    assert changed.sum() == 1


def test_the_outer_wall_is_only_a_frame() -> None:
    bare, walled = make_world("doorkey"), make_world("doorkey", outer_wall=True)
    small, _ = bare.reset(seed=5)
    large, _ = walled.reset(seed=5)
    assert large["image"].shape == (80, 80, 3)
    assert np.array_equal(large["image"][16:-16, 16:-16], small["image"])


def test_larger_rooms_are_solved_alike_and_the_small_one_is_the_default() -> None:
    large = make_world("doorkey", size=6)
    assert large.reset(seed=0)[0]["image"].shape == (64, 64, 3)
    assert solve(large, seed=0)[-1][1:3] == (1.0, True)
    assert make_world("doorkey", size=8).reset(seed=0)[0]["image"].shape == (96, 96, 3)
    default, named = (
        make_world("doorkey").reset(seed=3),
        make_world("doorkey", size=5).reset(seed=3),
    )
    assert np.array_equal(default[0]["image"], named[0]["image"])
    with pytest.raises(ConfigurationError, match="at least 5"):
        make_world("doorkey", size=4)
