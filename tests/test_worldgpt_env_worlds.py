"""Worlds: every real environment keeps the same promises."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import Any

import children
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from worldgpt_env import make_world
from worldgpt_env.errors import (
    ClosedEnvironmentError,
    ConfigurationError,
    EpisodeEndedError,
    InvalidActionError,
    RenderModeError,
    ResetNeededError,
)
from worldgpt_env.model.modalities import Modality, TextSpec
from worldgpt_env.worlds import World, world_names

PACKAGE = {
    "doorkey": "minigrid",
    "babyai-two": "minigrid",
    "minigrid-memory": "minigrid",
    "atari-pong": "ale_py",
}  # the others are rooms of vizdoom


WORLDS = ["doorkey", "babyai-two", "doom-basic", "doom-audio", "doom-words", "atari-pong"]


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    pytest.importorskip(PACKAGE.get(request.param, "vizdoom"))
    world = make_world(request.param)
    yield world
    world.close()


def live(world: World, seed: int, steps: int) -> list[tuple[Any, ...]]:
    """Return what happens in ``steps`` random steps, one episode at most."""
    moments: list[tuple[Any, ...]] = [world.reset(seed=seed)]
    generator = np.random.default_rng(seed)
    for _ in range(steps):
        moments.append(world.step(int(generator.integers(world.action_spec.sizes[0]))))
        if moments[-1][2] or moments[-1][3]:
            break
    return moments


def same(first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]) -> bool:
    """Return whether two lives are equal to the last bit."""
    pairs = list(zip(first, second, strict=True))
    seen = all(np.array_equal(a[0][key], b[0][key]) for a, b in pairs for key in a[0])
    return seen and all(a[1:] == b[1:] for a, b in pairs)


def test_checkers_of_gymnasium_and_stable_baselines_accept_the_world(world: World) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no spec; unusual shapes of sound
        check_env(world, skip_close_check=True)
        check_env_for_sb3(world)


def test_observations_are_what_the_specs_say_and_in_their_order(world: World) -> None:
    moments = live(world, seed=0, steps=30)
    assert isinstance(world.observation_space, gym.spaces.Dict)
    assert list(world.observation_space) == [str(m) for m in Modality if m in world.specs]
    text = world.specs[Modality.TEXT]
    assert isinstance(text, TextSpec)
    for observation, *_, info in moments:
        assert observation in world.observation_space
        assert text.decode(observation["text"]) == info["text"]
        assert 1 not in observation["text"], "an unknown word"
    assert len(world.action_spec.names) == world.action_space.n  # type: ignore[attr-defined]
    assert world.action_spec.kind == "discrete" and world.world_name in world_names()


def test_the_same_seed_is_the_same_life_in_this_world_and_in_a_fresh_one(world: World) -> None:
    first, other = live(world, 3, 40), live(world, 4, 40)
    starts = [world.reset(seed=seed)[0] for seed in range(5)]
    alike = world.world_name.startswith("atari")  # the machine starts as it is switched on
    assert (
        alike or len({b"".join(part.tobytes() for part in start.values()) for start in starts}) > 1
    )
    assert same(first, live(world, 3, 40))
    fresh = make_world(world.world_name)
    try:
        assert same(other, live(fresh, 4, 40))
        assert same(first, live(fresh, 3, 40))
    finally:
        fresh.close()


def test_observations_are_fresh_arrays(world: World) -> None:
    kept, _ = world.reset(seed=0)
    copies = {key: value.copy() for key, value in kept.items()}
    after = world.step(0)[0]
    for key, value in kept.items():
        assert np.array_equal(value, copies[key])
        assert not np.shares_memory(value, after[key])
        value[...] = 0  # whoever gets it may write into it
    assert world.step(0)[0]["image"].any()


def test_wrong_order_and_wrong_actions_are_refused(world: World) -> None:
    with pytest.raises(ResetNeededError, match="reset"):
        world.step(0)
    world.reset(seed=0)
    for action in (-1, world.action_spec.sizes[0], 1.0, None, "fly", np.array([0]), True):
        with pytest.raises(InvalidActionError):
            world.step(action)
    world.step(np.int64(0))
    ended = False
    while not ended:
        _, _, terminated, truncated, _ = world.step(0)
        ended = terminated or truncated
    with pytest.raises(EpisodeEndedError, match="reset"):
        world.step(0)
    world.close()
    world.close()
    for call in (world.reset, lambda: world.step(0)):
        with pytest.raises(ClosedEnvironmentError, match="make_world"):
            call()


def test_render_gives_a_larger_picture_or_none(world: World) -> None:
    world.reset(seed=0)
    picture = world.render()
    assert isinstance(picture, np.ndarray) and picture.dtype == np.uint8
    assert picture.shape[0] > world.specs[Modality.IMAGE].shape[0] and picture.any()
    assert make_world(world.world_name, render_mode=None).render() is None
    with pytest.raises(RenderModeError, match="rgb_array"):
        make_world(world.world_name, render_mode="human")


def test_an_unknown_world_or_option_names_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="doorkey.*doom-basic.*doom-audio"):
        make_world("atari")
    pytest.importorskip("minigrid")
    with pytest.raises(ConfigurationError, match="no option.*max_steps"):
        make_world("doorkey", rooms=8)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("doorkey", "minigrid", "minigrid"),
        ("doom-basic", "vizdoom", "vizdoom"),
        ("atari-pong", "ale_py", "atari"),
    ],
)
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    name: str, package: str, extra: str
) -> None:
    script = f"""
import sys
sys.modules[{package!r}] = None
import worldgpt_env
try:
    worldgpt_env.make_world({name!r})
except worldgpt_env.errors.MissingDependencyError as error:
    print(error)
assert "torch" not in sys.modules
"""
    result = children.run([sys.executable, "-c", script])
    assert f'pip install "worldgpt-env[{extra}]"' in result.stdout, result.stderr


def test_worlds_do_not_import_torch() -> None:
    pytest.importorskip("minigrid")
    script = """
import sys
import worldgpt_env
worldgpt_env.make_world("doorkey").reset(seed=0)
assert "torch" not in sys.modules and "stable_baselines3" not in sys.modules
"""
    children.run_well([sys.executable, "-c", script])
