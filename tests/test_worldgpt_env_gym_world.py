"""Gymnasium environments as worlds: every kind of space, and every way in which they fail."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import worldgpt_env
from worldgpt_env.errors import ConfigurationError, MissingDependencyError
from worldgpt_env.model.modalities import UNBOUNDED, ImageSpec, Modality
from worldgpt_env.worlds import GymWorld, WorldError, make_world, wrap


class Echo(gym.Env[Any, Any]):
    """Observes what its space samples, and keeps the actions that came."""

    def __init__(self, observed: spaces.Space, acted: spaces.Space | None = None) -> None:
        self.observation_space = observed
        self.action_space = acted or spaces.Discrete(2)
        self.acted: list[Any] = []
        self.paid: Any = 1.0
        self.seen: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.acted.append(action)
        return self._see(), self.paid, False, False, {}

    def _see(self) -> Any:
        return self.observation_space.sample() if self.seen is None else self.seen


def numbers(world: GymWorld) -> np.ndarray:
    return world.reset(seed=0)[0]["vector"]


def test_cartpole_is_a_vector_with_the_bounds_of_its_space() -> None:
    world = make_world("gym:CartPole-v1")
    spec = world.specs[Modality.VECTOR]
    bare = gym.make("CartPole-v1")
    assert spec.high[0] == pytest.approx(4.8) and spec.high[1] >= UNBOUNDED
    assert np.isinf(world.observation_space["vector"].high[1])
    observation, _ = world.reset(seed=3)
    assert observation["vector"].shape == bare.observation_space.shape
    following, reward, terminated, truncated, _ = world.step(1)
    assert (reward, terminated, truncated) == (1.0, False, False)
    assert following["vector"][1] > observation["vector"][1]  # pushed to the right
    assert world.time_limit == 500  # type: ignore[attr-defined]


def test_choices_are_one_hot_from_any_start() -> None:
    env = Echo(spaces.Discrete(3, start=-1))
    env.seen = np.int64(1)
    assert numbers(wrap(env)).tolist() == [0, 0, 1]
    several = Echo(spaces.MultiDiscrete([2, 3]))
    several.seen = np.array([1, 0])
    assert numbers(wrap(several)).tolist() == [0, 1, 1, 0, 0]
    bits = Echo(spaces.MultiBinary(3))
    bits.seen = np.array([1, 0, 1], np.int8)
    assert numbers(wrap(bits)).tolist() == [1, 0, 1]


def test_dicts_and_tuples_are_joined_and_their_numbers_named() -> None:
    space = spaces.Dict(
        arm=spaces.Tuple((spaces.Box(-1, 1, (2,)), spaces.Discrete(2))), high=spaces.Box(0, 9, ())
    )
    env = Echo(space)
    env.seen = {"arm": (np.array([0.5, -0.5], np.float32), 1), "high": np.float32(3)}
    world = wrap(env)
    assert numbers(world).tolist() == [0.5, -0.5, 0, 1, 3]
    assert world.specs[Modality.VECTOR].names == (
        *("arm/0[0]", "arm/0[1]", "arm/1[0]", "arm/1[1]", "high"),
    )


def test_pictures_become_rgb_with_sides_of_eight() -> None:
    env = Echo(spaces.Box(0, 255, (84, 83), np.uint8))
    env.seen = np.full((84, 83), 7, np.uint8)
    world = wrap(env)
    assert world.specs[Modality.IMAGE] == ImageSpec(80, 80)
    observation, _ = world.reset(seed=0)
    assert (observation["image"] == 7).all() and observation["image"].shape == (80, 80, 3)


def test_sentences_become_words_that_were_met() -> None:
    env = Echo(spaces.Dict(mission=spaces.Text(40), x=spaces.Box(0, 1, (1,))))
    env.seen = {"mission": "open the red door", "x": np.zeros(1, np.float32)}
    world = wrap(env)
    observation, info = world.reset(seed=0)
    assert info["text"] == "open the red door"
    assert world.specs[Modality.TEXT].decode(observation["text"]) == "open the red door"


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3, start=5),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(4),
        spaces.Box(-2, 2, (1,)),
        spaces.Box(np.array([0, -5]), np.array([10, 5]), dtype=np.float64),
        spaces.Box(-1, 1, (2, 2)),
        spaces.Dict(a=spaces.Discrete(2), b=spaces.MultiDiscrete([3, 3])),
        spaces.Tuple((spaces.Box(-1, 1, (1,)), spaces.Box(0, 4, (2,)))),
    ],
)
def test_every_action_arrives_as_its_space_has_it(space: spaces.Space) -> None:
    env = Echo(spaces.Box(0, 1, (1,)), space)
    world = wrap(env)
    world.reset(seed=0)
    world.action_space.seed(0)
    for _ in range(20):
        world.step(world.action_space.sample())  # Echo asserts that its space contains it
    assert len(env.acted) == 20


def test_rewards_of_any_scale_are_handed_on() -> None:
    env = Echo(spaces.Box(0, 1, (1,)))
    world = wrap(env)
    world.reset(seed=0)
    for paid in (1e6, -1e-6, np.float32(2), np.int64(3)):
        env.paid = paid
        assert world.step(0)[1] == pytest.approx(float(paid))


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.Dict(a=spaces.Sequence(spaces.Discrete(2))), "'a' is a Sequence"),
        (
            spaces.Dict(p=spaces.Tuple((spaces.Graph(spaces.Discrete(2), None),))),
            "'p/0' is a Graph",
        ),
        (spaces.Box(0, 1, (80, 80)), "6400 numbers"),
    ],
)
def test_an_unsupported_observation_says_where_and_what_is_supported(
    space: spaces.Space, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        wrap(Echo(space))


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.Text(3), "Text.*Box, Discrete, MultiDiscrete"),
        (spaces.Box(-np.inf, np.inf, (1,)), "without bounds"),
        (spaces.Dict(a=spaces.Discrete(2), b=spaces.Box(0, 1, (1,))), "'b'.*'a'"),
    ],
)
def test_an_unsupported_action_says_where_and_what_is_supported(
    space: spaces.Space, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        wrap(Echo(spaces.Box(0, 1, (1,)), space))


def test_unknown_ids_name_near_ones_and_missing_packages_their_extra() -> None:
    with pytest.raises(ConfigurationError, match="did you mean CartPole-v1"):
        make_world("gym:Cartpol-v1")
    with pytest.raises(ConfigurationError, match="CartPole-v1"):
        make_world("gym:CartPole-v7")
    with pytest.raises(ConfigurationError, match="module 'no_such_module'"):
        make_world("gym:no_such_module:World-v0")
    try:
        import Box2D  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match=r'pip install "gymnasium\[box2d\]"'):
            make_world("gym:LunarLander-v3")


def test_nan_infinity_and_crashes_are_one_sentence() -> None:
    env = Echo(spaces.Box(-1, 1, (2,)))
    world = wrap(env)
    world.reset(seed=0)
    env.seen = np.array([0, np.nan], np.float32)
    with pytest.raises(WorldError, match=r"NaN or infinity for 'number\[1\]'"):
        world.step(0)
    env.seen, env.paid = None, float("inf")
    world = wrap(env)
    world.reset(seed=0)
    with pytest.raises(WorldError, match="paid the reward inf"):
        world.step(0)

    def crash(action: Any) -> Any:
        raise RuntimeError("the motor is gone")

    env.step = crash  # type: ignore[method-assign]
    with pytest.raises(WorldError, match="failed in step: RuntimeError: the motor is gone"):
        world.step(0)


def test_wrap_is_public_and_refuses_what_is_no_environment() -> None:
    assert worldgpt_env.wrap(gym.make("Pendulum-v1")).action_spec.kind == "box"
    with pytest.raises(ConfigurationError, match=r"gymnasium\.Env, not a str"):
        wrap("CartPole-v1")  # type: ignore[arg-type]
